//! The commands, a file each.
pub mod demo;
pub mod doctor;
pub mod exec;
pub mod host;
pub mod lab;
pub mod netstat;
pub mod run;

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

/// One line of JSON on stdout.
pub fn print_json(object: &impl Serialize) -> Result<(), Failure> {
    use std::io::Write;
    let text = serde_json::to_string(&Versioned { v: 1, object }).map_err(Failure::ours)?;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
