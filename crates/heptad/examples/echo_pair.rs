//! Two hosts, a bad cable, an echo: a whole network in a test, twice the same.
//!
//! `cargo run -p heptad --example echo_pair`
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::Shutdown;

use heptad::lab::EventHash;
use heptad::{Cable, Instant, Lab, Network, TcpListener, TcpStream};

const TEXT: &str = "안녕하세요, Heptad";

fn main() -> Result<(), Box<dyn Error>> {
    let (echo, ended, hash) = run(42)?;
    println!("alice sent     {TEXT}");
    println!("bob sent back  {echo}");
    println!("it took        {:?} of lab time", ended - Instant::ZERO);
    println!("event hash     {hash}, the same whenever the seed is 42");
    Ok(())
}

/// What came back, when it was over, and the run's event hash.
fn run(seed: u64) -> Result<(String, Instant, EventHash), Box<dyn Error>> {
    let lab = Lab::builder()
        .seed(seed)
        .event_hash(true)
        .host("alice", "10.0.0.1/24")
        .host("bob", "10.0.0.2/24")
        .link("alice", "bob", Cable::new().delay("20ms").loss("20%"))
        .build()?;
    let network = Network::virtual_time(lab);
    let alice = network.node("alice").ok_or("no alice")?;
    let bob = network.node("bob").ok_or("no bob")?;

    let listener = TcpListener::bind(&bob, "0.0.0.0:7")?;
    let server = network.spawn("server", move || serve(&listener));
    let client = network.spawn("client", move || -> io::Result<String> {
        let mut stream = TcpStream::connect(&alice, "bob:7")?;
        stream.write_all(TEXT.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut echo = String::new();
        stream.read_to_string(&mut echo)?;
        Ok(echo)
    });
    let echo = client.join().map_err(|_| "the client panicked")??;
    server.join().map_err(|_| "the server panicked")??;

    let summary = network.stop();
    let hash = summary.event_hash.ok_or("the hash was asked for")?;
    Ok((echo, summary.ended, hash))
}

/// Sends back what one client sends, to its end.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    stream.write_all(&bytes)
}

#[test]
fn an_echo_comes_back_whole_and_a_seed_repeats_its_run() {
    let first = run(42).unwrap();
    assert_eq!(first.0, TEXT);
    assert_eq!(first, run(42).unwrap());
    assert_ne!(first.2, run(43).unwrap().2);
}
