//! What crosses a TAP: captures of both sides, read by tshark.
use std::fs;

use super::linux::Linux;
use super::{Ran, has_program, terminate, wait_for};

/// Cables by the keys of their link, and whether frames are cut there. The last one begins as a plain cable: Linux is told
/// while the lab runs.
pub const CABLES: [(&str, bool); 3] = [
    ("rate = \"5 Gbit\"", true),
    ("", false),
    (
        "[[at]]\ntime = \"10ms\"\nlink = \"heptad0-bob\"\nrate = \"5 Gbit\"",
        true,
    ),
];

/// Whether this machine can make captures of both sides.
pub fn can_capture() -> bool {
    ["iperf3", "tcpdump", "tshark"].into_iter().all(has_program)
}

/// Where it listens.
const IPERF3: &str = "5201";

/// What tshark says of a capture's TCP segments.
#[derive(Debug)]
struct Capture {
    good: usize,
    /// The rows of those with a bad checksum, the frame and its ends beside.
    bad: Vec<String>,
    /// Bytes of the longest frame to the server, and from it.
    longest: [usize; 2],
}
impl Capture {
    fn read(linux: &Linux, name: &str) -> Self {
        let words = "-o tcp.check_checksum:TRUE -o ip.check_checksum:TRUE -Y tcp -T fields \
             -e tcp.checksum.status -e ip.checksum.status -e frame.len -e tcp.dstport -e tcp.checksum.ffff \
             -e frame.number -e frame.time_relative -e _ws.col.Info";
        let mut all = vec!["-r", name];
        all.extend(words.split_whitespace());
        let ran = Ran::from(
            linux
                .sandbox
                .program("tshark", &all)
                .output()
                .expect("tshark starts"),
        );
        let rows = ran.expect_code(0).stdout;
        let is_bad = |row: &&str| is_bad(&row.split('\t').collect::<Vec<_>>());
        let longest = |to_server: bool| {
            let mut longest = 0;
            for row in rows.lines() {
                let mut columns = row.split('\t').skip(2);
                let len = columns.next().and_then(|len| len.parse().ok());
                if (columns.next() == Some(IPERF3)) == to_server {
                    longest = longest.max(len.unwrap_or(0));
                }
            }
            longest
        };
        Self {
            good: rows.lines().filter(|row| !is_bad(row)).count(),
            bad: rows.lines().filter(is_bad).map(String::from).collect(),
            longest: [true, false].map(longest),
        }
    }
}

/// Whether a row of columns says so. Linux writes a TCP checksum that comes out as zero as ones (its `skb_checksum_help`; one
/// segment in 65,536), the same number to whoever adds it up (RFC 1071, section 1); tshark calls that bad, and says why in a
/// column of its own.
fn is_bad(row: &[&str]) -> bool {
    let &[tcp, ip, _, _, all_ones, ..] = row else {
        return true;
    };
    // Good is 1 (tshark's enumeration of states); a header of IPv6 has none.
    let is_good = tcp == "1" || !all_ones.is_empty();
    !is_good || !(ip == "1" || ip.is_empty())
}

/// Both sides' captures of one lab.
#[derive(Debug)]
pub struct Sides {
    ours: Capture,
    theirs: Capture,
}
impl Sides {
    /// Linux sends 2 MB to iperf3 at this address of the lab that is up, and receives as much; then the lab goes down. It
    /// writes `ours.pcapng`.
    pub fn of_iperf3(linux: &Linux, address: &str) -> Self {
        let tcpdump = ["tcpdump", "-i", "heptad0", "-U", "-w", "theirs.pcap", "tcp"];
        let mut tcpdump = linux.spawn(&tcpdump);
        let theirs = linux.sandbox.path("theirs.pcap");
        wait_for("tcpdump to listen", || {
            fs::metadata(&theirs).is_ok_and(|file| file.len() > 0)
        });
        for more in [&[][..], &["-R"]] {
            let client = ["iperf3", "-n", "2M", "-c", address];
            linux.run(&[&client[..], more].concat()).expect_code(0);
        }
        terminate(&tcpdump);
        tcpdump.wait().expect("tcpdump ends");
        linux.down();
        Self {
            ours: Capture::read(linux, "ours.pcapng"),
            theirs: Capture::read(linux, "theirs.pcap"),
        }
    }
    /// On a cable that cuts, Linux cut and filled, and what it received was cut and filled. On another one super-segments
    /// crossed both ways, and our capture shows the frames that they are once cut.
    #[track_caller]
    pub fn expect(&self, cuts: bool) {
        if cuts {
            return expect_frames(&self.theirs);
        }
        let whole = self.theirs.longest.iter().all(|len| *len > 10_000);
        assert!(whole, "super-segments cross whole: {self:?}");
        expect_frames(&self.ours);
    }
}

#[track_caller]
fn expect_frames(capture: &Capture) {
    let enough = 4_000_000 / 1448;
    assert!(capture.bad.is_empty(), "{capture:#?}");
    let short = capture.longest.iter().all(|len| *len <= 1514);
    assert!(short && capture.good > enough, "{capture:?}");
}
