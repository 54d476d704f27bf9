//! The capture's bytes: read back by pcap-parser, and by tshark where it is installed.
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
    let text = "bob dropped packet 0x10000000011: neighbour did not answer";
    assert_eq!(options, &[comment(text), flags(0), id]);
}

#[test]
fn tshark_reads_it_without_a_warning() {
    if std::process::Command::new("tshark")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("skipped: tshark is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcapng");
    std::fs::write(&path, capture()).unwrap();
    let tshark = |arguments: &[&str]| {
        let mut command = std::process::Command::new("tshark");
        let output = command
            .arg("-r")
            .arg(&path)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let fields = "-Tfields -eframe.interface_name -eframe.packet_flags_direction -eframe.packet_id -eframe.comment -eframe.time_epoch -e_ws.malformed -e_ws.expert.message";
    let (out, _) = tshark(&fields.split(' ').collect::<Vec<_>>());
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
    let (verbose, _) = tshark(&["-V"]);
    assert!(
        verbose.contains("bob dropped packet 0x10000000011: neighbour did not answer"),
        "{verbose}"
    );
    for word in ["Malformed", "Warning", "Error/", "not handled"] {
        assert!(!verbose.contains(word), "{word}: {verbose}");
    }
}
