/* One host, one thread: a client and a server on the loopback. Calls that block move the host's time. */
#include "heptad.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

int main(void) {
    assert(!heptad_new("colour=red") && errno == EINVAL);
    struct heptad *host = heptad_new("local=10.0.0.1/8,mtu=1400");
    assert(host);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = heptad_socket(host, AF_INET, SOCK_STREAM, 0);
    assert(listener >= 0);
    assert(heptad_bind(host, listener, (void *)&at, sizeof at) == 0);
    assert(heptad_listen(host, listener, 5) == 0);
    int client = heptad_socket(host, AF_INET, SOCK_STREAM, 0);
    assert(heptad_connect(host, client, (void *)&at, sizeof at) == 0);
    struct sockaddr_in peer = {0}, name = {0};
    socklen_t len = sizeof peer;
    int server = heptad_accept(host, listener, (void *)&peer, &len);
    assert(server >= 0 && len == sizeof peer);
    len = sizeof name;
    assert(heptad_getsockname(host, client, (void *)&name, &len) == 0);
    assert(name.sin_port == peer.sin_port && name.sin_addr.s_addr == peer.sin_addr.s_addr);

    assert(heptad_write(host, client, "hello", 5) == 5);
    char a[3], b[8];
    struct iovec parts[2] = {{a, sizeof a}, {b, sizeof b}};
    assert(heptad_readv(host, server, parts, 2) == 5);
    assert(!memcmp(a, "hel", 3) && !memcmp(b, "lo", 2));

    int waits = 0;
    assert(heptad_ioctl(host, server, 0x541b, &waits) == 0 && waits == 0);
    assert(heptad_recv(host, server, b, sizeof b, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    struct timeval soon = {.tv_usec = 1000};
    assert(heptad_setsockopt(host, server, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    assert(heptad_recv(host, server, b, sizeof b, 0) == -1 && errno == EAGAIN);

    struct pollfd one = {.fd = server, .events = POLLIN};
    assert(heptad_poll(host, &one, 1, 50) == 0);
    assert(heptad_shutdown(host, client, SHUT_WR) == 0);
    assert(heptad_poll(host, &one, 1, 50) == 1 && (one.revents & POLLIN));
    assert(heptad_read(host, server, b, sizeof b) == 0);

    int on = 0;
    len = sizeof on;
    assert(heptad_setsockopt(host, client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof on) == 0);
    assert(heptad_getsockopt(host, client, IPPROTO_TCP, TCP_NODELAY, &on, &len) == 0 && on == 1);
    assert(heptad_setsockopt(host, client, IPPROTO_TCP, 9999, &on, sizeof on) == -1 && errno == ENOPROTOOPT);

    int v = heptad_socket(host, AF_INET, SOCK_DGRAM, 0), w = heptad_socket(host, AF_INET, SOCK_DGRAM, 0);
    assert(heptad_bind(host, v, (void *)&at, sizeof at) == 0);
    assert(heptad_sendto(host, w, "datagram", 8, 0, (void *)&at, sizeof at) == 8);
    struct iovec part = {b, 4};
    struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part, .msg_iovlen = 1};
    assert(heptad_recvmsg(host, v, &message, 0) == 4);
    assert((message.msg_flags & MSG_TRUNC) && message.msg_namelen == sizeof peer);

    assert(heptad_close(host, client) == 0 && heptad_close(host, client) == -1 && errno == EBADF);
    heptad_free(host);
    return 0;
}
