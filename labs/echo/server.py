"""메아리 서버. An echo server: what comes in goes back, byte for byte.

    python3 server.py [PORT]
"""
import socket
import sys

port = int(sys.argv[1]) if len(sys.argv) > 1 else 7000

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("0.0.0.0", port))
listener.listen()
print(f"listening at port {port}", flush=True)
while True:
    connection, address = listener.accept()
    print(f"connected: {address[0]}:{address[1]}", flush=True)
    while data := connection.recv(4096):
        connection.sendall(data)
    connection.close()
