//! `heptad run -- PROGRAM`: a program on a network of its own.
use crate::args::Run;
use crate::commands::exec;
use crate::commands::host::start;
use crate::control::Mode;
use crate::control::client::Client;
use crate::failure::Failure;
use crate::host::{CaptureTo, Orders, Script};

/// The node that programs of `run` live on.
const NODE: &str = "here";

/// Runs a program on a network of its own; its exit code is ours.
pub fn run(run: &Run, json: bool) -> Result<u8, Failure> {
    let here = std::env::current_dir()?;
    let capture = run
        .capture
        .as_ref()
        .map_or(CaptureTo::Nowhere, |path| CaptureTo::File(here.join(path)));
    let name = format!("run-{}", std::process::id());
    let text = lab_file(run)?;
    heptad_lab::Topology::parse(&text, "run").map_err(|error| of_a_flag(&error))?;
    let orders = Orders {
        text,
        file: "run".into(),
        script: Script::read(run.script.as_deref())?,
        folder: here,
        name: Some(name),
        seed: run.seed,
        capture,
        event_hash: false,
        log: None,
        attached: true,
    };
    orders.topology()?;
    let started = start::start(&orders)?;
    let client = Client {
        name: started.name.clone(),
    };
    let seed = started.seed;
    for port in &started.published {
        // A port that was drawn is of no use to anybody who does not know it.
        if port.drawn || !run.quiet {
            eprintln!("heptad: published {port}");
        }
    }
    let code = exec::on_node(&client, (NODE, Some(run.mode)), &run.program);
    let report = started.end();
    match &report {
        Some(report) if json => eprint_json(report)?,
        Some(report) if !run.quiet => eprint!("heptad: seed {seed}\n{}", report.text()),
        _ => {}
    }
    Ok(match (code?, report) {
        (0, Some(report)) => report.code(),
        (program, _) => program,
    })
}

/// The program's own output owns stdout: the report goes to stderr even as JSON.
fn eprint_json(report: &crate::report::Report) -> Result<(), Failure> {
    let text = serde_json::to_string(&super::Versioned {
        v: 1,
        object: report,
    })
    .map_err(Failure::ours)?;
    eprintln!("{text}");
    Ok(())
}

/// The user wrote flags, not the file: a key of it is the flag of that name.
fn of_a_flag(error: &heptad_lab::TopologyError) -> Failure {
    let key_and_rest = error
        .message
        .strip_prefix('`')
        .and_then(|message| message.split_once("`: "));
    Failure::usage(match key_and_rest {
        Some((key, rest)) => format!("--{key}: {rest}"),
        None => error.message.clone(),
    })
}

/// One node whose loopback is a cable with the asked impairments; its way out is another one like it.
fn lab_file(run: &Run) -> Result<String, Failure> {
    let publish: Vec<String> = run.publish.iter().map(|port| quoted(port)).collect();
    let faults = faults(run)?;
    let (lines, table) = (faults.join("\n"), faults.join(", "));
    let uplink = match run.uplink {
        true => format!("uplink = {{ {table} }}\n"),
        false => String::new(),
    };
    let node = match run.mode {
        Mode::Seccomp => format!("publish = [{}]\n{uplink}", publish.join(", ")),
        Mode::Netns if run.uplink => {
            let message = "--uplink: a program with the kernel's stack has no way out";
            return Err(Failure::usage(message));
        }
        Mode::Netns if publish.is_empty() => "stack = \"kernel\"\n".to_owned(),
        Mode::Netns => {
            let message =
                "--publish: ports of a program with the kernel's stack can't be published";
            return Err(Failure::usage(message));
        }
    };
    Ok(format!(
        "name = \"run\"\n[nodes.{NODE}]\n{node}\n\
         [[links]]\nname = \"lo\"\nendpoints = [\"{NODE}:lo\", \"{NODE}:lo\"]\nmtu = 1500\n{lines}\n",
    ))
}

/// What cables do to frames, in the words of a lab file.
fn faults(run: &Run) -> Result<Vec<String>, Failure> {
    let mut faults = vec![format!("delay = \"{}us\"", half(&run.rtt)?)];
    let flags = [
        ("jitter", &run.jitter),
        ("loss", &run.loss),
        ("duplicate", &run.duplicate),
        ("reorder", &run.reorder),
        ("corrupt", &run.corrupt),
    ];
    let flags = flags
        .into_iter()
        .chain(run.rate.iter().map(|rate| ("rate", rate)));
    faults.extend(flags.map(|(key, value)| format!("{key} = {}", quoted(value))));
    Ok(faults)
}

/// Half of a round trip, in microseconds.
fn half(rtt: &str) -> Result<u64, Failure> {
    let whole = crate::args::duration(rtt)
        .map_err(|message| Failure::usage(format!("--rtt {rtt}: {message}")))?;
    u64::try_from(whole.as_micros() / 2)
        .map_err(|_| Failure::usage(format!("--rtt {rtt} is too long")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
