//! A client that gives up after a minute, tested in milliseconds: tokio's clock and the lab's are one.
//!
//! `cargo run -p heptad --example tokio_virtual_time`
use std::error::Error;
use std::io;
use std::time::{Duration, Instant as WallInstant};

use heptad::tokio::{TcpListener, TcpStream};
use heptad::{Cable, Lab, Network, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let wall = WallInstant::now();
    let (error, waited) = run()?;
    println!("the client   {error}");
    println!("it waited    {waited:?} by its own clock");
    println!("which took   {:?} by yours", wall.elapsed());
    Ok(())
}

/// What the client says of a server that takes its question and never answers, and how long it waited.
fn run() -> Result<(io::Error, Duration), Box<dyn Error>> {
    let lab = Lab::builder()
        .seed(42)
        .host("client", "10.0.0.1/24")
        .host("server", "10.0.0.2/24")
        .link("client", "server", Cable::new().delay("40ms").loss("5%"))
        .build()?;
    let network = Network::virtual_time(lab);
    let client = network.node("client").ok_or("no client")?;
    let server = network.node("server").ok_or("no server")?;
    let outcome = network.block_on(async {
        let listener = TcpListener::bind(&server, "0.0.0.0:80").await?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await // the client's end never comes, nor does an answer
        });
        let start = Instant::now();
        let error = match ask(&client).await {
            Ok(answer) => return Err(io::Error::other(format!("an answer: {answer}"))),
            Err(error) => error,
        };
        Ok((error, start.elapsed()))
    })?;
    Ok(outcome?)
}

/// The code under test. It knows tokio, and nothing of virtual time.
async fn ask(client: &Node) -> io::Result<String> {
    let mut stream = TcpStream::connect(client, "server:80").await?;
    stream.write_all(b"a question\n").await?;
    let mut answer = String::new();
    match timeout(PATIENCE, stream.read_to_string(&mut answer)).await {
        Ok(read) => read.map(|_| answer),
        Err(_) => {
            let sentence = format!("no answer within {} s", PATIENCE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, sentence))
        }
    }
}

#[test]
fn a_minute_passes_for_the_client_and_not_for_us() {
    let wall = WallInstant::now();
    let (error, waited) = run().unwrap();
    assert_eq!(error.to_string(), "no answer within 60 s");
    assert!(
        waited >= PATIENCE && waited < PATIENCE + Duration::from_secs(2),
        "{waited:?}"
    );
    assert!(wall.elapsed() < PATIENCE / 2, "it waited by the wall");
}
