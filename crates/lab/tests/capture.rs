//! The capture's bytes: read back by pcap-parser, and by tshark where it is installed.
mod story;

use core::net::IpAddr;

use heptad_lab::capture::{CaptureHead, Pcapng};
use heptad_lab::frames::Interface;
use heptad_lab::stack::wire::ethernet::{EthernetHeader, HEADER_LEN};
use heptad_lab::stack::wire::{EtherType, MacAddr, PacketId};
use heptad_lab::stack::{DropReason, Instant};
use heptad_lab::{FrameRecord, MachineId, Moment};
use pcap_parser::{Block, PcapBlockOwned, PcapNGReader, traits::PcapReaderIterator};

fn interfaces() -> Vec<Interface> {
    let end = |name: &str, peer: &str, machine| Interface {
        name: format!("{name}/eth0"),
        description: format!("to {peer}/eth0"),
        machine: MachineId(machine),
        port: "eth0".into(),
        link: "alice-bob".into(),
        bare_ip: false,
    };
    vec![end("alice", "bob", 0), end("bob", "alice", 1)]
}

/// An ARP request: who has 10.0.0.2? tell 10.0.0.1
fn arp() -> Vec<u8> {
    let mut frame = vec![0; HEADER_LEN];
    let src = MacAddr([2, 0, 0, 1, 0, 0]);
    let header = EthernetHeader {
        dst: MacAddr::BROADCAST,
        src,
        ethertype: EtherType::ARP,
    };
    header.emit(&mut frame);
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&src.0);
    frame.extend_from_slice(&[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    frame
}

fn capture() -> Vec<u8> {
    let head = CaptureHead {
        lab: "chat".into(),
        seed: 42,
        lab_sha256: "ab".repeat(32),
        epoch_nanos: 1_767_225_600_000_000_000,
    };
    let names: Vec<(IpAddr, String)> = vec![
        (IpAddr::from([10, 0, 0, 1]), "alice".into()),
        (IpAddr::from([10, 0, 0, 2]), "bob".into()),
    ];
    let mut out = Vec::new();
    let mut pcapng = Pcapng::begin(&head, &interfaces(), &names, &mut out);
    let lost = Moment::Lost("loss: draw 0.031 < 0.05".into());
    let held = Some("reordered: held back by 3ms".to_owned());
    for (nanos, interface, moment, note) in [
        (1_000_000_007, 0, Moment::Sent, None),
        (1_000_001_007, 1, Moment::Received(Ok(())), held),
        (1_000_002_007, 0, lost, None),
        (
            1_000_003_007,
            1,
            Moment::Received(Err(DropReason::FrameCheck)),
            None,
        ),
        (
            1_000_004_007,
            1,
            Moment::DroppedLater(DropReason::NeighbourUnreachable),
            None,
        ),
    ] {
        let later = matches!(moment, Moment::DroppedLater(_));
        let record = FrameRecord {
            at: Instant::from_nanos(nanos),
            machine: MachineId(interface),
            interface,
            moment,
            id: PacketId::new(1, 17),
            note,
            bytes: if later { Vec::new() } else { arp() },
        };
        pcapng.record(&record, &mut out);
    }
    out
}

/// (interface, nanoseconds, length, options as code and bytes)
type Packet = (u32, u64, usize, Vec<(u16, Vec<u8>)>);

fn read_back(bytes: &[u8]) -> (Vec<String>, Vec<Packet>) {
    let mut reader = PcapNGReader::new(65_536, bytes).expect("a section header");
    let (mut texts, mut packets) = (Vec::new(), Vec::new());
    let options = |list: &[pcap_parser::PcapNGOption<'_>]| -> Vec<(u16, Vec<u8>)> {
        let all = list.iter().filter(|option| option.code.0 != 0);
        all.map(|o| (o.code.0, o.value[..usize::from(o.len)].to_vec()))
            .collect()
    };
    let mut text = |list: &[pcap_parser::PcapNGOption<'_>]| {
        for (code, value) in options(list) {
            texts.push(format!("{code} {}", String::from_utf8_lossy(&value)));
        }
    };
    loop {
        match reader.next() {
            Ok((used, block)) => {
                let PcapBlockOwned::NG(block) = block else {
                    panic!("not pcapng")
                };
                match block {
                    Block::SectionHeader(b) => text(&b.options),
                    Block::InterfaceDescription(b) => text(&b.options),
                    Block::NameResolution(b) => assert_eq!(b.nr.len(), 3, "two names and the end"),
                    Block::EnhancedPacket(b) => {
                        let nanos = u64::from(b.ts_high) << 32 | u64::from(b.ts_low);
                        packets.push((b.if_id, nanos, b.origlen as usize, options(&b.options)));
                    }
                    other => panic!("unexpected {other:?}"),
                }
                reader.consume(used);
            }
            Err(pcap_parser::PcapError::Eof) => return (texts, packets),
            Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().expect("more"),
            Err(e) => panic!("{e:?}"),
        }
    }
}

#[test]
fn a_second_reader_finds_every_block_as_it_was_meant() {
    let (texts, packets) = read_back(&capture());
    let sha = "ab".repeat(32);
    assert!(
        texts.contains(&format!("1 lab=chat seed=42 sha256={sha}")),
        "{texts:?}"
    );
    for text in [
        "4 heptad 0.1.0",
        "2 alice/eth0",
        "3 to bob/eth0",
        "2 bob/eth0",
        "9 \u{9}",
    ] {
        assert!(texts.iter().any(|t| t == text), "{text}: {texts:?}");
    }
    let arp = arp().len();
    let id = (5, PacketId::new(1, 17).as_u64().to_le_bytes().to_vec());
    let flags = |flags: u32| (2, flags.to_le_bytes().to_vec());
    let comment = |text: &str| (1, text.as_bytes().to_vec());
    let at = |nanos: u64| 1_767_225_600_000_000_000 + nanos;
    assert_eq!(
        packets[0],
        (0, at(1_000_000_007), arp, vec![flags(2), id.clone()])
    );
    let held = comment("reordered: held back by 3ms");
    assert_eq!(
        packets[1],
        (1, at(1_000_001_007), arp, vec![held, flags(1), id.clone()])
    );
    let lost = comment("lost on the cable: loss: draw 0.031 < 0.05");
    assert_eq!(
        packets[2],
        (0, at(1_000_002_007), arp, vec![lost, flags(2), id.clone()])
    );
    let fcs = comment("dropped: bad frame check sequence");
    assert_eq!(
        packets[3],
        (
            1,
            at(1_000_003_007),
            arp,
            vec![fcs, flags(1 | 1 << 24), id.clone()]
        )
    );
    let (interface, _, _, options) = &packets[4];
    assert_eq!(
        *interface, 2,
        "what was dropped later stands on the interface behind the cables' ends"
    );
    let text = "bob dropped packet 1099511627793: neighbour did not answer";
    assert_eq!(options, &[comment(text), flags(0), id]);
}

/// What tshark prints of a capture; `None` where it is not installed.
fn tshark(capture: &[u8], arguments: &[&str]) -> Option<String> {
    if std::process::Command::new("tshark")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: tshark is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcapng");
    std::fs::write(&path, capture).unwrap();
    let mut command = std::process::Command::new("tshark");
    let output = command
        .arg("-r")
        .arg(&path)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tshark_reads_it_without_a_warning() {
    let fields = "-Tfields -eframe.interface_name -eframe.packet_flags_direction -eframe.packet_id -eframe.comment -eframe.time_epoch -e_ws.malformed";
    let Some(out) = tshark(&capture(), &fields.split(' ').collect::<Vec<_>>()) else {
        return;
    };
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 5, "{out}");
    assert_eq!(
        rows[0][..3],
        ["alice/eth0", "0x00000002", "1099511627793"],
        "{out}"
    );
    assert_eq!(rows[0][4], "1767225601.000000007", "{out}");
    assert_eq!(
        rows[2][3], "lost on the cable: loss: draw 0.031 < 0.05",
        "{out}"
    );
    for row in &rows {
        assert_eq!(row[5], "", "malformed: {out}");
    }
    let verbose = tshark(&capture(), &["-V"]).unwrap();
    assert!(
        verbose.contains("bob dropped packet 1099511627793: neighbour did not answer"),
        "{verbose}"
    );
    for word in ["Malformed", "Warning", "Error/", "not handled"] {
        assert!(!verbose.contains(word), "{word}: {verbose}");
    }
}

/// A conversation over TCP from alice to bob, captured. The first cable is `lossy`, and corrupts if asked to.
fn conversation(corrupt: f64) -> Vec<u8> {
    let mut topology =
        heptad_lab::Topology::parse(include_str!("labs/chat.toml"), "chat.toml").unwrap();
    topology.changes.clear();
    topology.links[0].forward.corrupt_undetected = corrupt;
    let mut story = story::Story::new(&topology, story::options(42));
    let limit = story::seconds(1000);
    let listener = story.listen("bob", 8080);
    let client = story.connect("alice", "10.0.2.20:8080");
    let server = story.accept(listener, limit);
    let text = "안녕하세요 ".repeat(4000);
    let (mut sent, mut read) = (0, 0);
    let mut buffer = vec![0; 65_536];
    while read < text.len() {
        sent += story.send(client, &text.as_bytes()[sent..]);
        let part = story.recv(server, &mut buffer).expect("not closed");
        assert_eq!(part, &text.as_bytes()[read..read + part.len()]);
        read += part.len();
        if part.is_empty() {
            story.until_ready(limit);
        }
    }
    story.close(client);
    story.close(server);
    story.run_for(story::millis(5000));
    let head = CaptureHead {
        lab: topology.name.clone(),
        seed: 42,
        lab_sha256: topology.sha256.clone(),
        epoch_nanos: topology.epoch_nanos,
    };
    let names: Vec<(IpAddr, String)> = story
        .lab
        .machines()
        .into_iter()
        .flat_map(|m| {
            m.addresses
                .into_iter()
                .map(move |(_, address, _)| (address, m.name.clone()))
        })
        .collect();
    let mut out = Vec::new();
    let mut pcapng = Pcapng::begin(&head, story.lab.interfaces(), &names, &mut out);
    for record in story.lab.take_frames() {
        pcapng.record(&record, &mut out);
    }
    out
}

const CHECKED: [&str; 4] = [
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "ip.check_checksum:TRUE",
];

#[test]
fn a_captured_conversation_has_good_checksums_and_names() {
    let capture = conversation(0.0);
    let bad = "_ws.malformed || tcp.checksum.status == \"Bad\" || ip.checksum.status == \"Bad\" || _ws.short";
    let Some(bad) = tshark(&capture, &[&CHECKED[..], &["-Y", bad]].concat()) else {
        return;
    };
    assert_eq!(bad, "");
    let good = "tcp.checksum.status == \"Good\" && ip.checksum.status == \"Good\"";
    let good = tshark(&capture, &[&CHECKED[..], &["-Y", good, "-Nn"]].concat()).unwrap();
    assert!(good.lines().count() > 100, "{good}");
    assert!(
        good.contains("alice → bob") && good.contains("bob → alice"),
        "{good}"
    );
    let comments = tshark(&capture, &["-Tfields", "-eframe.comment"]).unwrap();
    assert!(
        comments.contains("lost on the cable: loss: draw 0.0"),
        "{comments}"
    );
    assert_eq!(
        capture,
        conversation(0.0),
        "the same bytes from the same seed"
    );
}

#[test]
fn only_what_the_cable_corrupted_has_a_bad_checksum() {
    let fields = "-Tfields -etcp.checksum.status -eframe.packet_id -eframe.comment";
    let fields: Vec<_> = fields.split(' ').collect();
    let Some(out) = tshark(&conversation(0.1), &[&CHECKED[..], &fields].concat()) else {
        return;
    };
    let rows = || out.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let ids = |found: &dyn Fn(&Vec<&str>) -> bool| -> std::collections::BTreeSet<String> {
        rows().filter(found).map(|row| row[1].to_owned()).collect()
    };
    // The router hands a damaged segment on: its checksum is bad there too, under the same id.
    let bad = ids(&|row| row[0] == "0");
    let corrupted = ids(&|row| row[2].contains("corrupted bit"));
    assert!(!bad.is_empty());
    assert!(bad.is_subset(&corrupted), "{bad:?} of {corrupted:?}");
    let caught = ids(&|row| row[2].contains("dropped: bad TCP checksum"));
    assert!(
        !caught.is_empty() && caught.is_subset(&bad),
        "{caught:?} of {bad:?}"
    );
}
