//! A cable at a host's own `lo`: what it sends to itself meets delay and loss.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use heptad_lab::{Lab, LabOptions, Topology};
use heptad_stack::{EventMask, Instant, SocketKind};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn lab(impairments: &str) -> Lab {
    let file = format!(
        "[nodes.here]\n[[links]]\nname = \"lo\"\nendpoints = [\"here:lo\", \"here:lo\"]\nmtu = 1500\n{impairments}\n"
    );
    let topology = Topology::parse(&file, "lo.toml").expect("a lab file");
    let options = LabOptions {
        seed: 1,
        event_hash: true,
        observe: true,
        events: EventMask::NONE,
    };
    Lab::new(&topology, options).expect("a lab")
}

/// Sends datagrams to a socket of the same host; how many arrived, and when the lab was idle.
fn send_to_myself(lab: &mut Lab, count: usize) -> (usize, Instant) {
    let here = lab.machine("here").expect("the node");
    let to = SocketAddr::new(LOCALHOST, 9);
    let (from, at) = lab.with(here, |stack, cx| {
        let [from, at] = [(); 2].map(|()| {
            stack
                .socket(LOCALHOST, SocketKind::Datagram)
                .expect("a socket")
        });
        stack.bind(at, to, cx).expect("a free port");
        (from, at)
    });
    for _ in 0..count {
        lab.with(here, |stack, cx| stack.send_to(from, b"to myself", to, cx))
            .expect("room");
    }
    lab.run_until(Instant::MAX, false, u64::MAX);
    let mut arrived = 0;
    while lab
        .with(here, |stack, cx| stack.recv_from(at, &mut [0; 64], cx))
        .is_ok()
    {
        arrived += 1;
    }
    (arrived, lab.now())
}

#[test]
fn a_datagram_to_myself_takes_the_delay_of_the_cable() {
    let mut lab = lab("delay = \"10ms\"");
    let (arrived, now) = send_to_myself(&mut lab, 1);
    assert_eq!(arrived, 1);
    assert_eq!(now.since(Instant::ZERO), Duration::from_millis(10));
}

#[test]
fn loss_applies_and_is_reported_once() {
    let mut lab = lab("delay = \"1ms\"\nloss = {every = 4}");
    let (arrived, _) = send_to_myself(&mut lab, 20);
    assert_eq!(arrived, 15);
    let rows = lab.faults();
    let losses: Vec<_> = rows.iter().filter(|row| row.kind == "loss").collect();
    let [loss] = losses.as_slice() else {
        panic!("one row of loss in {rows:?}")
    };
    assert_eq!((loss.applied, loss.n), (5, 20));
}

#[test]
fn a_loopback_cable_needs_the_same_host_at_both_ends() {
    for ends in ["[\"a:lo\", \"b:eth0\"]", "[\"a:lo\", \"b:lo\"]"] {
        let file = format!(
            "[nodes.a]\naddress = \"10.0.0.1/24\"\n[nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = {ends}\n"
        );
        let error = Topology::parse(&file, "lo.toml").expect_err("refused");
        assert!(error.message.contains("`lo`"), "{error}");
    }
}
