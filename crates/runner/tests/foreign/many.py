"""recvmmsg(2) with room for addresses, line by line: how many come, how long, and from whom."""
import ctypes, errno, select, socket, struct

LIBC = ctypes.CDLL(None, use_errno=True)
WAITFORONE = 0x10000
MMSGHDR = 64


class Messages:
    """An array of `struct mmsghdr`, each with one buffer of eight bytes and room for a `struct sockaddr_in`."""

    def __init__(self, count):
        self.data = [ctypes.create_string_buffer(8) for _ in range(count)]
        self.names = [ctypes.create_string_buffer(16) for _ in range(count)]
        at = ctypes.addressof
        self.vectors = [ctypes.create_string_buffer(struct.pack("QQ", at(data), 8)) for data in self.data]
        headers = [struct.pack("QI4xQQQQi4xI4x", at(name), 16, at(vector), 1, 0, 0, 0, 0)
                   for name, vector in zip(self.names, self.vectors)]
        assert all(len(header) == MMSGHDR for header in headers)
        self.headers = ctypes.create_string_buffer(b"".join(headers))
        self.count = count

    def receive(self, s, flags):
        got = LIBC.recvmmsg(s.fileno(), self.headers, self.count, flags, None)
        if got < 0:
            return errno.errorcode[ctypes.get_errno()]
        said = []
        for i in range(got):
            header = self.headers.raw[i * MMSGHDR:(i + 1) * MMSGHDR]
            flags, = struct.unpack_from("i", header, 48)
            length, = struct.unpack_from("I", header, 56)
            port, = struct.unpack_from(">H", self.names[i].raw, 2)
            said.append((self.data[i].raw[:length], length, flags, port == SENDER.getsockname()[1]))
        return said


RECEIVER = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
RECEIVER.bind(("127.0.0.1", 0))
SENDER = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
SENDER.bind(("127.0.0.1", 0))


def send(*messages):
    for message in messages:
        SENDER.sendto(message, RECEIVER.getsockname())
    select.select([RECEIVER], [], [], 5)


print("nothing", Messages(3).receive(RECEIVER, socket.MSG_DONTWAIT))
send(b"one", b"two", b"")
print("fewer", Messages(5).receive(RECEIVER, WAITFORONE))
send(b"one", b"two", b"three")
print("first two", Messages(2).receive(RECEIVER, 0))
print("the rest", Messages(2).receive(RECEIVER, socket.MSG_DONTWAIT))
send(b"longer than eight", b"x")
print("cut", Messages(2).receive(RECEIVER, 0))
