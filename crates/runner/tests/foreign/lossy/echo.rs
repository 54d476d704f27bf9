//! `echo serve ADDRESS` gives back what each connection sends; `echo ask ADDRESS` sends a text over eight of them at once and compares.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if words[1] == "serve" {
        for connection in TcpListener::bind(&words[2])?.incoming() {
            let connection = connection?;
            thread::spawn(move || io::copy(&mut &connection, &mut &connection));
        }
    }
    thread::scope(|scope| {
        for number in 0..8 {
            let text = format!("connection {number}\n").repeat(20_000);
            let address = &words[2];
            scope.spawn(move || ask(address, text.as_bytes()).unwrap());
        }
    });
    println!("all eight came back");
    Ok(())
}

fn ask(address: &str, text: &[u8]) -> io::Result<()> {
    let connection = TcpStream::connect(address)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            (&connection).write_all(text).unwrap();
            connection.shutdown(Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        (&connection).read_to_end(&mut back)?;
        assert!(
            back == text,
            "{} bytes came back of {}",
            back.len(),
            text.len()
        );
        Ok(())
    })
}
