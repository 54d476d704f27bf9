/* What a program sees of sockets of both families: binding, connecting, names, options. One line a question.
 * families.kernel is what Linux 6.18 answers on a machine that has a loopback and nothing else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct address { struct sockaddr_storage of; socklen_t length; };

/* "4 127.0.0.1", "6 ::1"; "6 fe80::1%1" with a scope. */
static struct address at(const char *text, int port) {
    struct address a;
    memset(&a, 0, sizeof a);
    if (*text == '4') {
        struct sockaddr_in *four = (void *)&a.of;
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        inet_pton(AF_INET, text + 2, &four->sin_addr);
        a.length = sizeof *four;
    } else {
        char host[64];
        strcpy(host, text + 2);
        struct sockaddr_in6 *six = (void *)&a.of;
        char *scope = strchr(host, '%');
        if (scope) *scope++ = 0;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        six->sin6_scope_id = scope ? atoi(scope) : 0;
        inet_pton(AF_INET6, host, &six->sin6_addr);
        a.length = sizeof *six;
    }
    return a;
}

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static const char *text_of(const struct address *a) {
    static char buffers[8][96];
    static int next;
    char *out = buffers[next++ & 7], host[64] = "?";
    int port = -1;
    unsigned scope = 0;
    if (a->of.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const void *)&a->of;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        port = ntohs(four->sin_port);
    } else if (a->of.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)&a->of;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        port = ntohs(six->sin6_port);
        scope = six->sin6_scope_id;
    }
    snprintf(out, 96, "%d/%d %s %s%s", a->of.ss_family, (int)a->length, host,
             port == 0 ? "0" : port < 32768 ? "fixed" : "drawn", scope ? " scoped" : "");
    return out;
}

static const char *own(int s) {
    struct address a = {.length = sizeof a.of};
    return getsockname(s, (void *)&a.of, &a.length) ? said(-1) : text_of(&a);
}
static const char *peer(int s) {
    struct address a = {.length = sizeof a.of};
    return getpeername(s, (void *)&a.of, &a.length) ? said(-1) : text_of(&a);
}

/* '4', '6', or 'o': of IPv6 only. */
static int make(char family, int kind) {
    int s = socket(family == '4' ? AF_INET : AF_INET6, kind, 0), on = 1;
    if (family == 'o') setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return s;
}
static int bind_to(int s, const char *text, int port) {
    struct address a = at(text, port);
    return bind(s, (void *)&a.of, a.length);
}
static int connect_to(int s, const char *text, int port) {
    struct address a = at(text, port);
    return connect(s, (void *)&a.of, a.length);
}
static long send_to(int s, const char *text, int port) {
    struct address a = at(text, port);
    return sendto(s, "x", 1, 0, (void *)&a.of, a.length);
}
static void option(int s, int level, int name, int value) {
    if (setsockopt(s, level, name, &value, sizeof value)) printf("%s ", said(-1));
    int back = -777;
    socklen_t length = sizeof back;
    if (getsockopt(s, level, name, &back, &length)) printf("get %s", said(-1));
    else printf("%d", back);
}

static const char *const kinds[] = {"", "stream", "datagram"};

static void fresh(void) {
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++) {
        int s = make('6', kind), value = 0;
        socklen_t length = sizeof value;
        getsockopt(s, SOL_SOCKET, SO_DOMAIN, &value, &length);
        printf("fresh %s: domain %d, name %s, peer %s\n", kinds[kind], value, own(s), peer(s));
        close(s);
    }
}

static void binding(void) {
    static const char *const places[] = {
        "4 0.0.0.0", "4 127.0.0.1", "4 192.0.2.1", "6 ::", "6 ::1", "6 ::ffff:127.0.0.1", "6 ::ffff:0.0.0.0",
        "6 ::ffff:192.0.2.1", "6 2001:db8::1", "6 ::127.0.0.1", "6 fe80::1", "6 fe80::1%99", "6 fe80::1%1",
    };
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (const char *family = "46o"; *family; family++)
            for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
                int s = make(*family, kind);
                int done = bind_to(s, places[i], 20001);
                const char *answer = said(done);
                printf("bind %s %c to %s: %s, name %s\n", kinds[kind], *family, places[i], answer, own(s));
                close(s);
            }
    int s = make('6', SOCK_STREAM);
    bind_to(s, "6 ::1", 20001);
    const char *again = said(bind_to(s, "6 2001:db8::1", 20002));
    printf("bind twice: %s, %s\n", again, said(bind_to(s, "4 127.0.0.1", 20002)));
    close(s);
}

/* The first holds the port: may the second have it too? */
static void conflicts(void) {
    static const char *const holders[] = {
        "4 0.0.0.0", "4 127.0.0.1", "6 ::", "o ::", "6 ::1", "6 ::ffff:0.0.0.0", "6 ::ffff:127.0.0.1",
    };
    enum { COUNT = sizeof holders / sizeof *holders };
    static const char *const rules[] = {"plain", "reuseaddr", "reuseport", "listening reuseaddr"};
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (int rule = 0; rule < 4 - (kind == SOCK_DGRAM); rule++)
            for (int first = 0; first < COUNT; first++) {
                printf("%s %s, held %-20s", kinds[kind], rules[rule], holders[first]);
                for (int second = 0; second < COUNT; second++) {
                    int pair[2], ok = 1, on = 1;
                    for (int n = 0; n < 2; n++) {
                        const char *what = holders[n ? second : first];
                        char place[40];
                        snprintf(place, sizeof place, "%c%s", *what == '4' ? '4' : '6', what + 1);
                        int s = pair[n] = make(*what, kind);
                        if (rule) setsockopt(s, SOL_SOCKET, rule == 2 ? SO_REUSEPORT : SO_REUSEADDR, &on, sizeof on);
                        int done = bind_to(s, place, 20010);
                        if (!n && done) ok = -1;
                        if (!n && rule == 3) listen(s, 1);
                        if (n && ok > 0) ok = done == 0;
                    }
                    printf(" %s", ok < 0 ? "?" : ok ? "free" : "taken");
                    close(pair[0]);
                    close(pair[1]);
                }
                printf("\n");
            }
}

static void connecting(void) {
    int four = make('4', SOCK_STREAM), six = make('o', SOCK_STREAM), on = 1;
    setsockopt(four, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(six, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind_to(four, "4 0.0.0.0", 20020);
    bind_to(six, "6 ::", 20020);
    listen(four, 64);
    listen(six, 64);
    int four_hears = make('4', SOCK_DGRAM), six_hears = make('o', SOCK_DGRAM);
    bind_to(four_hears, "4 0.0.0.0", 20020);
    bind_to(six_hears, "6 ::", 20020);
    static const char *const places[] = {
        "4 127.0.0.1", "4 0.0.0.0", "6 ::1", "6 ::", "6 ::ffff:127.0.0.1", "6 ::ffff:0.0.0.0", "6 2001:db8::1",
        "6 fe80::1", "6 ff02::1",
    };
    static const char *const bound[] = {"", "6 ::", "6 ::1", "6 ::ffff:127.0.0.1", "6 ::ffff:0.0.0.0", "4 127.0.0.1"};
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (const char *family = "46o"; *family; family++)
            for (unsigned b = 0; b < sizeof bound / sizeof *bound; b++)
                for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
                    if (*bound[b] && (*bound[b] == '4') != (*family == '4')) continue;
                    if (*family == 'o' && strstr(bound[b], "ffff")) continue;
                    int s = make(*family, kind);
                    if (*bound[b]) bind_to(s, bound[b], 0);
                    const char *answer = said(connect_to(s, places[i], 20020));
                    printf("connect %s %c at (%s) to %s: %s", kinds[kind], *family, bound[b], places[i], answer);
                    printf(", name %s, peer %s", own(s), peer(s));
                    if (kind == SOCK_DGRAM) {
                        close(s);
                        s = make(*family, kind);
                        if (*bound[b]) bind_to(s, bound[b], 0);
                        const char *sent = said(send_to(s, places[i], 20020));
                        printf("; sendto %s, name %s", sent, own(s));
                    }
                    printf("\n");
                    close(s);
                }
    int s = make('6', SOCK_STREAM);
    printf("refused: %s\n", said(connect_to(s, "6 ::ffff:127.0.0.1", 1)));
    close(s);
    close(four), close(six), close(four_hears), close(six_hears);
}

static void accepting(void) {
    int l = make('6', SOCK_STREAM), on = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind_to(l, "6 ::", 20030);
    listen(l, 8);
    static const char *const places[] = {"4 127.0.0.1", "6 ::1", "6 ::ffff:127.0.0.1"};
    for (unsigned i = 0; i < 3; i++) {
        int c = make(*places[i], SOCK_STREAM), value = -1;
        connect_to(c, places[i], 20030);
        struct address from = {.length = sizeof from.of};
        int s = accept(l, (void *)&from.of, &from.length);
        printf("accept from %s: %s, name %s, peer %s", places[i], text_of(&from), own(s), peer(s));
        socklen_t length = sizeof value;
        getsockopt(s, SOL_SOCKET, SO_DOMAIN, &value, &length);
        printf(", domain %d", value);
        length = sizeof value;
        getsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &value, &length);
        printf(", v6only %d\n", value);
        close(c), close(s);
    }
    close(l);
    l = make('o', SOCK_STREAM);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bind_to(l, "6 ::", 20031);
    listen(l, 8);
    int c = make('4', SOCK_STREAM);
    printf("IPv4 to a listener of IPv6 only: %s\n", said(connect_to(c, "4 127.0.0.1", 20031)));
    close(c), close(l);
}

static void datagrams(void) {
    int u = make('6', SOCK_DGRAM), four = make('4', SOCK_DGRAM), six = make('6', SOCK_DGRAM);
    bind_to(u, "6 ::", 20040);
    bind_to(four, "4 127.0.0.1", 0);
    bind_to(six, "6 ::1", 0);
    send_to(four, "4 127.0.0.1", 20040);
    send_to(six, "6 ::1", 20040);
    for (int i = 0; i < 2; i++) {
        struct address from = {.length = sizeof from.of};
        char byte;
        struct pollfd waits = {.fd = u, .events = POLLIN};
        poll(&waits, 1, 1000);
        struct iovec to = {&byte, 1};
        struct msghdr m = {.msg_name = &from.of, .msg_namelen = sizeof from.of, .msg_iov = &to, .msg_iovlen = 1};
        long got = i ? recvmsg(u, &m, MSG_DONTWAIT)
                     : recvfrom(u, &byte, 1, MSG_DONTWAIT, (void *)&from.of, &from.length);
        if (i) from.length = m.msg_namelen;
        printf("datagram from %s", got < 0 ? said(got) : text_of(&from));
        const char *back = said(sendto(u, "y", 1, 0, (void *)&from.of, from.length));
        printf(", answered %s", back);
        int asker = i ? six : four;
        waits.fd = asker;
        poll(&waits, 1, 1000);
        from.length = sizeof from.of;
        got = recvfrom(asker, &byte, 1, MSG_DONTWAIT, (void *)&from.of, &from.length);
        printf(" from %s\n", got < 0 ? said(got) : text_of(&from));
    }
    const char *set = said(connect_to(u, "6 ::ffff:127.0.0.1", 20041));
    printf("connect of one at :: to IPv4: %s, name %s, peer %s\n", set, own(u), peer(u));
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    const char *dissolved = said(connect(u, &none, sizeof none));
    printf("dissolved: %s, name %s, peer %s\n", dissolved, own(u), peer(u));
    close(u), close(four), close(six);
}

static void lengths(void) {
    struct address four = at("4 127.0.0.1", 20050), six = at("6 ::1", 20050);
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (const char *family = "46"; *family; family++)
            for (int length = 2; length <= 28; length += length == 2 ? 13 : length == 16 ? 7 : length == 24 ? 4 : 1) {
                struct address *given[] = {&four, &six};
                printf("%s %c, %d bytes:", kinds[kind], *family, length);
                for (int i = 0; i < 2; i++) {
                    int s = make(*family, kind);
                    const char *bound = said(bind(s, (void *)&given[i]->of, length));
                    close(s);
                    s = make(*family, kind);
                    const char *connected = said(connect(s, (void *)&given[i]->of, length));
                    close(s);
                    printf(" %s %s", bound, connected);
                    if (kind == SOCK_DGRAM) {
                        s = make(*family, kind);
                        printf(" %s", said(sendto(s, "x", 1, 0, (void *)&given[i]->of, length)));
                        close(s);
                    }
                }
                printf("\n");
            }
    struct sockaddr_storage other = {.ss_family = AF_UNIX}, none = {.ss_family = AF_UNSPEC};
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (const char *family = "46"; *family; family++) {
            printf("%s %c, other families:", kinds[kind], *family);
            struct sockaddr_storage *given[] = {&other, &none};
            for (int i = 0; i < 2; i++) {
                int s = make(*family, kind);
                const char *bound = said(bind(s, (void *)given[i], 28));
                close(s);
                s = make(*family, kind);
                const char *connected = said(connect(s, (void *)given[i], 28));
                close(s);
                printf(" %s %s", bound, connected);
                if (kind == SOCK_DGRAM) {
                    s = make(*family, kind);
                    printf(" %s", said(sendto(s, "x", 1, 0, (void *)given[i], 28)));
                    close(s);
                }
            }
            printf("\n");
        }
}

static void options(void) {
    static const struct { const char *name; int level, number; } rows[] = {
        {"V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY},         {"UNICAST_HOPS", IPPROTO_IPV6, IPV6_UNICAST_HOPS},
        {"TCLASS", IPPROTO_IPV6, IPV6_TCLASS},         {"DONTFRAG", IPPROTO_IPV6, IPV6_DONTFRAG},
        {"TTL", IPPROTO_IP, IP_TTL},                   {"TOS", IPPROTO_IP, IP_TOS},
        {"nothing", IPPROTO_IPV6, 250},
    };
    static const int values[] = {-2, -1, 0, 1, 3, 255, 256};
    for (int kind = SOCK_STREAM; kind <= SOCK_DGRAM; kind++)
        for (const char *family = "46"; *family; family++)
            for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
                printf("%s %c %s:", kinds[kind], *family, rows[i].name);
                for (unsigned v = 0; v < sizeof values / sizeof *values; v++) {
                    int s = make(*family, kind);
                    printf(" %d ", values[v]);
                    option(s, rows[i].level, rows[i].number, values[v]);
                    printf(";");
                    close(s);
                }
                printf("\n");
            }
    int s = make('6', SOCK_STREAM);
    bind_to(s, "6 ::", 0);
    printf("V6ONLY after bind: ");
    option(s, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    char byte = 1;
    printf(", of one byte: %s", said(setsockopt(make('6', SOCK_STREAM), IPPROTO_IPV6, IPV6_V6ONLY, &byte, 1)));
    printf("\n");
    close(s);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    fresh();
    binding();
    conflicts();
    connecting();
    accepting();
    datagrams();
    lengths();
    options();
    return 0;
}
