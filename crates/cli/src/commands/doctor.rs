//! `heptad doctor`: what this machine allows, each line tried.
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use heptad_runtime::device::{self, Interface, Kind};
use serde::Serialize;

use super::{print_json, print_text};
use crate::args::Doctor;
use crate::failure::{FAILED, Failure};
use crate::paint::{Paint, pad};
use crate::table::wrapped;

/// How long a program may take that is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// Widest line: a terminal's.
const WIDTH: usize = 80;
/// Where details begin.
const INDENT: usize = 31;
/// How programs are run where they can be.
const MODE: &str = "seccomp";

#[derive(Serialize)]
struct Row {
    /// A word for scripts: the name's letters and digits, `_` between.
    id: String,
    name: String,
    ok: bool,
    needed: bool,
    detail: String,
    /// What follows where it is missing.
    cost: Option<String>,
}
impl Row {
    fn new(name: &str, needed: bool, tried: Result<String, String>, cost: &str) -> Self {
        let word = name
            .to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), " ");
        let (ok, detail) = tried.map_or_else(|error| (false, error), |detail| (true, detail));
        Self {
            id: word.split_whitespace().collect::<Vec<_>>().join("_"),
            name: name.to_owned(),
            ok,
            needed,
            detail,
            cost: (!ok).then(|| cost.to_owned()),
        }
    }
    fn text(&self, paint: Paint) -> String {
        let word = match (self.ok, self.needed) {
            (true, _) => paint.good("yes "),
            (false, true) => paint.bad("NO  "),
            (false, false) => paint.dim("no  "),
        };
        let mut lines = wrapped(&self.detail, WIDTH - INDENT);
        if let Some(cost) = &self.cost {
            lines.extend(wrapped(&format!("→ {cost}"), WIDTH - INDENT));
        }
        let gap = format!("\n{}", " ".repeat(INDENT));
        format!(
            "{word} {} {}\n",
            pad(&self.name, INDENT - 6),
            lines.join(&gap)
        )
    }
}

/// Prints each check; 1 if something that Heptad needs is missing.
pub fn doctor(doctor: &Doctor, json: bool, paint: Paint) -> Result<u8, Failure> {
    if doctor.inside {
        return inside();
    }
    let rows = rows();
    let healthy = rows.iter().all(|row| row.ok || !row.needed);
    let code = if healthy { 0 } else { FAILED };
    if json {
        let mode = healthy.then_some(MODE);
        print_json(&serde_json::json!({"healthy": healthy, "mode": mode, "checks": rows}))?;
        return Ok(code);
    }
    let mut text: String = rows.iter().map(|row| row.text(paint)).collect();
    text += if healthy {
        "\nHeptad can run unmodified programs here: their socket calls are trapped by\n\
         seccomp and answered by Heptad's own TCP and UDP, without root.\n"
    } else {
        "\nHeptad cannot run unmodified programs here; labs with built-in programs work.\n"
    };
    print_text(&text)?;
    Ok(code)
}

fn rows() -> Vec<Row> {
    let checks = heptad_runner::probe().into_iter().map(|check| {
        let tried = if check.ok {
            Ok(check.detail)
        } else {
            Err(check.detail)
        };
        Row::new(check.name, check.needed, tried, check.cost)
    });
    let mut rows: Vec<Row> = checks.collect();
    rows.push(runtime_folder());
    let is_possible = rows.iter().all(|row| row.ok || !row.needed);
    rows.push(whole(is_possible));
    rows.push(in_namespace());
    rows.push(python());
    rows.push(tun());
    rows.push(ping());
    rows
}

/// Its socket needs a path that the kernel takes, and a file system that has sockets.
fn runtime_folder() -> Row {
    let tried = crate::control::folder::folder().and_then(|folder| {
        let socket = folder.join(format!("doctor-{}.sock", std::process::id()));
        let bound = std::os::unix::net::UnixListener::bind(&socket);
        let _ = std::fs::remove_file(&socket);
        let shown = folder.display();
        bound
            .map(|_| shown.to_string())
            .map_err(|error| Failure::ours(format!("{shown}: no socket there: {error}")))
    });
    let tried = tried.map_err(|failure| failure.message());
    let cost = "no lab can run; XDG_RUNTIME_DIR names another place";
    Row::new("folder for running labs", true, tried, cost)
}

/// A program with sockets, on a network of its own: all of the above together.
fn whole(is_possible: bool) -> Row {
    let tried = match is_possible {
        true => run_inside(&["run", "-q", "--"]),
        false => Err("not tried: something that it needs is missing".to_owned()),
    };
    let cost = "unmodified programs can't be run";
    Row::new("a program, as a trial", true, tried, cost)
}

/// The same with the kernel's own sockets.
fn in_namespace() -> Row {
    let tried = run_inside(&["run", "-q", "--mode", "netns", "--"]);
    let cost = "no --mode netns and no `stack = \"kernel\"`: programs with io_uring or raw packets can't be run";
    Row::new("one with --mode netns", false, tried, cost)
}

fn run_inside(run: &[&str]) -> Result<String, String> {
    let ours = std::env::current_exe().map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let mut command = Command::new(&ours);
    command.args(run).arg(&ours).args(["doctor", "--inside"]);
    let (worked, said) = finish(&mut command)?;
    match worked {
        true => Ok(format!("ran in {} ms", begin.elapsed().as_millis())),
        false => Err(said),
    }
}

/// The trial's program: text over a connection to itself, at a port that would be root's.
fn inside() -> Result<u8, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 80))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"heptad")?;
    let mut got = [0; 6];
    server.read_exact(&mut got)?;
    Ok(if &got == b"heptad" { 0 } else { FAILED })
}

/// Runs a program to its end: whether it went well, and its first line, of an error if there is one.
fn finish(command: &mut Command) -> Result<(bool, String), String> {
    let piped = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| error.to_string())?;
    let begin = Instant::now();
    while child
        .try_wait()
        .map_err(|error| error.to_string())?
        .is_none()
    {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().next().unwrap_or_default();
    let line = line.strip_prefix("heptad: ").unwrap_or(line);
    let line = if line.is_empty() {
        output.status.to_string()
    } else {
        line.to_owned()
    };
    Ok((output.status.success(), line))
}

fn python() -> Row {
    let tried = match find_program("python3") {
        None => Err("not found".to_owned()),
        Some(path) => finish(Command::new(&path).arg("--version")).and_then(|(worked, said)| {
            let said = format!("{}: {said}", path.display());
            if worked { Ok(said) } else { Err(said) }
        }),
    };
    Row::new(
        "python3",
        false,
        tried,
        "the demonstration uses built-in programs",
    )
}

fn tun() -> Row {
    let tried = match device::usable() {
        // It goes when it is let go of, here at once.
        Ok(()) => Ok(match Interface::attach(Kind::Tap, "heptad-doctor") {
            Ok(_) => "/dev/net/tun: interfaces can be made",
            Err(_) => {
                "/dev/net/tun: interfaces of this user; \
                 sudo ip tuntap add dev heptad0 mode tap user $USER"
            }
        }
        .to_owned()),
        Err(error) => {
            let help = error.help().map(|help| format!("; {help}"));
            Err(format!("{error}{}", help.unwrap_or_default()))
        }
    };
    let cost = "labs have no cable to this machine's kernel";
    Row::new("TAP and TUN", false, tried, cost)
}

/// Echo requests of nodes with an uplink need a socket that the kernel gives to some groups only.
fn ping() -> Row {
    let setting = "net.ipv4.ping_group_range";
    let tried = match heptad_runtime::uplink::may_ping() {
        Ok(()) => Ok(format!("{setting} has a group of this user")),
        Err(error) => Err(format!("{error}; sudo sysctl -w {setting}='0 2147483647'")),
    };
    let cost = "nodes with an uplink have no answers to their pings; TCP, UDP and names pass";
    Row::new("ping through an uplink", false, tried, cost)
}

/// A program in PATH.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_its_cost_in_80_columns() {
        let detail = "a network in it: AppArmor, kernel.apparmor_restrict_unprivileged_userns is 1";
        let cost = "nothing: programs are run without a namespace of their own";
        let row = Row::new("user namespaces", false, Err(detail.into()), cost);
        let expected = "\
no   user namespaces           a network in it: AppArmor,
                               kernel.apparmor_restrict_unprivileged_userns is 1
                               → nothing: programs are run without a namespace
                               of their own
";
        let plain = Paint::from_choice(crate::args::ColorChoice::Never);
        assert_eq!(row.text(plain), expected);
        assert_eq!(row.id, "user_namespaces");
        let pidfd = Row::new("pidfd_open, pidfd_getfd", true, Ok("x".into()), "");
        assert_eq!(
            (pidfd.id.as_str(), pidfd.cost),
            ("pidfd_open_pidfd_getfd", None)
        );
    }
}
