//! The two programs of the demonstration: unmodified Python ones, or built-in ones where that can't be.
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use heptad_runtime::Network;
use heptad_services::builtin::Builtin;

use super::SCRIPT;
use crate::commands::doctor::find_program;
use crate::failure::Failure;
use crate::host::LabHost;

/// The chat lab; its programs are started by hand.
pub const LAB: &str = include_str!("../../../../../labs/chat/lab.toml");
const SERVER: &str = include_str!("../../../../../labs/chat/server.py");
const CLIENT: &str = include_str!("../../../../../labs/chat/client.py");
const PORT: &str = "8080";

/// Server and client, and what they print.
pub struct Players {
    network: Network,
    lab: String,
    /// Where the programs are, for those who want to read them.
    folder: PathBuf,
    python: Option<PathBuf>,
    /// Why no Python.
    pub builtin_because: Option<String>,
    server: Option<Player>,
    client: Option<Player>,
}

struct Player {
    child: Option<Child>,
    thread: Option<heptad_runtime::network::JoinHandle<io::Result<u8>>>,
    printed: Arc<Mutex<Printed>>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Printed {
    text: Vec<u8>,
    ended: bool,
}

impl Players {
    /// Python if it is there and this machine lets us run it on our network.
    pub fn choose(host: &LabHost, builtin: bool, out: &Path) -> Result<Self, Failure> {
        let python = find_program("python3");
        let missing = heptad_runner::probe()
            .into_iter()
            .find(|check| check.needed && !check.ok);
        let builtin_because = match (builtin, &python, missing) {
            (true, ..) => Some("--builtin was given".to_string()),
            (_, None, _) => Some("python3 was not found".to_string()),
            (_, _, Some(check)) => Some(format!(
                "this machine lacks {}: {}",
                check.name, check.detail
            )),
            _ => None,
        };
        let folder = out.join("chat");
        // One that is there already stays: another demonstration may be reading it just now.
        let write = |name: &str, text: &str| match fs::read(folder.join(name)) {
            Ok(there) if there == text.as_bytes() => Ok(()),
            _ => fs::write(folder.join(name), text),
        };
        fs::create_dir_all(&folder)
            .and_then(|()| write("server.py", SERVER))
            .and_then(|()| write("client.py", CLIENT))
            .map_err(|error| {
                Failure::ours(format!("cannot write {}: {error}", folder.display()))
            })?;
        let python = python.filter(|_| builtin_because.is_none());
        let (network, lab) = (host.network.clone(), host.name.clone());
        Ok(Self {
            network,
            lab,
            folder,
            python,
            builtin_because,
            server: None,
            client: None,
        })
    }

    /// `server.py 8080` on bob.
    pub fn start_server(&mut self) -> Result<(), Failure> {
        self.server = Some(self.start("bob", &["server.py", PORT], &["chat-server", PORT, "1"])?);
        Ok(())
    }

    /// `client.py bob 8080 alice …` on alice.
    pub fn start_client(&mut self) -> Result<(), Failure> {
        let with = |name: &'static str| {
            [name, "bob", PORT, "alice"]
                .into_iter()
                .chain(SCRIPT)
                .collect::<Vec<_>>()
        };
        self.client = Some(self.start("alice", &with("client.py"), &with("chat-client"))?);
        Ok(())
    }

    /// Whether the client ended.
    pub fn client_ended(&mut self) -> bool {
        match &mut self.client {
            Some(player) => match &mut player.child {
                Some(child) => !matches!(child.try_wait(), Ok(None)),
                None => {
                    player
                        .printed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .ended
                }
            },
            None => false,
        }
    }

    /// Ends both; what alice's and bob's programs printed.
    pub fn end(mut self) -> Result<(Vec<String>, Vec<String>), Failure> {
        let client = self.client.take().map(Player::end).unwrap_or_default();
        let server = self.server.take().map(Player::end).unwrap_or_default();
        Ok((client, server))
    }

    /// Ends what may still run; what it printed is of no interest.
    pub fn abandon(self) {
        for player in [self.client, self.server].into_iter().flatten() {
            let Some(mut child) = player.child else {
                continue; // a thread ends with its network
            };
            crate::host::programs::terminate(&mut child);
            let _ = child.wait();
        }
    }

    fn start(&self, node: &str, script: &[&str], builtin: &[&str]) -> Result<Player, Failure> {
        match &self.python {
            Some(python) => self.start_python(node, python, script),
            None => self.start_builtin(node, builtin),
        }
    }

    fn start_python(&self, node: &str, python: &Path, script: &[&str]) -> Result<Player, Failure> {
        let mut child = Command::new("/proc/self/exe")
            .arg0("heptad")
            .args(["exec", "--lab", &self.lab, node, "--"])
            .arg(python)
            .args(script)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let printed = Arc::new(Mutex::new(Printed::default()));
        let reader = child
            .stdout
            .take()
            .map(|output| keep(output, Arc::clone(&printed)))
            .transpose()?;
        Ok(Player {
            child: Some(child),
            thread: None,
            printed,
            reader,
        })
    }

    fn start_builtin(&self, node: &str, words: &[&str]) -> Result<Player, Failure> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let builtin = Builtin::parse(&words).map_err(Failure::usage)?;
        let node = self
            .network
            .node(node)
            .ok_or_else(|| Failure::ours("the lab lost a node"))?;
        let printed = Arc::new(Mutex::new(Printed::default()));
        let mut out = Keeper(Arc::clone(&printed));
        let thread = self.network.spawn(&words.join(" "), move || {
            let code = builtin.run(&node, &mut out);
            out.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            code
        });
        Ok(Player {
            child: None,
            thread: Some(thread),
            printed,
            reader: None,
        })
    }
}

impl Player {
    fn end(mut self) -> Vec<String> {
        if let Some(mut child) = self.child.take() {
            if matches!(child.try_wait(), Ok(None)) {
                crate::host::programs::terminate(&mut child);
            }
            let _ = child.wait();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its output tells how far it came
        }
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&printed.text)
            .lines()
            .map(str::to_string)
            .collect()
    }
}

/// Reads what a program prints until it ends.
fn keep(
    output: impl Read + Send + 'static,
    printed: Arc<Mutex<Printed>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("reader".into())
        .spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                printed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .text
                    .append(&mut line);
            }
            printed.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        })
}

/// What a built-in program writes.
struct Keeper(Arc<Mutex<Printed>>);

impl Write for Keeper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .text
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
