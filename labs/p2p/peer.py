"""동등한 둘: 서버도 클라이언트도 없다. Two equals: neither is the server.

    python3 peer.py MY_PORT OTHER_HOST OTHER_PORT [listen|together]

listen     (기본, the default) each listens and also connects: two connections, one begun by each side (P2P as most programs do it).
together   neither listens. Both bind their port and connect to the other's at the same moment: their SYNs cross on the
           wire, and TCP makes ONE connection of them (동시 열기, simultaneous open, RFC 9293, 3.5, figure 7).
"""
import errno
import random
import socket
import sys
import threading
import time


def text_from(connection):
    """Everything until the other side says that was all, as str."""
    data = b""
    while piece := connection.recv(1024):
        data += piece
    return data.decode("utf-8")  # bytes -> str


def say(connection, text):
    connection.sendall(text.encode("utf-8"))  # str -> bytes
    connection.shutdown(socket.SHUT_WR)


def new_socket(port):
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("0.0.0.0", port))
    return one


def connect_patiently(make, other):
    """The other one may not be there yet: refused means try again, a little later."""
    while True:
        connection = make()
        try:
            connection.connect(other)
            return connection
        except OSError as error:
            if error.errno not in (errno.ECONNREFUSED, errno.ECONNRESET):
                raise
            connection.close()
            time.sleep(random.uniform(0, 0.05))  # out of step, else they might miss each other for ever


def listen(port, other, name):
    """Two connections: one that we began, one that they began."""
    listener = new_socket(port)
    listener.listen()
    heard = []

    def answer():
        connection, address = listener.accept()
        heard.append(f"accepted from {address[0]}: {text_from(connection)}")
        say(connection, f"{name} 도 안녕")
        connection.close()

    answering = threading.Thread(target=answer)
    answering.start()
    connection = connect_patiently(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM), other)
    say(connection, f"{name} 입니다")
    heard.append(f"connected to {other[0]}: {text_from(connection)}")
    answering.join()
    return sorted(heard)


def together(port, other, name):
    """One connection that both began."""
    connection = connect_patiently(lambda: new_socket(port), other)
    local, remote = connection.getsockname(), connection.getpeername()
    say(connection, f"{name} 입니다")
    return [f"{local[0]}:{local[1]} = {remote[0]}:{remote[1]}: {text_from(connection)}"]


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    port, other = int(sys.argv[1]), (sys.argv[2], int(sys.argv[3]))
    way = {"listen": listen, "together": together}[sys.argv[4] if len(sys.argv) > 4 else "listen"]
    for line in way(port, other, f"port {port}"):
        print(line, flush=True)


if __name__ == "__main__":
    main()
