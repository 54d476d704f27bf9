"""파일 보내기: 잃고 섞이고 겹쳐도 같은 글자. A file over a bad line: lost, mixed up, doubled, and still the same bytes.

    python3 transfer.py serve PORT BYTES       sends BYTES bytes to each who connects, and their SHA-256 before
    python3 transfer.py fetch HOST PORT        receives, checks, prints how long it took
"""
import hashlib
import random
import socket
import sys
import time


def serve(port, size):
    data = random.Random(42).randbytes(size)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen()
    print(f"{size} bytes wait at port {port}", flush=True)
    while True:
        connection, address = listener.accept()
        with connection:
            connection.sendall(hashlib.sha256(data).digest() + data)
        print(f"sent to {address[0]}", flush=True)


def fetch(host, port):
    start = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.connect((host, port))
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    received = b"".join(pieces)
    digest, data = received[:32], received[32:]
    took = time.monotonic() - start
    same = hashlib.sha256(data).digest() == digest
    print(f"{len(data)} bytes in {took:.2f} s, SHA-256 {digest.hex()[:16]}…: {'the same' if same else 'DIFFERENT'}")
    return 0 if same and data else 1


def main():
    match sys.argv[1:]:
        case ["serve", port, size]:
            serve(int(port), int(size))
        case ["fetch", host, port]:
            sys.exit(fetch(host, int(port)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
