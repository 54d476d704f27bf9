//! What is claimed of TCP on paths that are not simple, in virtual time.
use std::time::Duration;

use heptad_lab::stack::EventMask;
use heptad_lab::stack::l4_transport::tcp::Congestion;
use heptad_lab::topology::Impairments;
use heptad_lab::{Lab, LabOptions, Topology};

use crate::cell::Path;
use crate::streams::Streams;

const RATE: u64 = 100_000_000;

fn streams(topology: &Topology, seed: u64) -> Streams {
    let options = LabOptions {
        seed,
        event_hash: false,
        observe: false,
        events: EventMask::NONE,
    };
    Streams::new(Lab::new(topology, options).expect("a lab"))
}

/// Jain's index: 1 if all have the same, 1/n if one has all.
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}

#[test]
fn two_streams_share_a_link_whoever_began() {
    for (rtt, lead) in [(20, 0), (20, 5), (60, 5)] {
        let path = Path {
            loss: 0.0,
            rtt: Duration::from_millis(rtt),
            rate: RATE,
        };
        let mut streams = streams(&path.topology(), rtt);
        streams.begin("a", "b", Congestion::Cubic).expect("one");
        streams.run(Duration::from_secs(lead)).expect("it runs");
        streams.begin("a", "b", Congestion::Cubic).expect("two");
        // Until they have found each other.
        streams.run(Duration::from_secs(20)).expect("both run");
        let before: Vec<u64> = streams.all.iter().map(|stream| stream.arrived).collect();
        streams.run(Duration::from_secs(60)).expect("both run");
        let now = streams.all.iter().map(|stream| stream.arrived);
        let shares: Vec<u64> = now.zip(before).map(|(now, before)| now - before).collect();
        let index = jain(&shares);
        println!("{rtt} ms, {lead} s ahead: {shares:?}, {index:.3}");
        assert!(
            index > 0.95,
            "{rtt} ms, {lead} s ahead: {shares:?}, {index}"
        );
        let used = shares.iter().sum::<u64>() as f64 * 8.0 / 60.0 / RATE as f64;
        assert!(used > 0.9, "they use {used} of the link");
    }
}

#[test]
fn bbr_hardly_minds_losses_that_are_not_congestion() {
    for (loss, rtt, least) in [(0.001, 100, 0.8), (0.01, 20, 0.7), (0.01, 100, 0.6)] {
        let path = Path {
            loss,
            rtt: Duration::from_millis(rtt),
            rate: RATE,
        };
        let goodput = |which| {
            let mut streams = streams(&path.topology(), 1);
            streams.begin("a", "b", which).expect("a stream");
            streams.run(Duration::from_secs(20)).expect("it runs");
            streams.all[0].arrived as f64 * 8.0 / 20.0 / RATE as f64
        };
        let (bbr, cubic) = (goodput(Congestion::Bbr), goodput(Congestion::Cubic));
        println!("{path}: BBR {bbr:.3} of the rate, CUBIC {cubic:.3}");
        assert!(bbr >= least, "{path}: {bbr} of the rate");
        assert!(bbr > 2.0 * cubic, "{path}: {bbr}, CUBIC {cubic}");
    }
}

#[test]
fn bbr_finds_the_rate_whichever_frames_are_lost() {
    let path = Path {
        loss: 0.01,
        rtt: Duration::from_millis(100),
        rate: RATE,
    };
    // With seed 6 a send buffer of twice the window ran dry behind the gaps, which looked like a program with little to send.
    for seed in 1..=6 {
        let mut streams = streams(&path.topology(), seed);
        streams.begin("a", "b", Congestion::Bbr).expect("a stream");
        streams.run(Duration::from_secs(3)).expect("it runs");
        let before = streams.all[0].arrived;
        streams.run(Duration::from_secs(3)).expect("it runs");
        let rate = (streams.all[0].arrived - before) as f64 * 8.0 / 3.0;
        assert!(
            rate > 0.6 * RATE as f64,
            "seed {seed}: {rate} bits a second"
        );
    }
}

/// Bytes that arrive in 20 s at 40 ms, and the share of segments that are sent again.
fn over_a_link_that_reorders(share: f64) -> (u64, f64) {
    let there = Impairments {
        delay: Duration::from_millis(20),
        rate: Some(RATE),
        // Nothing overflows: what is lost is lost by mistake.
        queue: 4000,
        reorder: share,
        reorder_delay: Duration::from_millis(5),
        ..Impairments::default()
    };
    let mut streams = streams(&Topology::pair(there), 1);
    streams
        .begin("a", "b", Congestion::Cubic)
        .expect("a stream");
    streams.run(Duration::from_secs(20)).expect("it runs");
    (streams.all[0].arrived, streams.sent_again(0))
}

#[test]
fn a_link_that_only_reorders_costs_hardly_anything() {
    let (undisturbed, again) = over_a_link_that_reorders(0.0);
    println!("undisturbed: {undisturbed} bytes, {again:.4} sent again");
    for share in [0.01, 0.05, 0.25] {
        let (bytes, again) = over_a_link_that_reorders(share);
        let kept = bytes as f64 / undisturbed as f64;
        println!("{share}: {kept:.3} of that, {again:.4} sent again");
        assert!(
            again < 0.01,
            "{share}: {again} of the segments were sent again"
        );
        assert!(kept >= 0.9, "{share}: {kept} of the undisturbed");
    }
}

#[test]
fn a_host_may_have_another_congestion_control_than_others() {
    let lab = "clock = \"virtual\"\n[nodes.a]\naddress = \"10.0.0.1/24\"\ncongestion = \"bbr\"\n\
               [nodes.b]\naddress = \"10.0.0.2/24\"\n[[links]]\nendpoints = [\"a\", \"b\"]\n";
    let topology = Topology::parse(lab, "lab").expect("a lab");
    let all = &topology.nodes;
    assert_eq!(all["a"].congestion, Congestion::Bbr);
    assert_eq!(all["b"].congestion, Congestion::Cubic);
}
