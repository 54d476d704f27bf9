"""두 세대의 서버. One socket for both families: says to each client who it is.

    python3 server.py [PORT]
"""
import ipaddress
import socket
import sys

port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000

listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, peer = listener.accept()
    address = ipaddress.ip_address(peer[0])
    old = address.ipv4_mapped  # ::ffff:10.0.1.10 is 10.0.1.10
    text = f"안녕, {old} (IPv4)" if old else f"안녕, {address} (IPv6)"
    connection.sendall(text.encode("utf-8"))
    connection.close()
