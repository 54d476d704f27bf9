//! Files that say what the network is are the node's: net-tools, resolvers and whoever reads them see its own.
mod support;

use support::has_program;
use support::pair::Pair;

const FILE: &str = "name = \"pair\"\n\
    [nodes.a]\naddress = [\"10.0.0.1/24\", \"fd00:1::1/64\"]\ngateway = [\"10.0.0.2\", \"fd00:1::2\"]\n\
    [nodes.b]\naddress = [\"10.0.0.2/24\", \"fd00:1::2/64\"]\n\
    [[links]]\nendpoints = [\"a:eth0\", \"b:eth0\"]\ndelay = \"500us\"\n";

/// Sockets of each kind, and then they wait.
const SOCKETS: &str = "
import signal, socket
l = socket.create_server(('0.0.0.0', 80))
c = socket.create_connection(('10.0.0.2', 80)); a, _ = l.accept()
six = socket.create_server(('::1', 81), family=socket.AF_INET6)
both = socket.create_server(('', 82), family=socket.AF_INET6, dualstack_ipv6=True)
mapped = socket.create_connection(('10.0.0.2', 82)); waits = True
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('10.0.0.2', 53))
v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v.bind(('fd00:1::2', 54))
print('ready', flush=True)
signal.pause()
";

fn has_all(programs: &[&str]) -> bool {
    programs.iter().all(|program| has_program(program))
}

#[test]
fn net_tools_print_what_heptads_own_commands_print() {
    if !has_all(&["netstat", "arp", "python3", "setpriv"]) {
        return;
    }
    let mut pair = Pair::up_with(FILE);
    pair.heptad(&["ping", "-c", "1", "--node", "b", "10.0.0.1"])
        .expect_code(0);
    drop(pair.serve(&["python3", "-c", SOCKETS]));
    for node in ["a", "b"] {
        for (real, own) in [
            ("netstat -tanu", "netstat -tanu"),
            ("netstat -ltn", "netstat -ltn"),
            ("netstat -rn", "netstat -rn"),
            ("netstat -rn6", "netstat -r6n"),
            ("arp -n", "arp -n"),
        ] {
            let words: Vec<&str> = real.split(' ').collect();
            let shown = pair.exec(node, &words);
            let words: Vec<&str> = own.split(' ').collect();
            let own = pair.heptad(&[&words[..], &["--node", node]].concat());
            assert_eq!(shown, own.expect_code(0).stdout, "{real} on {node}");
        }
    }
    let holders = pair.exec("b", &["netstat", "-ltnp"]);
    assert!(holders.contains("/python3"), "{holders}");
    pair.down();
}

/// Numbers by name, as `nstat` prints them.
fn numbers(shown: &str) -> std::collections::BTreeMap<&str, u64> {
    let rows = shown.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?.parse().ok()?))
    });
    rows.collect()
}

#[test]
fn counters_are_the_nodes_in_the_machines_own_tools() {
    if !has_all(&["netstat", "nstat", "ss", "python3", "setpriv"]) {
        return;
    }
    let mut pair = Pair::up_with(FILE);
    drop(pair.serve(&["python3", "-c", SOCKETS]));
    for to in ["10.0.0.1", "fd00:1::1"] {
        pair.heptad(&["ping", "-c", "2", "--node", "b", to])
            .expect_code(0);
    }
    let shown = pair.exec("b", &["netstat", "-s"]);
    let own = pair.heptad(&["netstat", "-s", "--node", "b"]);
    let own = own.expect_code(0).stdout;
    // The tool shows IPv6 by an option only.
    let v4: Vec<&str> = own.lines().take_while(|line| *line != "Ip6:").collect();
    assert!(v4.len() > 30, "{own}");
    let mut lines = shown.lines();
    for line in v4 {
        assert!(lines.any(|other| other == line), "{line:?} in\n{shown}");
    }
    let shown = pair.exec("b", &["nstat", "-as"]);
    let shown = numbers(&shown);
    assert_eq!(shown.get("IcmpOutEchos"), Some(&2));
    assert_eq!(shown.get("IcmpMsgInType0"), Some(&2));
    assert_eq!(shown.get("Icmp6InType129"), Some(&2));
    // Two connections of the server to itself.
    assert_eq!(shown.get("TcpPassiveOpens"), Some(&2));
    let summary = pair.exec("b", &["ss", "-s"]);
    assert!(
        summary.contains("TCP:   7 (estab 4, closed 0, orphaned 0, timewait 0)"),
        "{summary}"
    );
    let stat = pair.exec("b", &["cat", "/proc/net/sockstat", "/proc/net/sockstat6"]);
    for line in ["UDP: inuse 1 mem 0\n", "UDP6: inuse 1\n", "TCP6: inuse 3\n"] {
        assert!(stat.contains(line), "{stat}");
    }
    pair.down();
}

#[test]
fn sockets_of_icmp_and_udp_lite_have_files_of_their_own() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let pair = Pair::up_with(FILE);
    let script = "
import socket
held = []
for af, host, icmp in (socket.AF_INET, '127.0.0.1', 1), (socket.AF_INET6, '::1', 58):
    for kind, protocol in (socket.SOCK_DGRAM, icmp), (socket.SOCK_DGRAM, 136):
        s = socket.socket(af, kind, protocol); s.bind((host, 0x1234)); held.append(s)
for name in 'icmp', 'icmp6', 'udplite', 'udplite6':
    head, *rows = open('/proc/net/' + name).read().splitlines()
    kernel = open('/proc/./net/' + name).readline().rstrip()
    print(name, head.rstrip() == kernel, [row.split()[1][-5:] for row in rows])
";
    let expected = "icmp True [':1234']\nicmp6 True [':1234']\nudplite True [':1234']\nudplite6 True [':1234']\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}

#[test]
fn settings_are_the_nodes_and_not_to_be_written() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let pair = Pair::up_with(FILE);
    let script = "
def read(name): return open('/proc/sys/net/' + name).read()
for name in ('core/somaxconn', 'ipv4/ip_local_port_range', 'ipv4/ping_group_range', 'ipv4/tcp_rmem',
        'ipv4/ip_forward', 'ipv4/conf/eth0/forwarding', 'ipv6/conf/eth0/mtu', 'ipv6/conf/all/disable_ipv6'):
    print(name, read(name).split())
print(len(read('unix/max_dgram_qlen').split()))
try: open('/proc/sys/net/core/somaxconn', 'w')
except PermissionError: print('refused')
import socket
s = socket.socket(); s.bind(('', 0))
low, high = map(int, read('ipv4/ip_local_port_range').split())
print(low <= s.getsockname()[1] <= high)
";
    let expected = "core/somaxconn ['4096']\nipv4/ip_local_port_range ['32768', '60999']\n\
        ipv4/ping_group_range ['0', '2147483647']\nipv4/tcp_rmem ['4096', '131072', '33554432']\n\
        ipv4/ip_forward ['0']\nipv4/conf/eth0/forwarding ['0']\nipv6/conf/eth0/mtu ['1500']\n\
        ipv6/conf/all/disable_ipv6 ['0']\n1\nrefused\nTrue\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}

#[test]
fn a_file_is_written_anew_for_who_opens_it_and_only_for_reading() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let pair = Pair::up_with(FILE);
    let script = "
import os, socket, subprocess
def ports(path): return [line.split()[1][-4:] for line in open(path).readlines()[1:]]
before = open('/proc/net/tcp')
l = socket.create_server(('10.0.0.1', 0x5678))
print(before.readlines()[1:], ports('/proc/net/tcp'))
me = '/proc/%d/net/tcp' % os.getpid()
print(ports('/proc/self/net/tcp'), ports('/proc/thread-self/net/tcp'), ports(me))
print(subprocess.run(['sh', '-c', 'cat /proc/net/tcp | wc -l; grep -c 5678 /proc/net/tcp'], capture_output=True).stdout)
l.close(); print(ports('/proc/net/tcp'))
inherited = os.open('/etc/hosts', os.O_RDONLY | os.O_CLOEXEC); print(os.get_inheritable(inherited))
for flags in os.O_WRONLY, os.O_RDWR:
    try: os.open('/proc/net/tcp', flags); print('written')
    except OSError: print('refused')
try: os.write(inherited, b'x')
except OSError: print('refused')
try: open('/proc/net/nothing')
except FileNotFoundError: print('not there')
print(len(open('/proc/net/unix').readlines()) > 0, len(open('/etc/passwd').read()) > 0)
print(open('/proc/net/if_inet6').read().split()[4:6], len(open('/proc/net/dev').readlines()))
";
    let expected = "[] ['5678']\n['5678'] ['5678'] ['5678']\nb'2\\n1\\n'\n[]\nFalse\n\
        refused\nrefused\nrefused\nnot there\nTrue True\n['80', 'lo'] 4\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}

#[test]
fn names_are_those_of_the_lab_and_of_no_file_of_the_machine() {
    if !has_all(&["python3", "getent", "setpriv"]) {
        return;
    }
    let pair = Pair::up_with(FILE);
    assert_eq!(
        pair.exec("a", &["cat", "/etc/resolv.conf"]),
        "nameserver 192.0.2.53\n"
    );
    let hosts = pair.exec("a", &["cat", "/etc/hosts"]);
    let named: Vec<Vec<&str>> = hosts
        .lines()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    let expected = [
        ["127.0.0.1", "localhost"],
        ["::1", "localhost"],
        ["10.0.0.1", "a"],
        ["fd00:1::1", "a"],
        ["10.0.0.2", "b"],
        ["fd00:1::2", "b"],
    ];
    assert_eq!(named, expected);
    let script = "
import socket
own = socket.gethostname()
print(socket.gethostbyname(own), socket.gethostbyaddr('10.0.0.1')[0], socket.gethostbyname('b'))
print(socket.gethostbyname('localhost'), socket.getfqdn('10.0.0.2'))
try: socket.gethostbyname('nobody.test')
except socket.gaierror: print('unknown')
";
    let expected = "10.0.0.1 a 10.0.0.2\n127.0.0.1 b\nunknown\n";
    assert_eq!(pair.python("a", script), expected);
    pair.down();
}
