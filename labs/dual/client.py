"""두 세대의 손님. Connects by whichever family leads there, and prints what the server says.

    python3 client.py HOST PORT
"""
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
with socket.create_connection((host, port)) as connection:
    text = b""
    while data := connection.recv(4096):
        text += data
    print(f"{connection.getpeername()[0]}: {text.decode('utf-8')}")
