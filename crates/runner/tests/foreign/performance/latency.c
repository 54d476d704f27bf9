// How long one byte there and back takes, and a connection that is opened and closed: microseconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS = 4000, BYTES = 20000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void ask(int good) {
    if (!good) {
        perror("latency");
        exit(1);
    }
}

static void no_delay(int s) {
    int on = 1;
    ask(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
}

static void *echo(void *listener) {
    for (;;) {
        int c = accept(*(int *)listener, 0, 0);
        ask(c >= 0);
        char b[64];
        ssize_t n;
        while ((n = read(c, b, sizeof b)) > 0)
            ask(write(c, b, n) == n);
        close(c);
    }
}

int main(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof a;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    ask(bind(l, (void *)&a, sizeof a) == 0 && listen(l, 100) == 0 && getsockname(l, (void *)&a, &length) == 0);
    pthread_t thread;
    ask(pthread_create(&thread, 0, echo, &l) == 0);
    double start = now();
    for (int i = 0; i < CONNECTIONS; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        ask(c >= 0 && connect(c, (void *)&a, sizeof a) == 0);
        close(c);
    }
    printf("connect-close %.1f\n", (now() - start) / CONNECTIONS);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    ask(c >= 0 && connect(c, (void *)&a, sizeof a) == 0);
    no_delay(c);
    char b = 'x';
    start = now();
    for (int i = 0; i < BYTES; i++)
        ask(write(c, &b, 1) == 1 && read(c, &b, 1) == 1);
    printf("one-byte %.1f\n", (now() - start) / BYTES);
}
