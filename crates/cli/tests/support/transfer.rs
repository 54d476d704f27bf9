//! Much data between Linux and a lab over one of both families: whether it is the same, and how fast it was.
use std::time::Instant;

use super::linux::{Linux, Served};
use super::wait_for;

/// The addresses of one family.
pub struct Over {
    pub linux: &'static str,
    /// bob, behind the interface.
    pub bob: &'static str,
    /// The two ends of a veth pair.
    veth: [&'static str; 2],
    prefix_len: u8,
}
pub const IPV4: Over = Over {
    linux: "10.9.0.1",
    bob: "10.9.0.20",
    veth: ["10.8.0.1", "10.8.0.2"],
    prefix_len: 24,
};
pub const IPV6: Over = Over {
    linux: "fd09::1",
    bob: "fd09::20",
    veth: ["fd08::1", "fd08::2"],
    prefix_len: 64,
};

/// As a URL writes it.
fn in_url(address: &str) -> String {
    match address.contains(':') {
        true => format!("[{address}]"),
        false => address.into(),
    }
}

/// curl reads so many bytes from bob's web server at port 80, and then on bob from one of Linux; each of them is compared.
#[track_caller]
pub fn curl_compares(linux: &Linux, over: &Over, size: &str) {
    let make = format!("head -c {size} /dev/urandom > big.bin");
    linux.run(&["bash", "-c", &make]).expect_code(0);
    let web = linux.web_server();
    let compare = |address: &str, port: u16| {
        let url = format!("http://{}:{port}/big.bin", in_url(address));
        format!("set -o pipefail; curl -gsS '{url}' | cmp - big.bin")
    };
    let from_bob = compare(over.bob, 80);
    linux.run(&["bash", "-c", &from_bob]).expect_code(0);
    let from_linux = compare(over.linux, 8000);
    let on_bob = ["exec", "bob", "--", "bash", "-c", &from_linux];
    linux.heptad(&on_bob).expect_code(0);
    drop(web);
}

/// What iperf3 says of a transfer.
pub struct Measured {
    /// Bytes.
    pub received: u64,
    /// MB/s.
    rate: f64,
    sent_again: u64,
}

/// `iperf3 -n BYTES -c ADDRESS MORE…` on Linux.
#[track_caller]
pub fn iperf3(linux: &Linux, bytes: &str, address: &str, more: &[&str]) -> Measured {
    let client = ["iperf3", "-J", "-n", bytes, "-c", address];
    let ran = linux.run(&[&client[..], more].concat()).expect_code(0);
    let end = &ran.json()["end"];
    let rate = end["sum_received"]["bits_per_second"].as_f64();
    Measured {
        received: end["sum_received"]["bytes"].as_u64().unwrap_or(0),
        rate: rate.unwrap_or(0.0) / 8e6,
        sent_again: end["sum_sent"]["retransmits"].as_u64().unwrap_or(0),
    }
}

/// A gigabyte each way with bob's iperf3, and with one of another kernel over veth in the same run; figures are printed.
pub fn gigabyte_each_way(linux: &Linux, over: &Over) {
    let veth = Linux::new().expect("a second namespace");
    let Over {
        veth: [near, far],
        prefix_len,
        ..
    } = over;
    let more = if far.contains(':') { "nodad" } else { "" };
    let address = |address: &str, dev: &str| {
        format!("address add {address}/{prefix_len} dev {dev} {more}")
            .trim()
            .to_owned()
    };
    let peer = format!("link add v0 type veth peer name v1 netns {}", veth.netns);
    linux.ip(&peer);
    linux.ip(&address(near, "v0"));
    linux.ip("link set dev v0 up");
    veth.ip(&address(far, "v1"));
    veth.ip("link set dev v1 up");
    let _server = Served(veth.spawn(&["iperf3", "-s"]));
    wait_for("iperf3 on the other kernel", || veth.listens(5201));
    for (way, more) in [("Linux sends", &[][..]), ("Linux receives", &["-R"])] {
        for (whom, address) in [("the lab", over.bob), ("a kernel over veth", *far)] {
            let started = Instant::now();
            let Measured {
                received,
                rate,
                sent_again,
            } = iperf3(linux, "1024M", address, more);
            let took = started.elapsed().as_secs_f64();
            println!(
                "{way}, {whom}, {address}: {rate:.0} MB/s, {sent_again} sent again, {took:.1} s"
            );
            assert!(received > 1_000_000_000, "{received}");
        }
    }
}
