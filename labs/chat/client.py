"""대화 손님. A chat client.

    python3 client.py HOST PORT NAME [LINE ...]

With LINEs it says each, waits until it comes back, and leaves. Without, it reads what you type.
"""
import codecs
import socket
import sys
import threading


class Chat:
    def __init__(self, host, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.connect((host, port))
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.text = ""

    def send(self, line, torn=False):
        data = (line + "\n").encode("utf-8")  # str -> bytes
        if torn:
            # The network may cut anywhere, in the middle of a character too. Here it surely does: the first byte of
            # the first character goes alone, and the server's recv() meets a third of a Hangul syllable.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(data[:1])
            data = data[1:]
        self.socket.sendall(data)

    def receive(self):
        """One line as str, or None at the end of the stream."""
        while "\n" not in self.text:
            data = self.socket.recv(1024)
            if not data:
                return None
            self.text += self.decoder.decode(data)  # bytes -> str, whole characters only
        line, self.text = self.text.split("\n", 1)
        return line

    def close(self):
        self.socket.close()


def say(chat, name, script):
    print(chat.receive(), flush=True)  # we joined
    for number, line in enumerate(script):
        chat.send(line, torn=number > 0)
        while (answer := chat.receive()) is not None:
            print(answer, flush=True)
            if answer == f"{name}: {line}":
                break
        else:
            sys.exit(1)


def converse(chat):
    def listen():
        while (line := chat.receive()) is not None:
            print(line, flush=True)

    threading.Thread(target=listen, daemon=True).start()
    for line in sys.stdin:
        chat.send(line.rstrip("\n"))


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    host, port, name, *script = sys.argv[1:]
    chat = Chat(host, int(port))
    chat.socket.sendall((name + "\n").encode("utf-8"))
    if script:
        say(chat, name, script)
    else:
        converse(chat)
    chat.close()


if __name__ == "__main__":
    main()
