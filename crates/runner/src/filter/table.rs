//! Which call goes where. Read it as: a call of this name, when one of these alternatives holds, is answered so.
//!
//! Left to the kernel on purpose, because they work on a socketpair as on a TCP socket: `read`, `write`, `readv`,
//! `writev`, `send` and `recv` (which are `sendto` and `recvfrom` without an address), `sendfile`, `splice`, `poll`,
//! `select`, `epoll_*`, `dup`, `fcntl`, `close`; of `ioctl`, `FIONREAD` and `FIONBIO`.

use crate::numbers::{SO_TIMESTAMP_NEW, SO_TIMESTAMPING_NEW, SO_TIMESTAMPNS_NEW};

/// The architecture whose call numbers the rows use: `AUDIT_ARCH_X86_64`.
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xc000_003e;
/// The architecture whose call numbers the rows use: `AUDIT_ARCH_AARCH64`.
#[cfg(target_arch = "aarch64")]
pub const ARCH: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the runner knows the call numbers of x86_64 and aarch64 only");

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The kernel does it.
    Allow,
    /// The guard answers it.
    Notify,
    /// It fails with this errno.
    Fail(i32),
}

impl Action {
    /// The value a filter returns for it (`linux/seccomp.h`).
    pub fn word(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Self::Fail(errno) => {
                libc::SECCOMP_RET_ERRNO | (errno.unsigned_abs() & libc::SECCOMP_RET_DATA)
            }
        }
    }
}

/// A test of one argument.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// Its low 32 bits are one of these.
    In(&'static [u32]),
    /// Its low 32 bits are none of these.
    NotIn(&'static [u32]),
    /// None of its 64 bits is set: not so.
    NotZero,
    /// Its low 32 bits, masked, are this.
    Masked {
        /// Bits looked at.
        mask: u32,
        /// What they must be.
        value: u32,
    },
}

/// A test and the argument (0 to 5) it looks at.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    /// Index of the argument.
    pub argument: u8,
    /// What is asked of it.
    pub test: Test,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The call's number.
    pub call: u32,
    /// Alternatives, each a list of conditions that must all hold. An empty list of conditions always holds.
    pub when: &'static [&'static [Condition]],
    /// What becomes of the call then.
    pub action: Action,
}

const fn argument(argument: u8, test: Test) -> Condition {
    Condition { argument, test }
}

const fn number(call: libc::c_long) -> u32 {
    call as u32
}

const ALWAYS: &[&[Condition]] = &[&[]];

const INTERNET: &[u32] = &[libc::AF_INET as u32, libc::AF_INET6 as u32];

/// Sockets of the internet, and those that ask about it: `NETLINK_ROUTE` and `NETLINK_SOCK_DIAG`.
const SOCKETS: &[&[Condition]] = &[
    &[argument(0, Test::In(INTERNET))],
    &[
        argument(0, Test::In(&[libc::AF_NETLINK as u32])),
        argument(2, Test::In(&[0, 4])),
    ],
];

/// Options of `SOL_SOCKET` where a socketpair would answer for itself. Time limits stay native.
const SOCKET_OPTIONS: &[u32] = &[
    libc::SO_REUSEADDR as u32,
    libc::SO_TYPE as u32,
    libc::SO_ERROR as u32,
    libc::SO_BROADCAST as u32,
    libc::SO_SNDBUF as u32,
    libc::SO_RCVBUF as u32,
    libc::SO_KEEPALIVE as u32,
    libc::SO_LINGER as u32,
    libc::SO_REUSEPORT as u32,
    libc::SO_BINDTODEVICE as u32,
    libc::SO_BINDTOIFINDEX as u32,
    libc::SO_ACCEPTCONN as u32,
    libc::SO_PROTOCOL as u32,
    libc::SO_DOMAIN as u32,
    // These ask for privileges, which a program's user has in the guard's room.
    libc::SO_PRIORITY as u32,
    libc::SO_MARK as u32,
    libc::SO_SNDBUFFORCE as u32,
    libc::SO_RCVBUFFORCE as u32,
    libc::SO_TIMESTAMP as u32,
    libc::SO_TIMESTAMPNS as u32,
    libc::SO_TIMESTAMPING as u32,
    SO_TIMESTAMP_NEW as u32,
    SO_TIMESTAMPNS_NEW as u32,
    SO_TIMESTAMPING_NEW as u32,
];

const OPTIONS: &[&[Condition]] = &[
    // Of any other level a socketpair knows nothing.
    &[argument(1, Test::NotIn(&[libc::SOL_SOCKET as u32]))],
    &[
        argument(1, Test::In(&[libc::SOL_SOCKET as u32])),
        argument(2, Test::In(SOCKET_OPTIONS)),
    ],
];

/// `sendto` with an address; without one it is `send`.
const WITH_ADDRESS: &[&[Condition]] = &[&[argument(4, Test::NotZero)]];

/// `recvfrom` with an address, or with `MSG_TRUNC` or `MSG_ERRQUEUE`, which a pair does not know; otherwise it is `recv`.
const RECEIVED_WITH: &[&[Condition]] = &[
    &[argument(4, Test::NotZero)],
    &[argument(
        3,
        Test::Masked {
            mask: libc::MSG_TRUNC as u32,
            value: libc::MSG_TRUNC as u32,
        },
    )],
    &[argument(
        3,
        Test::Masked {
            mask: libc::MSG_ERRQUEUE as u32,
            value: libc::MSG_ERRQUEUE as u32,
        },
    )],
];

/// Requests about interfaces, routes and neighbours (`linux/sockios.h`).
const INTERFACE_REQUESTS: &[&[Condition]] = &[&[argument(
    1,
    Test::Masked {
        mask: 0xffff_ff00,
        value: 0x8900,
    },
)]];

/// `open` for reading only, as readers of small files ask for it: the path is looked at, see `exec/files`.
const fn reading(flags: u8) -> Condition {
    let others = libc::O_ACCMODE
        | libc::O_CREAT
        | libc::O_DIRECTORY
        | libc::O_NOFOLLOW
        | libc::O_NONBLOCK
        | libc::O_PATH;
    argument(
        flags,
        Test::Masked {
            mask: others as u32,
            value: libc::O_RDONLY as u32,
        },
    )
}

/// `AT_FDCWD`: what walks through folders names them by their descriptors.
const HERE: Test = Test::In(&[libc::AT_FDCWD as u32]);

const fn notify(call: libc::c_long, when: &'static [&'static [Condition]]) -> Row {
    Row {
        call: number(call),
        when,
        action: Action::Notify,
    }
}

/// The table.
pub const ROWS: &[Row] = &[
    notify(libc::SYS_socket, SOCKETS),
    notify(libc::SYS_bind, ALWAYS),
    notify(libc::SYS_listen, ALWAYS),
    notify(libc::SYS_accept, ALWAYS),
    notify(libc::SYS_accept4, ALWAYS),
    notify(libc::SYS_connect, ALWAYS),
    notify(libc::SYS_getsockname, ALWAYS),
    notify(libc::SYS_getpeername, ALWAYS),
    notify(libc::SYS_shutdown, ALWAYS),
    notify(libc::SYS_setsockopt, OPTIONS),
    notify(libc::SYS_getsockopt, OPTIONS),
    notify(libc::SYS_sendto, WITH_ADDRESS),
    notify(libc::SYS_recvfrom, RECEIVED_WITH),
    notify(libc::SYS_sendmsg, ALWAYS),
    notify(libc::SYS_recvmsg, ALWAYS),
    notify(libc::SYS_sendmmsg, ALWAYS),
    notify(libc::SYS_recvmmsg, ALWAYS),
    notify(libc::SYS_ioctl, INTERFACE_REQUESTS),
    #[cfg(target_arch = "x86_64")]
    notify(libc::SYS_open, &[&[reading(1)]]),
    notify(libc::SYS_openat, &[&[argument(0, HERE), reading(2)]]),
    // The guard makes them, so that it knows where they are (`exec::epolls`).
    #[cfg(target_arch = "x86_64")]
    notify(libc::SYS_epoll_create, ALWAYS),
    notify(libc::SYS_epoll_create1, ALWAYS),
    // Its rings make calls that no filter sees.
    Row {
        call: number(libc::SYS_io_uring_setup),
        when: ALWAYS,
        action: Action::Fail(libc::ENOSYS),
    },
];

#[cfg(test)]
mod tests {
    use super::super::bpf::{self, Instruction};
    use super::*;

    /// What the kernel's interpreter does with the instructions that we use.
    fn interpret(program: &[Instruction], arch: u32, call: u32, args: [u64; 6]) -> u32 {
        let mut a = 0_u32;
        let mut at = 0_usize;
        for _ in 0..program.len() {
            let i = program[at];
            at += 1;
            match i.code {
                bpf::LOAD => {
                    a = match i.k {
                        bpf::NUMBER => call,
                        bpf::ARCH => arch,
                        k => {
                            let offset = k - bpf::ARGUMENTS;
                            let word = args[(offset / 8) as usize];
                            if offset.is_multiple_of(8) {
                                word as u32
                            } else {
                                (word >> 32) as u32
                            }
                        }
                    }
                }
                bpf::AND => a &= i.k,
                bpf::EQUAL => at += usize::from(if a == i.k { i.jt } else { i.jf }),
                bpf::AT_LEAST => at += usize::from(if a >= i.k { i.jt } else { i.jf }),
                bpf::DECIDE => return i.k,
                other => panic!("an instruction that the filter does not use: {other:#x}"),
            }
        }
        panic!("a program must decide before it loops")
    }

    const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn each_call_goes_where_the_table_of_the_design_sends_it() {
        let inet = libc::AF_INET as u64;
        let socket = libc::SOL_SOCKET as u64;
        let address = 0x7fff_0000_0000_u64;
        #[rustfmt::skip]
        let rows: &[(libc::c_long, [u64; 6], u32)] = &[
            (libc::SYS_socket, [inet, 1, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_socket, [libc::AF_INET6 as u64, 2, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_socket, [inet | 0xdead_0000_0000, 1, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_socket, [libc::AF_UNIX as u64, 1, 0, 0, 0, 0], ALLOW),
            (libc::SYS_socket, [libc::AF_NETLINK as u64, 3, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_socket, [libc::AF_NETLINK as u64, 2, 4, 0, 0, 0], NOTIFY),
            (libc::SYS_socket, [libc::AF_NETLINK as u64, 3, 15, 0, 0, 0], ALLOW),
            (libc::SYS_socket, [libc::AF_UNIX as u64, 1, 4, 0, 0, 0], ALLOW),
            (libc::SYS_socketpair, [inet, 1, 0, 0, 0, 0], ALLOW),
            (libc::SYS_bind, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_listen, [3, 5, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_accept, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_accept4, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_connect, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_getsockname, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_getpeername, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_shutdown, [3, 1, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 6, 1, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 0, 2, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 41, 26, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 17, 103, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, socket, libc::SO_REUSEADDR as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, socket, libc::SO_BROADCAST as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, socket, libc::SO_RCVTIMEO as u64, 0, 0, 0], ALLOW),
            (libc::SYS_setsockopt, [3, socket, libc::SO_SNDBUF as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, socket, libc::SO_TIMESTAMP as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, socket, SO_TIMESTAMPNS_NEW as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 270, 1, 0, 0, 0], NOTIFY),
            (libc::SYS_setsockopt, [3, 263, 1, 0, 0, 0], NOTIFY),
            (libc::SYS_getsockopt, [3, socket, libc::SO_ERROR as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_getsockopt, [3, socket, libc::SO_TYPE as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_getsockopt, [3, socket, libc::SO_DOMAIN as u64, 0, 0, 0], NOTIFY),
            (libc::SYS_getsockopt, [3, socket, libc::SO_PEERCRED as u64, 0, 0, 0], ALLOW),
            (libc::SYS_sendto, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_sendto, [3, 0, 0, 0, 4, 16], NOTIFY),
            (libc::SYS_sendto, [3, 0, 0, 0, address, 16], NOTIFY),
            (libc::SYS_recvfrom, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_recvfrom, [3, 0, 0, 0, address, 0], NOTIFY),
            (libc::SYS_recvfrom, [3, 0, 5, libc::MSG_TRUNC as u64, 0, 0], NOTIFY),
            (libc::SYS_recvfrom, [3, 0, 5, libc::MSG_PEEK as u64, 0, 0], ALLOW),
            (libc::SYS_sendmsg, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_recvmsg, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_sendmmsg, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_recvmmsg, [3, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_ioctl, [3, 0x8915, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_ioctl, [3, 0x541b, 0, 0, 0, 0], ALLOW),
            (libc::SYS_ioctl, [3, 0x5421, 0, 0, 0, 0], ALLOW),
            (libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0], ENOSYS),
            (libc::SYS_dup, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_fcntl, [3, libc::F_DUPFD_CLOEXEC as u64, 0, 0, 0, 0], ALLOW),
            (libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_epoll_create1, [0, 0, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_epoll_ctl, [4, libc::EPOLL_CTL_ADD as u64, 3, 0, 0, 0], ALLOW),
            (libc::SYS_read, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_write, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_close, [3, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_execve, [1, 1, 1, 0, 0, 0], ALLOW),
            (libc::SYS_exit_group, [0, 0, 0, 0, 0, 0], ALLOW),
        ];
        let program = bpf::assemble(ARCH, ROWS);
        for (call, args, expected) in rows {
            let decided = interpret(&program, ARCH, *call as u32, *args);
            assert_eq!(
                decided, *expected,
                "call {call} with {args:x?}: {decided:#x}"
            );
        }
    }

    #[test]
    fn a_file_is_looked_at_when_it_is_opened_for_reading_by_its_path() {
        let address = 0x7fff_0000_0000_u64;
        let (here, cloexec) = (libc::AT_FDCWD as u64, libc::O_CLOEXEC as u64);
        #[rustfmt::skip]
        let rows: &[(libc::c_long, [u64; 6], u32)] = &[
            (libc::SYS_openat, [here, address, 0, 0, 0, 0], NOTIFY),
            (libc::SYS_openat, [here & 0xffff_ffff, address, cloexec, 0, 0, 0], NOTIFY),
            (libc::SYS_openat, [here, address, libc::O_WRONLY as u64, 0, 0, 0], ALLOW),
            (libc::SYS_openat, [here, address, libc::O_RDWR as u64, 0, 0, 0], ALLOW),
            (libc::SYS_openat, [here, address, libc::O_DIRECTORY as u64, 0, 0, 0], ALLOW),
            (libc::SYS_openat, [here, address, libc::O_NONBLOCK as u64, 0, 0, 0], ALLOW),
            (libc::SYS_openat, [3, address, cloexec, 0, 0, 0], ALLOW),
        ];
        let program = bpf::assemble(ARCH, ROWS);
        for (call, args, expected) in rows {
            let decided = interpret(&program, ARCH, *call as u32, *args);
            assert_eq!(decided, *expected, "{args:x?}");
        }
    }

    #[test]
    fn calls_of_another_architecture_and_of_x32_do_not_exist() {
        let program = bpf::assemble(ARCH, ROWS);
        let i386 = 0x4000_0003;
        assert_eq!(interpret(&program, i386, 102, [0; 6]), ENOSYS);
        assert_eq!(
            interpret(&program, ARCH, 0x4000_0000 | libc::SYS_write as u32, [0; 6]),
            ENOSYS
        );
        assert_eq!(interpret(&program, ARCH, u32::MAX, [0; 6]), ENOSYS);
    }

    #[test]
    fn every_jump_of_the_program_stays_inside_it() {
        let program = bpf::assemble(ARCH, ROWS);
        for (at, i) in program.iter().enumerate() {
            let reach = at + 1 + usize::from(i.jt.max(i.jf));
            assert!(
                reach < program.len() || i.code == bpf::DECIDE,
                "instruction {at}: {i:?}"
            );
        }
    }

    #[test]
    fn no_call_has_two_rows() {
        let mut calls: Vec<u32> = ROWS.iter().map(|row| row.call).collect();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), ROWS.len());
    }
}
