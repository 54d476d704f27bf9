/* Plays packetdrill: loads the object, calls through its struct, makes the peer's packets, and lets a thread wait. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <linux/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* 33 words, in packetdrill's order. */
struct interface {
    void *user;
    void (*free)(void *);
    int (*socket)(void *, int, int, int);
    int (*bind)(void *, int, const struct sockaddr *, socklen_t);
    int (*listen)(void *, int, int);
    int (*accept)(void *, int, struct sockaddr *, socklen_t *);
    int (*connect)(void *, int, const struct sockaddr *, socklen_t);
    ssize_t (*read)(void *, int, void *, size_t);
    ssize_t (*readv)(void *, int, const struct iovec *, int);
    ssize_t (*recv)(void *, int, void *, size_t, int);
    ssize_t (*recvfrom)(void *, int, void *, size_t, int, struct sockaddr *, socklen_t *);
    ssize_t (*recvmsg)(void *, int, struct msghdr *, int);
    ssize_t (*write)(void *, int, const void *, size_t);
    ssize_t (*writev)(void *, int, const struct iovec *, int);
    ssize_t (*send)(void *, int, const void *, size_t, int);
    ssize_t (*sendto)(void *, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    ssize_t (*sendmsg)(void *, int, const struct msghdr *, int);
    int (*fcntl)(void *, int, int, ...);
    int (*ioctl)(void *, int, unsigned long, ...);
    int (*close)(void *, int);
    int (*shutdown)(void *, int, int);
    int (*getsockopt)(void *, int, int, int, void *, socklen_t *);
    int (*setsockopt)(void *, int, int, int, const void *, socklen_t);
    int (*poll)(void *, struct pollfd *, nfds_t, int);
    int (*netdev_send)(void *, const void *, size_t);
    int (*netdev_receive)(void *, void *, size_t *, long long *);
    int (*usleep)(void *, useconds_t);
    int (*gettimeofday)(void *, struct timeval *, struct timezone *);
    int (*epoll_create)(void *, int);
    int (*epoll_ctl)(void *, int, int, int, struct epoll_event *);
    int (*epoll_wait)(void *, int, struct epoll_event *, int, int);
    int (*pipe)(void *, int[2]);
    ssize_t (*splice)(void *, int, loff_t *, int, loff_t *, size_t, unsigned);
};
_Static_assert(sizeof(struct interface) == 33 * sizeof(void *), "33 words");

static struct interface ifc;
#define U ifc.user

static long long now(void) {
    struct timeval tv;
    assert(ifc.gettimeofday(U, &tv, NULL) == 0);
    return tv.tv_sec * 1000000LL + tv.tv_usec;
}

/* ── the peer's packets ── */

static unsigned sum(const void *at, size_t n, unsigned start) {
    const unsigned char *p = at;
    for (size_t i = 0; i < n; i++)
        start += i % 2 ? p[i] : p[i] << 8;
    return start;
}
static unsigned short fold(unsigned s) {
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return htons(~s);
}
enum { SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };
static const unsigned char SYN_OPTIONS[] = {2, 4, 3, 0xe8, 4, 2, 1, 1, 1, 3, 3, 7}; /* mss 1000, sackOK, nops, wscale 7 */

static void peer(int flags, unsigned seq, unsigned ack, size_t len) {
    unsigned char p[2048] = {0};
    size_t options = flags & SYN ? sizeof SYN_OPTIONS : 0, tcp = 20 + options, all = 20 + tcp + len;
    struct iphdr *ip = (void *)p;
    *ip = (struct iphdr){.version = 4, .ihl = 5, .tot_len = htons(all), .ttl = 255, .protocol = 6,
                         .saddr = inet_addr("192.0.2.1"), .daddr = inet_addr("192.168.0.1")};
    ip->check = fold(sum(p, 20, 0));
    struct tcphdr *t = (void *)(p + 20);
    t->source = htons(40000), t->dest = htons(8080), t->seq = htonl(seq), t->ack_seq = htonl(ack);
    t->doff = tcp / 4, t->window = htons(1000);
    t->urg_ptr = htons(flags & URG ? len : 0);
    p[20 + 13] = flags;
    memcpy(p + 40, SYN_OPTIONS, options);
    t->check = fold(sum(p + 20, tcp + len, sum(p + 12, 8, 6 + tcp + len)));
    assert(ifc.netdev_send(U, p, all) == 0);
}

struct seen {
    int flags;
    unsigned seq, ack;
    size_t len;
    long long at;
    unsigned char options[40];
};
/* The next packet of the host; len -1: none will come. */
static struct seen next(void) {
    static unsigned char p[65536];
    struct seen seen = {.len = (size_t)-1};
    size_t n = sizeof p;
    assert(ifc.netdev_receive(U, p, &n, &seen.at) == 0);
    if (n == 0)
        return seen;
    struct tcphdr *t = (void *)(p + 20);
    assert(n >= 40 && ntohs(((struct iphdr *)p)->tot_len) == n && fold(sum(p, 20, 0)) == 0);
    assert(fold(sum(p + 20, n - 20, sum(p + 12, 8, 6 + n - 20))) == 0);
    seen.flags = p[33], seen.seq = ntohl(t->seq), seen.ack = ntohl(t->ack_seq);
    seen.len = n - 20 - t->doff * 4;
    memcpy(seen.options, p + 40, t->doff * 4 - 20);
    return seen;
}

/* ── a thread that waits ── */

struct call {
    int fd;
    ssize_t result;
    long long end;
    volatile pid_t thread;
};
static void *reader(void *arg) {
    struct call *call = arg;
    char buffer[4096];
    call->thread = syscall(SYS_gettid);
    call->result = ifc.read(U, call->fd, buffer, sizeof buffer);
    call->end = now();
    return NULL;
}
static void until_it_sleeps(struct call *call) {
    char path[64], text[512], *state;
    do {
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", call->thread);
        FILE *file = call->thread ? fopen(path, "r") : NULL;
        text[0] = 0;
        if (file) {
            text[fread(text, 1, sizeof text - 1, file)] = 0;
            fclose(file);
        }
        state = strrchr(text, ')');
    } while (!state || state[2] != 'S');
}

static void a_call_that_waits_ends_when_its_bytes_come(int fd, unsigned seq, unsigned ack) {
    struct call call = {.fd = fd};
    pthread_t thread;
    assert(ifc.fcntl(U, fd, F_SETFL, O_RDWR) == 0);
    assert(pthread_create(&thread, NULL, reader, &call) == 0);
    until_it_sleeps(&call);
    long long before = now();
    assert(ifc.usleep(U, 200000) == 0);
    peer(ACK | PSH, seq, ack, 10);
    /* Time waits until the thread has read it. */
    assert(ifc.usleep(U, 1000000) == 0);
    assert(pthread_join(thread, NULL) == 0);
    assert(call.result == 10);
    assert(call.end >= before + 200000 && call.end < before + 200100);
    struct seen got = next();
    assert(got.flags == ACK && got.ack == seq + 10 && got.at < before + 250000);
}

static void assertions_find_our_socket(int fd) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    assert(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && len == sizeof info);
    assert(info.tcpi_state == 1 && info.tcpi_snd_cwnd == 10 && info.tcpi_snd_mss == 1000);
    assert(!(info.tcpi_options & TCPI_OPT_SACK) && info.tcpi_snd_wscale == 7);
    unsigned memory[9], full[70];
    len = sizeof memory;
    assert(getsockopt(fd, SOL_SOCKET, 55, memory, &len) == 0 && len == 36);
    len = sizeof full;
    assert(getsockopt(fd, IPPROTO_TCP, TCP_INFO, full, &len) == 0 && len == 280);
    len = sizeof full;
    assert(getsockopt(fd, IPPROTO_TCP, 26, full, &len) == 0 && len == 0);
    /* What is not ours is the kernel's. */
    int kernels = socket(AF_INET, SOCK_STREAM, 0), type = 0;
    len = sizeof type;
    assert(getsockopt(kernels, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM);
    close(kernels);
}

static void pipes_and_epoll(int fd, unsigned seq, unsigned ack) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77}, got;
    int ends[2], epoll = ifc.epoll_create(U, 1);
    assert(epoll >= 0 && ifc.epoll_ctl(U, epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    assert(ifc.epoll_wait(U, epoll, &got, 1, 10) == 0);
    peer(ACK | PSH, seq, ack, 5);
    assert(ifc.epoll_wait(U, epoll, &got, 1, 10) == 1 && got.data.u64 == 77 && got.events == EPOLLIN);
    int waits = 0;
    assert(ifc.ioctl(U, fd, FIONREAD, &waits) == 0 && waits == 5);
    assert(ifc.pipe(U, ends) == 0 && ifc.splice(U, fd, NULL, ends[1], NULL, 100, 0) == 5);
    char buffer[16];
    assert(read(ends[0], buffer, sizeof buffer) == 5);
    assert(next().ack == seq + 5);
}

/* The last of five bytes is urgent: it comes beside the stream, and four are left there. */
static void urgent_bytes_come_beside_the_stream(int fd, unsigned seq, unsigned ack) {
    char buffer[16];
    struct pollfd poll = {.fd = fd, .events = POLLIN | POLLPRI};
    peer(ACK | PSH | URG, seq, ack, 5);
    assert(next().ack == seq + 5);
    assert(ifc.poll(U, &poll, 1, 0) == 1 && poll.revents == (POLLIN | POLLPRI));
    assert(ifc.recv(U, fd, buffer, sizeof buffer, MSG_OOB) == 1);
    assert(ifc.recv(U, fd, buffer, sizeof buffer, MSG_OOB) == -1 && errno == EINVAL);
    int mark = -1;
    assert(ifc.ioctl(U, fd, SIOCATMARK, &mark) == 0 && mark == 0);
    assert(ifc.read(U, fd, buffer, sizeof buffer) == 4);
    assert(ifc.ioctl(U, fd, SIOCATMARK, &mark) == 0 && mark == 1);
    assert(ifc.send(U, fd, "!", 1, MSG_OOB) == 1);
    struct seen seen = next();
    assert(seen.flags == (ACK | PSH | URG) && seen.len == 1 && seen.seq == ack);
    peer(ACK, seq + 5, ack + 1, 0);
}

/* MSG_FASTOPEN without a cookie of the server: a SYN that asks for one, and no text on it. */
static void a_fast_open_asks_for_a_cookie_first(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(40000), .sin_addr = {inet_addr("192.0.2.1")}};
    int fd = ifc.socket(U, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    assert(fd >= 0 && ifc.fcntl(U, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    assert(ifc.sendto(U, fd, "hello", 5, MSG_FASTOPEN, (void *)&to, sizeof to) == -1 && errno == EINPROGRESS);
    struct seen syn = next();
    static const unsigned char asks[] = {34, 2};
    assert(syn.flags == SYN && syn.len == 0 && memmem(syn.options, sizeof syn.options, asks, sizeof asks));
    assert(close(fd) == 0);
}

/* What a script sets before its first socket is the host's; what is no setting is the machine's. */
static void commands_in_backquotes(void) {
    assert(system("./defaults.sh\n./set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0") == 0);
    assert(system("sysctl -q net.ipv4.tcp_timestamps=0") == 0);
    assert(WEXITSTATUS(system("exit 3")) == 3);
}

int main(int count, char **words) {
    assert(count == 2);
    void *object = dlopen(words[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND);
    assert(object);
    void (*init)(const char *, struct interface *) = dlsym(object, "packetdrill_interface_init");
    assert(init);
    init(NULL, &ifc);
    for (size_t i = 0; i < 33; i++)
        assert(((void **)&ifc)[i]);

    commands_in_backquotes();
    long long begin = now();
    assert(now() > begin && ifc.usleep(U, 5000) == 0 && now() >= begin + 5000);

    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)}, from = {0};
    int listener = ifc.socket(U, AF_INET, SOCK_STREAM, IPPROTO_TCP);
    assert(listener >= 0 && fcntl(listener, F_GETFD) >= 0);
    assert(ifc.setsockopt(U, listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, 4) == 0);
    assert(ifc.bind(U, listener, (void *)&at, sizeof at) == 0 && ifc.listen(U, listener, 1) == 0);

    peer(SYN, 0, 0, 0);
    struct seen synack = next();
    static const unsigned char ours[] = {2, 4, 5, 0xb4, 1, 3, 3, 8};
    assert(synack.flags == (SYN | ACK) && synack.ack == 1 && !memcmp(synack.options, ours, sizeof ours));
    unsigned iss = synack.seq;
    ifc.usleep(U, 100000);
    peer(ACK, 1, iss + 1, 0);
    socklen_t len = sizeof from;
    int fd = ifc.accept(U, listener, (void *)&from, &len);
    assert(fd >= 0 && len == sizeof from);
    assert(from.sin_port == htons(40000) && from.sin_addr.s_addr == inet_addr("192.0.2.1"));
    assertions_find_our_socket(fd);

    assert(ifc.fcntl(U, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 && ifc.fcntl(U, fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
    char buffer[1000] = {0};
    assert(ifc.read(U, fd, buffer, sizeof buffer) == -1 && errno == EAGAIN);
    assert(ifc.read(U, 9999, buffer, 1) == -1 && errno == EBADF);

    /* Written, and sent once more when nothing comes back. */
    assert(ifc.write(U, fd, buffer, sizeof buffer) == 1000);
    struct seen first = next(), again = next();
    assert(first.flags == (PSH | ACK) && first.len == 1000 && first.seq == iss + 1);
    assert(again.seq == first.seq && again.len == 1000 && again.at >= first.at + 100000);
    peer(ACK, 1, iss + 1001, 0);

    a_call_that_waits_ends_when_its_bytes_come(fd, 1, iss + 1001);
    pipes_and_epoll(fd, 11, iss + 1001);
    urgent_bytes_come_beside_the_stream(fd, 16, iss + 1001);

    peer(ACK | RST, 21, iss + 1002, 0);
    assert(ifc.read(U, fd, buffer, 1) == -1 && errno == ECONNRESET);
    assert(next().len == (size_t)-1);
    assert(close(fd) == 0 && close(listener) == 0);
    a_fast_open_asks_for_a_cookie_first();
    ifc.free(U);
    return 0;
}
