//! Files that say what the network is: a program that opens one for reading gets the node's, as of now.
//!
//! They are known by their paths as programs spell them, not by what links and mounts make of them.

use super::answers::Want;
use super::calls::{Step, ask};
use crate::memory;
use crate::notify::Notification;
use crate::protocol::Call;

/// Bytes of the longest path that is looked at: `/proc/sys/net/ipv6/conf/`, a name of 15 and one of a setting; or
/// `/proc/4194304/task/4194304/net/` and a name.
const LONGEST: usize = 80;
/// What memory is mapped in.
const PAGE: u64 = 4096;

/// Where the kernel has its settings, of which the lab says which a node has, too.
const SETTINGS: &str = "/proc/sys/net/";

/// Files below `/proc/net`.
const OF_PROC: [&str; 20] = [
    "arp",
    "dev",
    "icmp",
    "icmp6",
    "if_inet6",
    "ipv6_route",
    "netstat",
    "raw",
    "raw6",
    "route",
    "snmp",
    "snmp6",
    "sockstat",
    "sockstat6",
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "udplite",
    "udplite6",
];

/// `open` and `openat` for reading only: path and flags.
pub(super) fn open(n: &Notification, path: u64, flags: u64) -> Result<Step, i32> {
    match read_path(n.thread, path).as_deref().and_then(name) {
        Some(file) => {
            let cloexec = flags as i32 & libc::O_CLOEXEC != 0;
            Ok(ask(Call::File { file }, Want::File { cloexec }))
        }
        None => Ok(Step::Native),
    }
}

/// The text at an address; `None` for one that is longer than those that we know.
fn read_path(thread: i32, at: u64) -> Option<String> {
    let mut bytes = [0; LONGEST];
    // The page behind a short text may not be there.
    let in_page = usize::try_from(PAGE - at % PAGE).ok()?.min(LONGEST);
    let (first, rest) = bytes.split_at_mut(in_page);
    memory::read(thread, at, first).ok()?;
    if !first.contains(&0) {
        memory::read(thread, at + in_page as u64, rest).ok()?;
    }
    let end = bytes.iter().position(|byte| *byte == 0)?;
    String::from_utf8(bytes.get(..end)?.to_vec()).ok()
}

/// The name by which the lab knows a file.
fn name(path: &str) -> Option<String> {
    if ["/etc/hosts", "/etc/resolv.conf"].contains(&path) || path.starts_with(SETTINGS) {
        return Some(path.to_owned());
    }
    let below = path.strip_prefix("/proc/")?;
    let (before, file) = below.split_once("net/")?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let of_process = |text: &str| text == "self" || text == "thread-self" || number(text);
    let is_net = match before.split('/').collect::<Vec<_>>()[..] {
        [""] => true,
        [process, ""] => of_process(process),
        [process, "task", thread, ""] => of_process(process) && number(thread),
        _ => false,
    };
    (is_net && OF_PROC.contains(&file)).then(|| format!("/proc/net/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_paths() {
        let setting = "/proc/sys/net/ipv4/tcp_rmem";
        for path in ["/etc/hosts", "/etc/resolv.conf", "/proc/net/tcp", setting] {
            assert_eq!(name(path).as_deref(), Some(path));
        }
        for path in ["self", "thread-self", "4194304", "1/task/23", "self/task/7"] {
            let path = format!("/proc/{path}/net/udp6");
            assert_eq!(name(&path).as_deref(), Some("/proc/net/udp6"), "{path}");
        }
        for path in [
            "",
            "/",
            "hosts",
            "/etc/hosts.allow",
            "/etc//hosts",
            "/proc/net",
            "/proc/net/",
            "/proc/net/unix",
            "/proc/net/stat/arp_cache",
            "/proc/sys/kernel/hostname",
            "/proc/sys/net",
            "/proc//net/tcp",
            "/proc/selfnet/tcp",
            "/proc/self/task//net/tcp",
            "/tmp/proc/net/tcp",
        ] {
            assert_eq!(name(path), None, "{path}");
        }
    }
}
