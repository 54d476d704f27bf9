//! The process behind `lab up` and `run`: orders on standard input, one line of JSON on standard output when it is up, one at the end.
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::host::published::Published;
use crate::host::{LabHost, Orders, Stop, Stopper};
use crate::report::Report;

/// What the process says.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "says", rename_all = "kebab-case")]
pub enum Says {
    /// It is up, with its programs.
    Up {
        name: String,
        seed: u64,
        capture: Option<String>,
        published: Vec<Published>,
    },
    /// It could not start.
    Failed { code: u8, message: String },
    /// It ended.
    Ended(Report),
}

/// Runs until it is told to end.
pub fn host() -> Result<u8, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let orders: Orders = serde_json::from_str(&line)
        .map_err(|error| Failure::usage(format!("these are no orders: {error}")))?;
    let up = Arc::new(AtomicBool::new(false));
    let host = match start(&orders, &up) {
        Ok(host) => host,
        Err(failure) => {
            say(&Says::Failed {
                code: failure.code(),
                message: failure.message(),
            });
            return Ok(failure.code());
        }
    };
    up.store(true, Ordering::Release);
    say(&Says::Up {
        name: host.name.clone(),
        seed: host.seed,
        capture: host.capture.as_ref().map(|p| p.display().to_string()),
        published: host.published.clone(),
    });
    say(&Says::Ended(host.wait()));
    Ok(0)
}

fn start(orders: &Orders, up: &Arc<AtomicBool>) -> Result<LabHost, Failure> {
    let host = LabHost::start(orders, Vec::new())?;
    stop_on_signals(host.stopper())?;
    stop_at_end_of_input(host.stopper(), Arc::clone(up), orders.attached)?;
    match host.start_programs() {
        Ok(()) => Ok(host),
        Err(failure) => {
            host.finish();
            Err(failure)
        }
    }
}

/// SIGINT, SIGTERM and SIGHUP end the lab in order.
pub fn stop_on_signals(stopper: Stopper) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for _ in signals.forever() {
                stopper.stop(Stop::Told);
            }
        })?;
    Ok(())
}

/// Whoever started us keeps our input open until we are up, and an attached lab's for all its life.
fn stop_at_end_of_input(
    stopper: Stopper,
    up: Arc<AtomicBool>,
    attached: bool,
) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new()); // ends when the one who started us is gone
            if attached || !up.load(Ordering::Acquire) {
                stopper.stop(Stop::Told);
            }
        })?;
    Ok(())
}

fn say(says: &Says) {
    let Ok(mut line) = serde_json::to_vec(says) else {
        return;
    };
    line.push(b'\n');
    let mut out = std::io::stdout();
    let _ = out.write_all(&line).and_then(|()| out.flush()); // nobody may be listening any more
}

/// Starts the process behind a lab and waits until it is up.
pub mod start {
    use std::fs::{File, OpenOptions};
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

    use super::Says;
    use crate::failure::Failure;
    use crate::host::Orders;
    use crate::host::published::Published;
    use crate::report::Report;

    /// A lab's process that we started.
    pub struct Started {
        /// The lab's name.
        pub name: String,
        /// Its seed.
        pub seed: u64,
        /// Its capture.
        pub capture: Option<String>,
        /// Its ports that this machine can reach.
        pub published: Vec<Published>,
        child: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
    }

    /// Starts it in a process group of its own, so that Ctrl-C reaches the program and not its network. One that outlives us
    /// must not hold our standard error open: it complains into its log.
    pub fn start(orders: &Orders) -> Result<Started, Failure> {
        let complaints = match &orders.log {
            Some(path) => Stdio::from(log(path)?),
            None => Stdio::inherit(),
        };
        let mut child = Command::new("/proc/self/exe")
            .arg0("heptad")
            .arg("host")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::ours(format!("cannot start the lab's process: {error}")))?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::ours("the lab's process has no pipes"));
        };
        let mut line = serde_json::to_vec(orders).map_err(Failure::ours)?;
        line.push(b'\n');
        input.write_all(&line)?;
        let mut output = BufReader::new(output);
        match hear(&mut output) {
            Some(Says::Up {
                name,
                seed,
                capture,
                published,
            }) => Ok(Started {
                name,
                seed,
                capture,
                published,
                child,
                input,
                output,
            }),
            Some(Says::Failed { code, message }) => Err(Failure::new(code, message)),
            _ => Err(Failure::ours(format!(
                "the lab's process ended at once ({})",
                child.wait()?
            ))),
        }
    }

    impl Started {
        /// Tells it to end and takes its report.
        pub fn end(mut self) -> Option<Report> {
            drop(self.input);
            let report = match hear(&mut self.output) {
                Some(Says::Ended(report)) => Some(report),
                _ => None,
            };
            let _ = self.child.wait();
            report
        }
    }

    fn log(path: &Path) -> Result<File, Failure> {
        let open = File::create(path).and_then(|_| OpenOptions::new().append(true).open(path));
        open.map_err(|error| Failure::ours(format!("cannot write {}: {error}", path.display())))
    }

    fn hear(output: &mut BufReader<ChildStdout>) -> Option<Says> {
        let mut line = String::new();
        output.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }
}
