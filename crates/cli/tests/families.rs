//! Programs whose sockets are of IPv6 and speak both families, as most servers' are: on two nodes, as an ordinary user.
mod support;

use support::has_program;
use support::pair::Pair;

fn has_all(programs: &[&str]) -> bool {
    programs.iter().all(|program| has_program(program))
}

/// What netstat says of the listeners of `b`, without the spaces at the ends of lines.
fn listeners(pair: &Pair, flags: &str) -> Vec<String> {
    let told = pair.heptad(&["netstat", flags, "--node", "b"]);
    let rows = told.expect_code(0).stdout;
    rows.lines()
        .skip(2)
        .map(|row| row.trim_end().into())
        .collect()
}

#[test]
fn a_web_server_at_the_wildcard_of_ipv6_is_fetched_from_by_ipv4() {
    if !has_all(&["python3", "setpriv", "curl", "wget"]) {
        return;
    }
    let mut pair = Pair::up();
    pair.sandbox.write("page", "안녕하세요\n");
    let server = "echo ready; exec python3 -m http.server 80 --bind ::";
    // It says where it listens, and ends if nobody can hear it.
    let _said = pair.serve(&["sh", "-c", server]);
    pair.wait_for_port(80);
    let row = "tcp6       0      0 :::80                   :::*                    LISTEN";
    assert_eq!(listeners(&pair, "-lnt"), [row]);
    assert_eq!(listeners(&pair, "-lnt6"), [row]);
    assert!(listeners(&pair, "-lnt4").is_empty());
    for fetch in [
        &["curl", "-4", "-sS", "http://b/page"][..],
        &["curl", "-sS", "http://10.0.0.2/page"],
        // An address of IPv4 as a socket of IPv6 writes it.
        &["curl", "-g", "-sS", "http://[::ffff:10.0.0.2]/page"],
        &["wget", "-q", "-O", "-", "http://b/page"],
    ] {
        assert_eq!(pair.exec("a", fetch), "안녕하세요\n", "{fetch:?}");
    }
    let own = ["curl", "-g", "-sS", "http://[::1]/page"];
    assert_eq!(pair.exec("b", &own), "안녕하세요\n");
    // Nobody listens at the loopback of `a`; nor is there a way to addresses that nobody has.
    for (url, code) in [("http://[::1]/page", 7), ("http://[2001:db8::1]/page", 7)] {
        let ran = pair.heptad(&["exec", "a", "--", "curl", "-g", "-sS", url]);
        ran.expect_code(code);
    }
    pair.down();
}

/// asyncio makes a socket for each family and keeps that of IPv6 from speaking IPv4.
const SERVERS: &str = "
import asyncio, socket, socketserver, threading
async def serve(r, w):
    while data := await r.read(65536): w.write(data.upper()); await w.drain()
    w.close()
class Upper(asyncio.DatagramProtocol):
    def connection_made(self, t): self.t = t
    def datagram_received(self, data, who): self.t.sendto(data.upper() + who[0].encode(), who)
class Threading(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
class Stream(socketserver.StreamRequestHandler):
    def handle(self): self.wfile.write(self.rfile.readline().upper() + self.client_address[0].encode())
async def main():
    servers = [await asyncio.start_server(serve, host, 7001) for host in ('0.0.0.0', '::')]
    await asyncio.get_running_loop().create_datagram_endpoint(Upper, sock=dual)
    print('ready', flush=True)
    await asyncio.gather(*[s.serve_forever() for s in servers])
dual = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); dual.bind(('::', 7001)); dual.setblocking(False)
threading.Thread(target=Threading(('::', 7002), Stream).serve_forever, daemon=True).start()
asyncio.run(main())
";

const CLIENTS: &str = "
import socket
def ask(to, kind):
    family = socket.AF_INET6 if ':' in to[0] else socket.AF_INET
    with socket.socket(family, kind) as s:
        s.settimeout(10); s.connect(to); peer = s.getpeername()[:2] == to; s.sendall('안녕 hello\\n'.encode())
        if kind == socket.SOCK_STREAM: s.shutdown(socket.SHUT_WR)
        said = s.makefile('rb').read() if kind == socket.SOCK_STREAM else s.recv(100)
        print(to[0], said.decode().split('\\n'), peer)
for host in HOSTS:
    ask((host, 7001), socket.SOCK_STREAM)
    ask((host, 7002), socket.SOCK_STREAM)
    ask((host, 7001), socket.SOCK_DGRAM)
";

#[test]
fn servers_of_pythons_library_hear_both_families() {
    if !has_all(&["python3", "setpriv"]) {
        return;
    }
    let mut pair = Pair::up();
    pair.serve(&["python3", "-c", SERVERS]);
    let ask = |node, hosts: &str| {
        let script = CLIENTS.replace("HOSTS", hosts);
        pair.python(node, &script)
    };
    let expected = |host: &str, client: &str| {
        let upper = "안녕 HELLO";
        format!(
            "{host} ['{upper}', ''] True\n{host} ['{upper}', '{client}'] True\n\
             {host} ['{upper}', '{client}'] True\n"
        )
    };
    let mapped = "::ffff:10.0.0.1";
    assert_eq!(ask("a", "['10.0.0.2']"), expected("10.0.0.2", mapped));
    let both = expected("127.0.0.1", "::ffff:127.0.0.1") + &expected("::1", "::1");
    assert_eq!(ask("b", "['127.0.0.1', '::1']"), both);
    let rows: Vec<String> = listeners(&pair, "-lntu")
        .iter()
        .map(|row| row.split_whitespace().take(4).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "tcp 0 0 0.0.0.0:7001",
        "tcp6 0 0 :::7001",
        "tcp6 0 0 :::7002",
        "udp6 0 0 :::7001",
    ];
    assert_eq!(rows, expected);
    pair.down();
}

const NODE: &str = "
const http = require('http');
const server = http.createServer((request, answer) => answer.end(request.socket.remoteAddress + '\\n'));
server.listen(8080, () => { console.log('ready'); });
";

#[test]
fn a_server_of_node_listens_to_both_families() {
    if !has_all(&["node", "setpriv", "curl"]) {
        return;
    }
    let mut pair = Pair::up();
    pair.serve(&["node", "-e", NODE]);
    let fetched = pair.exec("a", &["curl", "-sS", "http://b:8080/"]);
    assert_eq!(fetched, "::ffff:10.0.0.1\n");
    let own = pair.exec("b", &["curl", "-g", "-sS", "http://[::1]:8080/"]);
    assert_eq!(own, "::1\n");
    pair.down();
}

#[test]
fn nc_talks_to_nc_over_the_loopback_of_ipv6() {
    if !has_all(&["setpriv", "nc"]) {
        return;
    }
    let mut pair = Pair::up();
    pair.serve(&["sh", "-c", "echo ready; echo reply | nc -6 -l -N -p 9000"]);
    pair.wait_for_port(9000);
    let said = pair.exec("b", &["sh", "-c", "echo 안녕 | nc -N ::1 9000"]);
    assert_eq!(said, "reply\n");
    pair.down();
}
