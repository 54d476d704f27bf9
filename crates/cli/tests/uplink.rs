//! `--uplink`: programs on a node, servers on this machine at an address that is not its loopback.
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use support::ordinary::OrdinaryUser;
use support::{Ran, Sandbox, has_program};

/// An address of this machine that others on its network could reach; `None` where it has no network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel looks for a route.
    let routed = socket
        .connect("203.0.113.1:9")
        .and_then(|()| socket.local_addr());
    let own = routed.map(|address| address.ip()).ok();
    let own = own.filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if own.is_none() {
        eprintln!("skipped: this machine has no address but its loopback");
    }
    own
}

/// A web server of one page for everybody, until the test ends; its port.
fn web_server(at: IpAddr, page: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((at, 0)).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let serve = move |mut stream: TcpStream| {
        let mut asked = Vec::new();
        let mut block = [0; 1024];
        while !asked.ends_with(b"\r\n\r\n") {
            match stream.read(&mut block) {
                Ok(count @ 1..) => asked.extend(&block[..count]),
                _ => return,
            }
        }
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&page));
    };
    thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

/// Sends datagrams back, until the test ends; its port.
fn echo_server(at: IpAddr) -> u16 {
    let socket = UdpSocket::bind((at, 0)).expect("a socket");
    let port = socket.local_addr().expect("its address").port();
    thread::spawn(move || {
        let mut block = [0; 65_536];
        while let Ok((count, from)) = socket.recv_from(&mut block) {
            let _ = socket.send_to(&block[..count], from);
        }
    });
    port
}

#[test]
fn curl_fetches_four_megabytes_from_this_machine_over_a_lossy_way_out() {
    let (true, Some(own)) = (has_program("curl"), own_address()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let page: Vec<u8> = (0..4_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let url = format!("http://{own}:{}/", web_server(own, page.clone()));
    let flags = ["run", "--uplink", "--loss", "1%", "--rtt", "4ms", "--"];
    let curl = ["curl", "-sS", "-o", "fetched", &url];
    let ran = sandbox.run(&[&flags[..], &curl].concat()).expect_code(0);
    let fetched = fs::read(sandbox.path("fetched")).expect("what was fetched");
    assert!(fetched == page, "{} bytes arrived", fetched.len());
    assert!(ran.stderr.contains("here → uplink:here"), "{ran:#?}");
    sandbox.expect_nothing_left();
}

/// What it says of each thing that it tries, a line each.
const TRIES: &str = "
import signal, socket, sys
signal.alarm(60)
own, web, echo, nobody = sys.argv[1], *map(int, sys.argv[2:5])
def connect(host, port):
    with socket.socket() as s:
        s.settimeout(30)
        try: s.connect((host, port)); return 'connected'
        except OSError as error: return type(error).__name__
print(connect(own, web), connect(own, nobody), connect('127.0.0.1', web))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(30)
    for data in (b'a', b'b' * 9000):
        s.sendto(data, (own, echo))
        back, peer = s.recvfrom(65536)
        print(back == data, peer == (own, echo))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.connect((own, nobody))
    s.send(b'?')
    try: print(s.recvfrom(1))
    except OSError as error: print(type(error).__name__)
print(socket.gethostbyname('here') == socket.gethostbyname(socket.gethostname()))
print([line.split()[1] for line in open('/etc/resolv.conf')])
";

const EXPECTED: &str = "connected ConnectionRefusedError ConnectionRefusedError
True True
True True
ConnectionRefusedError
True
['192.0.2.53']
";

fn tries(own: IpAddr) -> Vec<String> {
    let nobody = TcpListener::bind((own, 0)).and_then(|listener| listener.local_addr());
    let ports = [
        web_server(own, b"page".to_vec()),
        echo_server(own),
        nobody.expect("a port that was free").port(),
    ];
    let ports = ports.iter().map(u16::to_string);
    let program = ["python3", "-c", TRIES].map(str::to_owned);
    program
        .into_iter()
        .chain([own.to_string()])
        .chain(ports)
        .collect()
}

#[test]
fn programs_reach_this_machine_but_not_its_loopback_and_hear_its_refusals() {
    let (true, Some(own)) = (has_program("python3"), own_address()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let program = tries(own);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let words = [&["run", "-q", "--uplink", "--"][..], &program].concat();
    let ran = sandbox.run(&words).expect_code(0);
    assert_eq!(ran.stdout, EXPECTED, "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn without_it_there_is_no_way_to_this_machine() {
    let (true, Some(own)) = (has_program("curl"), own_address()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let url = format!("http://{own}:{}/", web_server(own, b"page".to_vec()));
    let ran = sandbox.run(&["run", "-q", "--", "curl", "-sS", &url]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), ""), "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn nobody_without_privileges_has_the_same_way_out() {
    let (true, Some(own)) = (
        has_program("python3") && has_program("setpriv"),
        own_address(),
    ) else {
        return;
    };
    let sandbox = Sandbox::new();
    let user = OrdinaryUser::of(&sandbox);
    let program = tries(own);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    let words = [&["run", "-q", "--uplink", "--"], &program[..]].concat();
    let output = user.heptad(&sandbox, &words).output();
    let ran = Ran::from(output.expect("heptad starts")).expect_code(0);
    assert_eq!(ran.stdout, EXPECTED, "{ran:#?}");
    sandbox.expect_nothing_left();
}

#[test]
fn a_router_with_an_uplink_is_the_way_out_of_its_lab() {
    let (true, Some(own)) = (has_program("curl"), own_address()) else {
        return;
    };
    let sandbox = Sandbox::new();
    let lab = "name = \"home\"\n[nodes.pc]\naddress = \"10.77.0.2/24\"\ngateway = \"10.77.0.1\"\n\
               [nodes.router]\nkind = \"router\"\nuplink = { delay = \"1ms\" }\n\
               [[links]]\nendpoints = [\"pc\", \"router\"]\n";
    sandbox.write("home.toml", lab);
    let up = sandbox.run(&["lab", "up", "home.toml"]).expect_code(0);
    let line = "uplink:router the network of this machine";
    assert!(up.stdout.contains(line), "{up:#?}");
    let url = format!("http://{own}:{}/", web_server(own, b"page".to_vec()));
    let curl = ["exec", "pc", "--", "curl", "-sS", &url];
    assert_eq!(sandbox.run(&curl).expect_code(0).stdout, "page");
    let ping = ["ping", "--node", "pc", "-c", "1", &own.to_string()].map(str::to_owned);
    let ping: Vec<&str> = ping.iter().map(String::as_str).collect();
    let may_ping = sandbox.run(&["doctor", "--json"]).json()["checks"]
        .as_array()
        .and_then(|checks| checks.iter().find(|c| c["id"] == "ping_through_an_uplink"))
        .is_some_and(|check| check["ok"] == true);
    let ran = sandbox.run(&ping).expect_code(i32::from(!may_ping));
    let expected = match may_ping {
        true => "1 received",
        false => "Packet filtered",
    };
    assert!(ran.stdout.contains(expected), "{ran:#?}");
    sandbox.run(&["lab", "down", "home"]).expect_code(0);
    sandbox.expect_nothing_left();
}
