//! `heptad lab graph`
use heptad_lab::Topology;

use super::{print_json, print_text};
use crate::args::Graph;
use crate::control::client::Client;
use crate::control::{Answer, Ask};
use crate::failure::Failure;
use crate::graph::draw;

/// Draws the lab of a file, or a running one as its cables are now.
pub fn graph(graph: &Graph, json: bool) -> Result<u8, Failure> {
    let text = match &graph.file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::usage(format!("cannot read {}: {error}", file.display()))
            })?;
            let topology = Topology::parse(&text, &file.display().to_string())
                .map_err(|error| Failure::lab_file(&error, &text))?;
            draw(&topology, graph.format)
        }
        None => {
            let client = Client::find(graph.lab.as_deref())?;
            let format = graph.format;
            let Answer::Graph { text } = client.ask(&Ask::Graph { format })? else {
                return Err(Failure::odd_answer());
            };
            text
        }
    };
    if json {
        print_json(&serde_json::json!({ "format": graph.format, "text": text }))?;
    } else {
        print_text(&text)?;
    }
    Ok(0)
}
