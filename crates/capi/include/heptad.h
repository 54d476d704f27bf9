/* Sockets of Heptad for C. Made by cbindgen from crates/capi; do not edit. */

#ifndef HEPTAD_H
#define HEPTAD_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>


/**
 * A host, its descriptors and its clock. To C it is opaque.
 */
struct heptad;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a host. `settings` is null or a text like `local=192.168.0.1/16,mtu=1500,tcp_sack=0`; see `docs/capi.md`.
 * NULL and EINVAL for what is not understood.
 *
 * # Safety
 * `settings` is null or ends with a zero byte.
 */
struct heptad *heptad_new(const char *settings);

/**
 * Ends a host, with all its sockets.
 *
 * # Safety
 * `host` is of [`heptad_new`], and no thread uses it any more.
 */
void heptad_free(struct heptad *host);

/**
 * A packet comes to the host, from its IP header on.
 *
 * # Safety
 * `buf` is good for reading `count` bytes.
 */
int heptad_netdev_send(const struct heptad *host, const void *buf, size_t count);

/**
 * The next packet of the host: into `buf`, of which `*count` bytes are good and then used, and when it left. Time moves until
 * there is one; if none will come, `*count` is 0.
 *
 * # Safety
 * `count` and `time_usecs` are good, and `buf` is good for writing `*count` bytes.
 */
int heptad_netdev_receive(const struct heptad *host,
                          void *buf,
                          size_t *count,
                          long long *time_usecs);

/**
 * Time moves by so much.
 */
int heptad_usleep(const struct heptad *host, unsigned int usecs);

/**
 * What time it is on the host's clock: 1 µs later than the last time at least.
 *
 * # Safety
 * `tv` is null or good for writing; `tz` is not looked at.
 */
int heptad_gettimeofday(const struct heptad *host, struct timeval *tv, void *_tz);

/**
 * socket(2): AF_INET and AF_INET6; streams, datagrams, and echoes of ICMP.
 */
int heptad_socket(const struct heptad *host, int domain, int kind, int protocol);

/**
 * bind(2).
 *
 * # Safety
 * `addr` is good for reading `len` bytes.
 */
int heptad_bind(const struct heptad *host, int fd, const struct sockaddr *addr, socklen_t len);

/**
 * listen(2).
 */
int heptad_listen(const struct heptad *host, int fd, int backlog);

/**
 * accept(2).
 *
 * # Safety
 * `len` is null or good, `addr` null or good for writing `*len` bytes.
 */
int heptad_accept(const struct heptad *host, int fd, struct sockaddr *addr, socklen_t *len);

/**
 * accept4(2).
 *
 * # Safety
 * As for [`heptad_accept`].
 */
int heptad_accept4(const struct heptad *host,
                   int fd,
                   struct sockaddr *addr,
                   socklen_t *len,
                   int flags);

/**
 * connect(2).
 *
 * # Safety
 * `addr` is good for reading `len` bytes.
 */
int heptad_connect(const struct heptad *host, int fd, const struct sockaddr *addr, socklen_t len);

/**
 * shutdown(2).
 */
int heptad_shutdown(const struct heptad *host, int fd, int how);

/**
 * close(2).
 */
int heptad_close(const struct heptad *host, int fd);

/**
 * getsockname(2).
 *
 * # Safety
 * As for [`heptad_accept`].
 */
int heptad_getsockname(const struct heptad *host, int fd, struct sockaddr *addr, socklen_t *len);

/**
 * getpeername(2).
 *
 * # Safety
 * As for [`heptad_accept`].
 */
int heptad_getpeername(const struct heptad *host, int fd, struct sockaddr *addr, socklen_t *len);

/**
 * read(2).
 *
 * # Safety
 * `buf` is good for writing `count` bytes.
 */
ptrdiff_t heptad_read(const struct heptad *host, int fd, void *buf, size_t count);

/**
 * recv(2).
 *
 * # Safety
 * `buf` is good for writing `len` bytes.
 */
ptrdiff_t heptad_recv(const struct heptad *host, int fd, void *buf, size_t len, int flags);

/**
 * recvfrom(2).
 *
 * # Safety
 * `buf` is good for writing `len` bytes, `addrlen` null or good, `addr` null or good for writing `*addrlen` bytes.
 */
ptrdiff_t heptad_recvfrom(const struct heptad *host,
                          int fd,
                          void *buf,
                          size_t len,
                          int flags,
                          struct sockaddr *addr,
                          socklen_t *addrlen);

/**
 * readv(2).
 *
 * # Safety
 * `iov` is good for reading `iovcnt` buffers, and each is good for writing.
 */
ptrdiff_t heptad_readv(const struct heptad *host, int fd, const struct iovec *iov, int iovcnt);

/**
 * recvmsg(2). There are no control messages.
 *
 * # Safety
 * `msg` is good, and what it points at.
 */
ptrdiff_t heptad_recvmsg(const struct heptad *host, int fd, struct msghdr *msg, int flags);

/**
 * write(2). There is no SIGPIPE.
 *
 * # Safety
 * `buf` is good for reading `count` bytes.
 */
ptrdiff_t heptad_write(const struct heptad *host, int fd, const void *buf, size_t count);

/**
 * send(2).
 *
 * # Safety
 * `buf` is good for reading `len` bytes.
 */
ptrdiff_t heptad_send(const struct heptad *host, int fd, const void *buf, size_t len, int flags);

/**
 * sendto(2).
 *
 * # Safety
 * `buf` is good for reading `len` bytes, `addr` null or good for reading `addrlen` bytes.
 */
ptrdiff_t heptad_sendto(const struct heptad *host,
                        int fd,
                        const void *buf,
                        size_t len,
                        int flags,
                        const struct sockaddr *addr,
                        socklen_t addrlen);

/**
 * writev(2).
 *
 * # Safety
 * `iov` is good for reading `iovcnt` buffers, and each is good for reading.
 */
ptrdiff_t heptad_writev(const struct heptad *host, int fd, const struct iovec *iov, int iovcnt);

/**
 * sendmsg(2). Control messages are not looked at.
 *
 * # Safety
 * `msg` is good, and what it points at.
 */
ptrdiff_t heptad_sendmsg(const struct heptad *host, int fd, const struct msghdr *msg, int flags);

/**
 * pipe(2): the kernel's own, for [`heptad_splice`].
 *
 * # Safety
 * `fds` is good for writing two numbers.
 */
int heptad_pipe(const struct heptad *_host, int *fds);

/**
 * splice(2) between a socket and a pipe, in either direction.
 *
 * # Safety
 * The offsets are null: neither has any.
 */
ptrdiff_t heptad_splice(const struct heptad *host,
                        int fd_in,
                        loff_t *off_in,
                        int fd_out,
                        loff_t *off_out,
                        size_t len,
                        unsigned int flags);

/**
 * setsockopt(2).
 *
 * # Safety
 * `value` is good for reading `len` bytes.
 */
int heptad_setsockopt(const struct heptad *host,
                      int fd,
                      int level,
                      int name,
                      const void *value,
                      socklen_t len);

/**
 * getsockopt(2).
 *
 * # Safety
 * `len` is good, and `value` is good for writing `*len` bytes.
 */
int heptad_getsockopt(const struct heptad *host,
                      int fd,
                      int level,
                      int name,
                      void *value,
                      socklen_t *len);

/**
 * fcntl(2): F_GETFL and F_SETFL are the socket's, the rest is the kernel's descriptor's.
 */
int heptad_fcntl(const struct heptad *host, int fd, int command, unsigned long argument);

/**
 * ioctl(2): FIONREAD (SIOCINQ), SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, FIONBIO.
 *
 * # Safety
 * `argument` is good for a number.
 */
int heptad_ioctl(const struct heptad *host, int fd, unsigned long request, void *argument);

/**
 * poll(2).
 *
 * # Safety
 * `fds` is good for `count` of them.
 */
int heptad_poll(const struct heptad *host, struct pollfd *fds, nfds_t count, int timeout);

/**
 * epoll_create(2).
 */
int heptad_epoll_create(const struct heptad *host, int size);

/**
 * epoll_ctl(2).
 *
 * # Safety
 * `event` is good, or the operation needs none.
 */
int heptad_epoll_ctl(const struct heptad *host,
                     int epoll,
                     int operation,
                     int fd,
                     struct epoll_event *event);

/**
 * epoll_wait(2). With EPOLLET a bit is told again only after it was gone.
 *
 * # Safety
 * `events` is good for writing `most` of them.
 */
int heptad_epoll_wait(const struct heptad *host,
                      int epoll,
                      struct epoll_event *events,
                      int most,
                      int timeout);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HEPTAD_H */
