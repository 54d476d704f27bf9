//! The processes at the ends of the cable: one sends without end, one receives for a while.
use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use heptad_device::{Interface, Kind};
use heptad_lab::{Lab, LabOptions, Topology};
use heptad_runtime::{self as ours, Network, Node};
use rustix::net::{self, AddressFamily, SocketType, sockopt};

use super::Stack;
use crate::goodput::congestion;

/// The cable's interfaces.
pub const LEFT: &str = "left";
pub const RIGHT: &str = "right";
/// The interface of a host of ours, on the bridge beside the cable's.
const HOST: &str = "host";
const PORT: u16 = 5001;
const BLOCK: usize = 64 * 1024;
/// How long a read waits at most before the clock is looked at.
const TURN: Duration = Duration::from_millis(20);

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Side {
    Sender,
    Receiver,
}

/// What the process is told.
#[derive(Args)]
pub struct End {
    #[arg(long)]
    stack: Stack,
    #[arg(long)]
    side: Side,
    #[arg(long)]
    congestion: String,
    #[arg(long)]
    millis: u64,
    /// What a receiver does not count at first.
    #[arg(long, default_value_t = 0)]
    skip_millis: u64,
    /// Which of those that share the cable.
    #[arg(long, default_value_t = 0)]
    pair: u8,
}

impl Side {
    fn interface(self) -> &'static str {
        match self {
            Self::Sender => LEFT,
            Self::Receiver => RIGHT,
        }
    }
}

impl End {
    /// The flags that make one.
    pub fn flags(
        stack: Stack,
        side: Side,
        congestion: &str,
        time: Duration,
    ) -> Result<Vec<String>> {
        let word = |value: Option<clap::builder::PossibleValue>| {
            let value = value.context("a hidden value")?;
            anyhow::Ok(value.get_name().to_owned())
        };
        let flags = [
            ("--stack", word(stack.to_possible_value())?),
            ("--side", word(side.to_possible_value())?),
            ("--congestion", congestion.to_owned()),
            ("--millis", time.as_millis().to_string()),
        ];
        let flags = flags.into_iter();
        Ok(flags
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect())
    }
    /// Says `ready` when its namespace is there, waits for `go`; then it has its interface. A receiver says `ready` once
    /// more when it listens, and bits a second at the end.
    pub fn play(&self) -> Result<()> {
        // Without its questions and reports the n-th frame is the same for everybody.
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            match std::fs::write(&path, "1") {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context(path);
                }
                _ => {}
            }
        }
        println!("ready");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        ensure!(line == "go\n", "nobody is there");
        match self.stack {
            Stack::Linux => self.kernel(),
            Stack::Ours => self.host(),
        }
    }

    fn address(&self, side: Side) -> Ipv4Addr {
        let last = match side {
            Side::Sender => 1,
            Side::Receiver => 2,
        };
        Ipv4Addr::new(10, 0, self.pair, last)
    }
    fn own_address(&self) -> String {
        format!("{}/16", self.address(self.side))
    }
    /// Where the receiver of the pair listens.
    fn service(&self) -> SocketAddr {
        (self.address(Side::Receiver), PORT).into()
    }

    fn kernel(&self) -> Result<()> {
        let interface = self.side.interface();
        ip(&["address", "add", &self.own_address(), "dev", interface])?;
        ip(&["link", "set", interface, "up"])?;
        let service = self.service();
        match self.side {
            Side::Sender => {
                // Before it connects: a socket that was BBR's once, as is the default of some machines, stays paced.
                let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
                sockopt::set_tcp_congestion(&socket, &self.congestion).context("TCP_CONGESTION")?;
                net::connect(&socket, &service)?;
                send(TcpStream::from(socket))
            }
            Side::Receiver => {
                let listener = TcpListener::bind(service)?;
                println!("ready");
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(TURN))?;
                self.receive(stream)
            }
        }
    }

    /// A host of ours, on a bridge with the cable's interface.
    fn host(&self) -> Result<()> {
        let (network, node) = self.network()?;
        let service = self.service();
        match self.side {
            Side::Sender => {
                let stream = ours::TcpStream::connect(&node, service)?;
                stream.set_congestion(congestion(&self.congestion)?)?;
                send(stream)?;
            }
            Side::Receiver => {
                let listener = ours::TcpListener::bind(&node, service)?;
                println!("ready");
                let (stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(TURN))?;
                self.receive(stream)?;
            }
        }
        network.stop();
        Ok(())
    }
    fn network(&self) -> Result<(Network, Node)> {
        // Stations are numbered within a lab: one in front makes the receiver's another than the sender's.
        let before = match self.side {
            Side::Sender => "",
            Side::Receiver => "[nodes.before]\nkind = \"switch\"\n",
        };
        let text = format!(
            "{before}[nodes.host]\naddress = \"{}\"\n[[links]]\nendpoints = [\"host\", \"tap:{HOST}\"]\n",
            self.own_address()
        );
        let topology = Topology::parse(&text, "host").context("the host's lab")?;
        let lab = Lab::new(&topology, LabOptions::default())?;
        let end = lab.real_cables().pop().context("no real cable")?;
        let network = Network::real_time(lab);
        let interface = Interface::attach(Kind::Tap, HOST)?;
        interface.bring_up(end.mtu)?;
        network.attach(end.machine, interface)?;
        // A bridge that looks for members of groups sends a frame of its own, and then the n-th is another.
        let quiet = ["mcast_snooping", "0"];
        ip(&[&["link", "add", "bridge", "type", "bridge"][..], &quiet].concat())?;
        for port in [HOST, self.side.interface()] {
            ip(&["link", "set", port, "master", "bridge"])?;
            ip(&["link", "set", port, "up"])?;
        }
        ip(&["link", "set", "bridge", "up"])?;
        let node = network.node("host").context("no host")?;
        Ok((network, node))
    }

    /// Counts what comes, for the time that was said.
    fn receive(&self, mut stream: impl Read) -> Result<()> {
        drain(&mut stream, Duration::from_millis(self.skip_millis))?;
        let begin = Instant::now();
        let bytes = drain(&mut stream, Duration::from_millis(self.millis))?;
        println!("{}", bytes as f64 * 8.0 / begin.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Takes what comes for so long; how many bytes that were.
fn drain(stream: &mut impl Read, time: Duration) -> Result<u64> {
    let begin = Instant::now();
    let mut buffer = vec![0; 4 * BLOCK];
    let mut bytes = 0;
    while begin.elapsed() < time {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => bytes += len as u64,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("receive"),
        }
    }
    Ok(bytes)
}

/// Sends until this process is ended.
fn send(mut stream: impl Write) -> Result<()> {
    let block = vec![0x5a; BLOCK];
    loop {
        stream.write_all(&block).context("send")?;
    }
}

/// `ip WORDS…`
pub fn ip(words: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(words).status().context("ip")?;
    ensure!(status.success(), "ip {}: {status}", words.join(" "));
    Ok(())
}
