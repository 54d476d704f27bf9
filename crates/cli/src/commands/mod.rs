//! The commands, a file each.
pub mod arp;
pub mod bridge;
pub mod capture;
pub mod demo;
pub mod doctor;
pub mod exec;
pub mod fault;
pub mod graph;
pub mod host;
pub mod ip;
pub mod lab;
mod lines;
pub mod link;
pub mod manual;
pub mod netstat;
pub mod ping;
pub mod pkt;
pub mod run;
pub mod ss;
pub mod tracepath;
pub mod traceroute;

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

/// A JSON object of ours carries its version.
#[derive(Serialize)]
pub struct Versioned<T: Serialize> {
    /// 1
    pub v: u32,
    /// The object's own fields.
    #[serde(flatten)]
    pub object: T,
}

/// Text on stdout. A reader that went away is no failure, and no panic either.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// One line of JSON on stdout.
pub fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(&Versioned { v: 1, object }).map_err(Failure::ours)?;
    print_text(&format!("{text}\n"))
}
