//! `cargo xtask lossy`: real programs do their jobs under `heptad exec` between two nodes, over a cable that loses one packet in a hundred.
//!
//! They run in the suites' room: no way out but through heptad, as a user who may do nothing. [`jobs`] has the table.

mod brought;
mod jobs;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::PossibleValuesParser;

use self::jobs::{JOBS, Job};
use crate::programs;
use crate::suites::{self, room::Room};

/// What `cargo xtask lossy --help` ends with.
pub const EXAMPLES: &str = "Examples:
  cargo xtask lossy                 every job: two minutes
  cargo xtask lossy git rsync       these two
  cargo xtask lossy --json          one line of JSON for each job
  cargo xtask lossy --heptad target/release/heptad
                                    with this heptad as it is, nothing is built

What servers and clients printed stays below target/suites/log.
Exit codes: 0 every job was done, 1 one was not.";

const LAB: &str = "crates/runner/tests/foreign/lossy.toml";
/// How long a job may take, with the time until its server is there.
const DEADLINE: Duration = Duration::from_secs(40);
/// Between two tries of a client whose server is not there yet, and two looks whether a lab is up.
const PAUSE: Duration = Duration::from_millis(200);

/// Which jobs are run.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Only these; all without any.
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(JOBS.iter().map(|job| job.name)))]
    names: Vec<String>,
    /// Print one line of JSON for each job instead of the table.
    #[arg(long)]
    json: bool,
    /// Run this heptad instead of building one.
    #[arg(long, value_name = "FILE")]
    heptad: Option<PathBuf>,
}

/// Runs them one after the other.
pub fn run(root: &Path, choice: &Choice) -> Result<ExitCode> {
    let missing = programs::make_sure_of(&programs::LOSSY);
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    ensure!(names.is_empty(), "the jobs need {}", names.join(", "));
    let room = Room::new(root, &suites::heptad(root, choice.heptad.as_deref())?)?;
    room.control()?;
    brought::bring(&room, root)?;
    let lab = Lab::up(&room, &room.bring(&root.join(LAB))?)?;
    let mut all_done = true;
    for job in JOBS.iter() {
        if choice.names.is_empty() || choice.names.iter().any(|name| name == job.name) {
            let start = Instant::now();
            let done = do_job(&room, job)?;
            let seconds = start.elapsed().as_secs_f64();
            all_done &= done;
            match choice.json {
                true => println!(
                    "{}",
                    serde_json::json!({"v": 1, "job": job.name, "done": done, "seconds": seconds})
                ),
                false => println!(
                    "{:<20}{:<8}{seconds:>6.1} s",
                    job.name,
                    if done { "done" } else { "FAILED" }
                ),
            }
        }
    }
    lab.down()?;
    Ok(match all_done {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A lab that is up; ended with this.
struct Lab(Child);

impl Lab {
    fn up(room: &Room, file: &Path) -> Result<Self> {
        let mut command = room.heptad(&["lab", "up", "-f", "--no-capture"]);
        let log = room.log("lossy_lab")?;
        command.arg(file).stdout(log.try_clone()?).stderr(log);
        let mut lab = Self(command.spawn().context("cannot start setpriv")?);
        let start = Instant::now();
        let is_up = || {
            let mut exec = room.heptad(&["exec", "a", "--", "true"]);
            exec.stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        while !is_up() {
            if let Some(status) = lab.0.try_wait()? {
                bail!("the lab ends with {status}: see target/suites/log/lossy_lab.log");
            }
            ensure!(start.elapsed() < DEADLINE, "the lab does not come up");
            std::thread::sleep(PAUSE);
        }
        Ok(lab)
    }

    fn down(mut self) -> Result<()> {
        end(&mut self.0)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = end(&mut self.0);
    }
}

/// Tells a program of ours to end, and waits for it.
fn end(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_none() {
        let id = child.id().to_string();
        Command::new("kill").arg(id).status()?;
        child.wait()?;
    }
    Ok(())
}

/// Whether the client said what it says when all went well.
fn do_job(room: &Room, job: &Job) -> Result<bool> {
    let start_on = |node: &&str| {
        let log = room.log(&format!("lossy_{}_{node}", job.name))?;
        let mut server = on_node(room, node, job, job.server);
        let server = server.stdout(log).stderr(Stdio::null()).spawn();
        server.context("cannot start setpriv")
    };
    let servers = job.servers.iter().map(start_on);
    let mut servers = servers.collect::<Result<Vec<Child>>>()?;
    let start = Instant::now();
    let mut done = false;
    while !done && start.elapsed() < DEADLINE {
        let output = on_node(room, "b", job, job.client).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        done = output.status.success() && said.contains(job.says);
        let mut log = room.log(&format!("lossy_{}_client", job.name))?;
        std::io::Write::write_all(
            &mut log,
            &[output.stdout.as_slice(), &output.stderr].concat(),
        )?;
        if !done {
            std::thread::sleep(PAUSE);
        }
    }
    servers.iter_mut().try_for_each(end)?;
    Ok(done)
}

/// A script on a node, in a folder of its own.
fn on_node(room: &Room, node: &str, job: &Job, script: &str) -> Command {
    let script = format!(
        "mkdir -p {0}-{node} && cd {0}-{node} || exit 1\n{script}",
        job.name
    );
    let mut command = room.heptad(&["exec", node, "--", "timeout", "--kill-after=5", "40"]);
    command
        .args(["bash", "-c", &script, "bash"])
        .arg(room.folder())
        .arg(node);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_name_of_its_own_and_says_something() {
        let names: std::collections::BTreeSet<&str> = JOBS.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), JOBS.len());
        assert!(JOBS.iter().all(|job| !job.says.is_empty()));
    }
}
