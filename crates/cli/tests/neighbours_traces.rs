//! Who is on the way: traces of Linux through five routers of ours, and ours through them to Linux.
mod support;

use support::linux::Linux;
use support::{Ran, has_program};

/// The kernel - `r1` - `r2` - `r3` - `r4` - `r5` - bob. Cable N has 10.9.N.0/24 and fd09:N::/64; a router's left end has the
/// number 254 there and its right end 1.
fn row_of_five() -> String {
    let mut lab = String::from("name = \"row\"\n");
    for (left, right) in (0..).zip(1..=5) {
        lab += &format!(
            "[nodes.r{right}]\nkind = \"router\"\naddress = [\"10.9.{left}.254/24\", \"fd09:{left}::254/64\"]\n\
             [nodes.r{right}.ports.eth1]\naddress = [\"10.9.{right}.1/24\", \"fd09:{right}::1/64\"]\n"
        );
    }
    lab += "[nodes.bob]\naddress = [\"10.9.5.20/24\", \"fd09:5::20/64\"]\ngateway = [\"10.9.5.1\", \"fd09:5::1\"]\n\
            [[links]]\nendpoints = [\"tap:heptad0\", \"r1:eth0\"]\n\
            [[links]]\nendpoints = [\"r5:eth1\", \"bob:eth0\"]\n";
    for (left, right) in (1..).zip(2..=5) {
        let link = format!("[[links]]\nendpoints = [\"r{left}:eth1\", \"r{right}:eth0\"]\n");
        lab += &link;
    }
    lab
}

/// Who answered at each distance, of any of the tools; each line after the first begins with the distance and the address.
#[track_caller]
fn hops(ran: Ran) -> Vec<String> {
    let said = ran.expect_code(0).stdout;
    let mut hops = Vec::new();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let number = words
            .next()
            .and_then(|word| word.trim_end_matches(':').parse().ok());
        // tracepath asks the first one twice.
        if number == Some(hops.len() + 1)
            && let Some(address) = words.find(|word| *word != "*")
        {
            hops.push(address.to_owned());
        }
    }
    hops
}

#[test]
fn traces_of_linux_and_ours_list_five_routers_over_both_families() {
    if !["traceroute", "traceroute6", "tracepath"]
        .iter()
        .all(|name| has_program(name))
    {
        return;
    }
    let Some(linux) = Linux::new() else { return };
    linux.up(&row_of_five(), "heptad0", &["--no-capture"]);
    linux.ip("addr add fd09::1/64 dev heptad0 nodad");
    linux.ip("route add 10.9.0.0/16 via 10.9.0.254");
    linux.ip("route add fd09::/16 via fd09::254");

    let to_bob = [
        "10.9.0.254",
        "10.9.1.254",
        "10.9.2.254",
        "10.9.3.254",
        "10.9.4.254",
        "10.9.5.20",
    ];
    let to_bob_v6 = [
        "fd09::254",
        "fd09:1::254",
        "fd09:2::254",
        "fd09:3::254",
        "fd09:4::254",
        "fd09:5::20",
    ];
    for (words, expected) in [
        ("traceroute -n 10.9.5.20", to_bob),
        ("traceroute -n -I -q 1 10.9.5.20", to_bob),
        ("tracepath -n 10.9.5.20", to_bob),
        ("traceroute6 -n fd09:5::20", to_bob_v6),
        ("traceroute -n -6 -I -q 1 fd09:5::20", to_bob_v6),
        ("tracepath -n -6 fd09:5::20", to_bob_v6),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(hops(linux.run(&words)), expected, "{words:?}");
    }

    let to_linux = [
        "10.9.5.1", "10.9.4.1", "10.9.3.1", "10.9.2.1", "10.9.1.1", "10.9.0.1",
    ];
    let to_linux_v6 = [
        "fd09:5::1",
        "fd09:4::1",
        "fd09:3::1",
        "fd09:2::1",
        "fd09:1::1",
        "fd09::1",
    ];
    for (words, expected) in [
        ("traceroute -n --node bob 10.9.0.1", to_linux),
        ("traceroute -n -I -q 1 --node bob 10.9.0.1", to_linux),
        ("tracepath -n --node bob 10.9.0.1", to_linux),
        ("traceroute -n --node bob fd09::1", to_linux_v6),
        ("traceroute -n -I -q 1 --node bob fd09::1", to_linux_v6),
        ("tracepath -n --node bob fd09::1", to_linux_v6),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(hops(linux.heptad(&words)), expected, "{words:?}");
    }
    linux.down();
}
