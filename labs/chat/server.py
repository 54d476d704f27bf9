"""대화 서버: 손님마다 스레드 하나. A chat server: one thread for each client.

    python3 server.py [PORT]

str 은 글자, bytes 는 전선 위의 것. A str is text; bytes are what goes over the wire.
"""
import codecs
import socket
import sys
import threading

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 8080

clients = {}  # connection -> name
lock = threading.Lock()


def send_line(connection, line):
    connection.sendall((line + "\n").encode("utf-8"))


def tell_everyone(line):
    print(line, flush=True)
    with lock:
        listeners = list(clients)
    for connection in listeners:
        try:
            send_line(connection, line)
        except OSError:
            pass  # that client is leaving; its own thread says goodbye


def lines(connection):
    """Yields the lines of a connection as str.

    recv() gives bytes where the network cut them, not where a character ends: 안 is ec 95 88, and those three bytes
    may come in two pieces. The incremental decoder keeps an unfinished character until its rest arrives.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = ""
    while True:
        data = connection.recv(1024)
        if not data:
            return
        text += decoder.decode(data)
        while "\n" in text:
            line, text = text.split("\n", 1)
            yield line


def serve(connection, address):
    incoming = lines(connection)
    name = next(incoming, None)
    if name is None:
        connection.close()
        return
    with lock:
        clients[connection] = name
    tell_everyone(f"* {name} 님이 들어왔습니다 (joined from {address[0]}:{address[1]})")
    try:
        for line in incoming:
            tell_everyone(f"{name}: {line}")
    except OSError as error:
        print(f"* {name}: {error}", flush=True)
    finally:
        with lock:
            del clients[connection]
        connection.close()
        tell_everyone(f"* {name} 님이 나갔습니다 (left)")


def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", PORT))
    listener.listen()
    print(f"* 기다립니다 (waiting at port {PORT})", flush=True)
    while True:
        connection, address = listener.accept()
        threading.Thread(target=serve, args=(connection, address), daemon=True).start()


if __name__ == "__main__":
    main()
