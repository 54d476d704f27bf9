//! The table of stations; groups have their own tests below.
use super::*;
use heptad_stack::wire::EtherType;

fn station(n: u16) -> MacAddr {
    let [a, b] = n.to_be_bytes();
    MacAddr([2, 0, 0, 0, a, b])
}
fn frame(src: MacAddr, dst: MacAddr) -> PacketBuf {
    let mut frame = Pool::new(0).packet();
    let ethertype = EtherType::IPV4;
    EthernetHeader {
        dst,
        src,
        ethertype,
    }
    .emit(frame.push(HEADER_LEN));
    frame
}
fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

#[test]
fn it_floods_until_it_has_heard_the_station_and_forgets_it_after_300_seconds() {
    let mut switch = Switch::new(0, None);
    let (a, b) = (station(1), station(2));
    let mut go = |port, src, dst, seconds| switch.receive(port, &mut frame(src, dst), at(seconds));
    assert_eq!(go(0, a, b, 0), Ok(Forward::Flood));
    assert_eq!(go(1, b, a, 1), Ok(Forward::To(0)));
    assert_eq!(go(0, a, b, 2), Ok(Forward::To(1)));
    assert_eq!(go(1, a, b, 3), Ok(Forward::Stay), "a moved to b's port");
    assert_eq!(go(0, a, b, 301), Ok(Forward::To(1)));
    assert_eq!(
        go(0, a, b, 302),
        Ok(Forward::Flood),
        "b was silent for 301 s"
    );
}

#[test]
fn group_addresses_are_flooded_but_those_of_the_switch_itself() {
    let mut switch = Switch::new(0, None);
    let mut go = |dst| switch.receive(0, &mut frame(station(1), dst), at(0));
    assert_eq!(go(MacAddr::BROADCAST), Ok(Forward::Flood));
    assert_eq!(go(MacAddr([1, 0, 0x5e, 0, 0, 1])), Ok(Forward::Flood));
    assert_eq!(go(MacAddr([1, 0x80, 0xc2, 0, 0, 0])), Ok(Forward::Stay));
}

#[test]
fn its_table_is_bounded_and_the_aged_make_room() {
    let mut switch = Switch::new(0, None);
    for n in 0..2000 {
        let to = MacAddr::BROADCAST;
        let _ = switch.receive(0, &mut frame(station(n), to), at(0));
    }
    assert_eq!(switch.stations.len(), TABLE_BOUND);
    let mut go = |port, src, dst, s| switch.receive(port, &mut frame(src, dst), at(s));
    assert_eq!(go(1, station(5000), station(3), 1), Ok(Forward::To(0)));
    assert_eq!(
        go(0, station(3), station(5000), 2),
        Ok(Forward::Flood),
        "no room to learn 5000"
    );
    assert_eq!(go(1, station(5000), station(3), 302), Ok(Forward::To(0)));
    assert_eq!(go(0, station(3), station(5000), 303), Ok(Forward::To(1)));
}

#[test]
fn a_frame_without_a_whole_header_is_dropped() {
    let mut runt = Pool::new(0).from_bytes(bytes::Bytes::from_static(&[1, 2, 3]));
    assert_eq!(
        Switch::new(0, None).receive(0, &mut runt, at(0)),
        Err(DropReason::LinkHeader)
    );
}
