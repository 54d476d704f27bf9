"""메아리 손님. Sends a text and checks that the same text comes back.

    python3 client.py HOST PORT [TEXT]
"""
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
text = sys.argv[3] if len(sys.argv) > 3 else "안녕"

with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
    connection.connect((host, port))
    sent = text.encode("utf-8")
    connection.sendall(sent)
    connection.shutdown(socket.SHUT_WR)  # "that was all": the server's recv() returns b""
    received = b""
    while data := connection.recv(4096):
        received += data
print(f"str   {text}")
print(f"bytes {sent.hex(' ')}")
print(f"echo  {received.decode('utf-8')}")
sys.exit(0 if received == sent else 1)
