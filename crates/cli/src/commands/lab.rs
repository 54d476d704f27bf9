//! `heptad lab up|down|ls`
use std::path::{Path, PathBuf};

use heptad_lab::Topology;
use heptad_lab::topology::NodeKind;
use serde::Serialize;

use super::host::{start, stop_on_signals};
use super::{print_json, print_text};
use crate::args::{Up, Which};
use crate::control::client::{Client, expect_free, running};
use crate::control::{Answer, Ask, Info, folder};
use crate::failure::Failure;
use crate::graph::shown_addresses;
use crate::host::published::Published;
use crate::host::{CaptureTo, LabHost, Orders, Script};
use crate::report::Report;
use crate::table;

/// Starts a lab.
pub fn up(up: &Up, json: bool) -> Result<u8, Failure> {
    let text = std::fs::read_to_string(&up.file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", up.file.display())))?;
    let file = up.file.display().to_string();
    let mut orders = orders(up, text, file)?;
    let topology = orders.topology()?;
    if topology.virtual_clock {
        return up_virtual(up, &orders, json);
    }
    if up.until.is_some() {
        return Err(Failure::usage(
            "--until needs a lab with clock = \"virtual\"",
        ));
    }
    if up.foreground {
        return up_foreground(&orders, json);
    }
    expect_free(&topology.name)?; // before its log is begun anew
    orders.log = Some(folder::folder()?.join(format!("{}.log", topology.name)));
    let log = orders.log.clone();
    let started = start::start(&orders)?;
    if json {
        print_json(
            &serde_json::json!({"lab": started.name, "seed": started.seed, "capture": started.capture, "log": log, "published": started.published}),
        )?;
    } else {
        let mut text = up_text(&topology, started.seed, started.capture.as_deref());
        text += &published_text(&started.published);
        if let Some(log) = &log {
            text += &format!("programs print into {}\n", log.display());
        }
        let name = &started.name;
        text += "heptad exec NODE -- PROGRAM runs something in it; ";
        text += &format!("heptad lab down {name} ends it\n");
        print_text(&text)?;
    }
    Ok(0)
}

fn up_foreground(orders: &Orders, json: bool) -> Result<u8, Failure> {
    let host = LabHost::start(orders, Vec::new())?;
    stop_on_signals(host.stopper())?;
    if let Err(failure) = host.start_programs() {
        host.finish();
        return Err(failure);
    }
    if !json {
        let capture = host.capture.as_ref().map(|path| path.display().to_string());
        let text = up_text(&host.topology, host.seed, capture.as_deref());
        let text = text + &published_text(&host.published);
        // The lab goes on whether or not somebody reads this.
        let _ = print_text(&(text + "Ctrl-C ends it\n"));
    }
    tell_end(&host.wait(), json)
}

fn up_virtual(up: &Up, orders: &Orders, json: bool) -> Result<u8, Failure> {
    let host = LabHost::start(orders, Vec::new())?;
    let code = host.run_virtual(up.until);
    let end = tell_end(&host.finish(), json)?;
    Ok(match code? {
        0 => end,
        program => program,
    })
}

fn tell_end(report: &Report, json: bool) -> Result<u8, Failure> {
    if json {
        print_json(report)?;
    } else {
        let (lab, time, seed) = (&report.lab, report.lab_time, report.seed);
        let mut text = format!("{lab} ended after {time:.3} s of lab time, seed {seed}\n");
        text += &report.text();
        if let Some(hash) = &report.event_hash {
            text += &format!("event hash {hash}\n");
        }
        print_text(&text)?;
    }
    Ok(report.code())
}

fn orders(up: &Up, text: String, file: String) -> Result<Orders, Failure> {
    let here = std::env::current_dir()?;
    let folder = match up.file.parent() {
        Some(parent) if parent != Path::new("") => here.join(parent),
        _ => here.clone(),
    };
    let capture = match &up.capture {
        Some(path) => CaptureTo::File(here.join(path)),
        None if up.no_capture => CaptureTo::Nowhere,
        None => CaptureTo::Default(here),
    };
    Ok(Orders {
        text,
        file,
        script: Script::read(up.script.as_deref())?,
        folder,
        name: None,
        seed: up.seed,
        capture,
        event_hash: !up.no_event_hash,
        log: None,
        attached: false,
    })
}

fn up_text(topology: &Topology, seed: u64, capture: Option<&str>) -> String {
    let mut text = format!("{} is up, seed {seed}\n", topology.name);
    for (name, node) in &topology.nodes {
        let addresses = shown_addresses(node);
        let addresses = match node.kind {
            NodeKind::Switch => "switch".to_string(),
            NodeKind::Tap | NodeKind::Tun => "an interface of this machine".to_string(),
            NodeKind::Uplink => "the network of this machine".to_string(),
            _ => addresses.join(" "),
        };
        text += &format!("  {name} {addresses}\n");
    }
    if let Some(capture) = capture {
        text += &format!("capture {capture}\n");
    }
    text
}

fn published_text(published: &[Published]) -> String {
    let line = |port: &Published| format!("published {port}\n");
    published.iter().map(line).collect()
}

/// Ends a lab.
pub fn down(which: &Which, json: bool) -> Result<u8, Failure> {
    let client = Client::find(which.lab.as_deref().or(which.named.as_deref()))?;
    let Answer::Down(report) = client.ask(&Ask::Down)? else {
        return Err(Failure::odd_answer());
    };
    tell_end(&report, json)
}

#[derive(Serialize)]
struct Listed {
    labs: Vec<Info>,
}

/// Lists the running labs.
pub fn ls(json: bool) -> Result<u8, Failure> {
    let labs: Vec<Info> = running()?.into_iter().map(|(_, info)| info).collect();
    if json {
        print_json(&Listed { labs })?;
        return Ok(0);
    }
    if labs.is_empty() {
        eprintln!("no lab is running");
        return Ok(0);
    }
    let head = ["LAB", "SEED", "PID", "UPTIME", "NODES"]
        .map(str::to_string)
        .to_vec();
    let rows = labs.iter().map(|lab| {
        let nodes: Vec<&str> = lab.nodes.iter().map(|node| node.name.as_str()).collect();
        vec![
            lab.name.clone(),
            lab.seed.to_string(),
            lab.pid.to_string(),
            format!("{:.0} s", lab.uptime),
            nodes.join(" "),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    print_text(&table::columns(&rows))?;
    Ok(0)
}

/// The default place of a capture, relative to the present folder when it lies below it.
pub fn shown(path: &Path) -> PathBuf {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf))
        .unwrap_or_else(|| path.to_path_buf())
}
