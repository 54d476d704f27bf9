//! One stream into the kernel: from our stack over a TAP interface, and from the kernel itself over a veth pair.
//!
//! ```text
//!   bulk-tap   our stack ── write ──▶ TAP ──▶ kernel ── read ──▶ program
//!   its peer   program ──▶ kernel ── veth ──▶ kernel ── read ──▶ program
//! ```
//!
//! bulk-tap-ipv6 is the first of them over IPv6.
//!
//! Each runs in a process of its own in a network namespace of its own, which goes when the process ends.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use heptad_device::{Interface, Kind, Offloads, Reader};
use heptad_stack::{Caps, Family, SocketError, SocketKind};

use crate::ours::Host;
use crate::pair::Cable;

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The kernel's address of IPv6; the other end's of either family are the first host's of [`Host`].
const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const SERVICE: u16 = 7;
const BLOCK: usize = 64 * 1024;
/// As the kernel's own bounds, so that no buffer is what limits either.
const CABLE: Cable = Cable {
    buffer: 4 << 20,
    ..Cable::ETHERNET
};
const CABLE_V6: Cable = Cable {
    ipv6: true,
    ..CABLE
};
/// Longer than any run may stand still.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a process in a namespace of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Inside {
    /// Our stack sends to a kernel's socket over a TAP interface.
    Tap,
    /// The same over IPv6.
    TapIpv6,
    /// A kernel's socket receives over a veth pair from a second namespace.
    Veth,
    /// That second namespace.
    VethPeer,
}

/// Why there can be no such row here.
pub fn missing() -> Option<String> {
    if let Err(error) = heptad_device::usable() {
        return Some(error.to_string());
    }
    let tried = Command::new("unshare")
        .args(["--net", "--", "ip", "link", "show", "lo"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => None,
        _ => Some("a network namespace needs root and the programs unshare and ip".into()),
    }
}

/// Megabytes a second from our stack to the kernel.
pub fn ours(bytes: u64) -> Result<f64> {
    measure(Inside::Tap, bytes)
}
/// The same over IPv6.
pub fn ours_over_ipv6(bytes: u64) -> Result<f64> {
    measure(Inside::TapIpv6, bytes)
}
/// Megabytes a second from kernel to kernel.
pub fn peer(bytes: u64) -> Result<f64> {
    measure(Inside::Veth, bytes)
}

fn measure(what: Inside, bytes: u64) -> Result<f64> {
    let output = in_namespace(what, bytes)?
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start unshare")?;
    ensure!(
        output.status.success(),
        "{what:?} ended with {}",
        output.status
    );
    let figure = String::from_utf8(output.stdout)?;
    figure.trim().parse().context("not a figure")
}

/// This program again, in a network namespace of its own.
fn in_namespace(what: Inside, bytes: u64) -> Result<Command> {
    let mut command = Command::new("unshare");
    let what = what.to_possible_value().context("a hidden value")?;
    command
        .args(["--net", "--"])
        .arg(std::env::current_exe()?)
        .args(["--inside", what.get_name(), "--bytes", &bytes.to_string()]);
    Ok(command)
}

/// What the process in the namespace does; the receiver prints its figure.
pub fn inside(what: Inside, bytes: u64) -> Result<()> {
    match what {
        Inside::Tap => tap(&CABLE, KERNEL.into(), bytes),
        Inside::TapIpv6 => tap(&CABLE_V6, KERNEL_V6.into(), bytes),
        Inside::Veth => veth(bytes),
        Inside::VethPeer => veth_peer(bytes),
    }
}

fn tap(cable: &Cable, kernel: IpAddr, bytes: u64) -> Result<()> {
    let interface = Interface::attach(Kind::Tap, "tap0")?;
    interface.set_offloads(Offloads::ALL)?;
    interface.bring_up(cable.mtu as u32)?;
    configure("tap0", kernel)?;
    let remote = SocketAddr::new(kernel, SERVICE);
    let listener = TcpListener::bind(remote)?;
    let receiver = std::thread::spawn(move || receive(&listener, bytes));
    let host = Host::new(1, cable)?;
    send_from_stack(host, &interface, remote, bytes, || receiver.is_finished())?;
    print_figure(receiver.join().ok().context("the receiver panicked")?)
}

fn veth(bytes: u64) -> Result<()> {
    let mut child = in_namespace(Inside::VethPeer, bytes)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let figure = with_peer(&mut child, bytes);
    if figure.is_err() {
        // It may wait for a cable that never comes.
        let _ = child.kill();
    }
    child.wait()?;
    print_figure(figure)
}

fn with_peer(child: &mut Child, bytes: u64) -> Result<f64> {
    let stdout = child.stdout.take().context("no pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    ensure!(line == "ready\n", "the second namespace did not come up");
    ip(&[
        "link", "add", "veth0", "type", "veth", "peer", "name", "veth1",
    ])?;
    ip(&["link", "set", "veth1", "netns", &child.id().to_string()])?;
    configure("veth0", KERNEL.into())?;
    let listener = TcpListener::bind((KERNEL, SERVICE))?;
    child.stdin.take().context("no pipe")?.write_all(b"go\n")?;
    receive(&listener, bytes)
}

fn veth_peer(bytes: u64) -> Result<()> {
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    ensure!(line == "go\n", "nobody is there");
    configure("veth1", OTHER.into())?;
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::new(KERNEL.into(), SERVICE), PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let pattern = pattern();
    let mut sent = 0;
    while sent < bytes {
        sent += stream.write(piece(&pattern, sent, bytes))? as u64;
    }
    Ok(())
}

fn configure(interface: &str, address: IpAddr) -> Result<()> {
    // Without the question whether somebody has it, which would take a second.
    let (len, more) = match address {
        IpAddr::V4(_) => (24, None),
        IpAddr::V6(_) => (64, Some("nodad")),
    };
    let address = format!("{address}/{len}");
    let mut words = vec!["address", "add", &address, "dev", interface];
    words.extend(more);
    ip(&words)?;
    ip(&["link", "set", interface, "up"])
}
fn ip(arguments: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(arguments).status()?;
    ensure!(status.success(), "ip {} failed", arguments.join(" "));
    Ok(())
}
fn print_figure(figure: Result<f64>) -> Result<()> {
    println!("{}", figure?);
    Ok(())
}

/// Bytes that repeat after a prime, so that none of them can be missing unseen.
fn pattern() -> Vec<u8> {
    (0..PERIOD + BLOCK)
        .map(|i| (i % PERIOD % 251) as u8)
        .collect()
}
const PERIOD: usize = 65_521;
fn piece(pattern: &[u8], from: u64, to: u64) -> &[u8] {
    let start = (from % PERIOD as u64) as usize;
    let len = usize::try_from(to - from).unwrap_or(BLOCK).min(BLOCK);
    &pattern[start..start + len]
}

/// A program at a kernel's socket: megabytes a second, each byte compared.
fn receive(listener: &TcpListener, bytes: u64) -> Result<f64> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let began = Instant::now();
    let pattern = pattern();
    let mut block = vec![0; BLOCK];
    let mut received = 0;
    while received < bytes {
        let n = stream
            .read(&mut block)
            .context("the transfer stands still")?;
        ensure!(n > 0, "{received} bytes arrived of {bytes}");
        let expected = piece(&pattern, received, received + n as u64);
        ensure!(
            block[..n] == *expected,
            "the bytes at {received} are not those that were sent"
        );
        received += n as u64;
    }
    ensure!(received == bytes, "{received} bytes arrived of {bytes}");
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Our stack in real time on one end of the TAP, until the receiver has all or gave up.
fn send_from_stack(
    mut host: Host,
    interface: &Interface,
    remote: SocketAddr,
    bytes: u64,
    is_over: impl Fn() -> bool,
) -> Result<()> {
    // The kernel cuts and fills itself, and takes what was neither.
    let caps = Caps {
        super_segments: true,
        unfilled_sums: true,
    };
    host.stack.set_caps(host.port, caps);
    let family = match remote {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    let socket = host.stack.socket(family, SocketKind::Stream)?;
    let start = Instant::now();
    let now = || heptad_stack::Instant::ZERO + start.elapsed();
    let begun = host.with(now(), |stack, cx| stack.connect(socket, remote, cx));
    ensure!(begun == Err(SocketError::InProgress), "connect: {begun:?}");
    let (mut reader, pattern) = (Reader::new(3), pattern());
    let (mut frames, mut verdicts) = (Vec::new(), Vec::new());
    let mut sent = 0;
    while !is_over() {
        if start.elapsed() > 10 * PATIENCE {
            bail!("{sent} bytes of {bytes} were sent, and the receiver has not all");
        }
        let before = sent;
        let give = |from| piece(&pattern, from, bytes);
        while sent < bytes {
            match host.with(now(), |stack, cx| stack.send(socket, give(sent), cx)) {
                Ok(n) => sent += n as u64,
                Err(SocketError::WouldBlock | SocketError::NotConnected) => break,
                Err(error) => return Err(error.into()),
            }
        }
        host.burst(now(), &mut frames);
        let mut idle = sent == before && frames.is_empty();
        for frame in frames.drain(..) {
            interface.write(&frame)?;
            host.pool.recycle(frame);
        }
        while frames.len() < 64
            && let Some(frame) = reader.read(interface)?
        {
            frames.push(frame);
        }
        idle &= frames.is_empty();
        let port = host.port;
        host.with(now(), |stack, cx| {
            stack.receive_batch(port, &mut frames, &mut verdicts, cx);
            if stack.poll_at().is_some_and(|at| at <= cx.now) {
                stack.on_timeout(cx);
            }
        });
        verdicts.clear();
        while host.stack.poll_ready().is_some() {}
        if idle {
            // The other core has the receiver; where there is one core only, it runs now.
            std::thread::yield_now();
        }
    }
    Ok(())
}
