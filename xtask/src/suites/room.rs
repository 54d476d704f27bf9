//! Where the suites run: a network namespace whose `lo` is down, and a user who may do nothing. What passes there went through heptad.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::programs::effective_uid;

/// The python of the package whose tests are run.
pub const PYTHON: &str = "/usr/bin/python3";

/// Says how the kernel's sockets answer.
const CONTROL: &str = "import errno, socket
print(errno.errorcode[socket.socket().connect_ex(('127.0.0.1', 9))])";

/// Sets IFF_UP of `lo`, then becomes what its arguments say.
const LO_UP: &str = "import fcntl, os, socket, struct, sys
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 1))
os.execv(sys.argv[1], sys.argv[1:])";

/// Who they run as where root starts them.
const NOBODY: u32 = 65_534;

/// How long a test program may take.
const DEADLINE: &str = "600";

/// A folder that every user can read, with the heptad under test and a home; goes with it.
pub struct Room {
    folder: PathBuf,
    log: PathBuf,
    as_root: bool,
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Room {
    /// Copies heptad to where another user can start it.
    pub fn new(root: &Path, heptad: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("heptad-suites-{}", std::process::id()));
        let log = root.join("target/suites/log");
        fs::create_dir_all(&log)?;
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let as_root = effective_uid() == Some(0);
        let room = Self {
            folder,
            log,
            as_root,
        };
        fs::set_permissions(&room.folder, Permissions::from_mode(0o755))?;
        fs::create_dir(room.home())?;
        fs::set_permissions(room.home(), Permissions::from_mode(0o1777))?;
        fs::create_dir(room.runtime())?;
        fs::set_permissions(room.runtime(), Permissions::from_mode(0o700))?;
        if as_root {
            std::os::unix::fs::chown(room.runtime(), Some(NOBODY), Some(NOBODY))?;
        }
        room.bring_as("heptad", heptad)?;
        Ok(room)
    }

    /// Copies a file in; where it is then.
    pub fn bring(&self, file: &Path) -> Result<PathBuf> {
        let name = file.file_name().context("a file without a name")?;
        self.bring_as(name, file)
    }

    /// The same, by another name.
    fn bring_as(&self, name: impl AsRef<Path>, file: &Path) -> Result<PathBuf> {
        let here = self.folder.join(name);
        fs::copy(file, &here).with_context(|| file.display().to_string())?;
        let mode = fs::metadata(&here)?.permissions().mode();
        fs::set_permissions(&here, Permissions::from_mode(mode | 0o444))?;
        Ok(here)
    }

    /// Copies a folder in with all that is below it, as whoever runs the tests would have made it; where it is then.
    pub fn lay(&self, name: &str, folder: &Path) -> Result<PathBuf> {
        let here = self.folder.join(name);
        let mut copy = Command::new("cp");
        done(copy.arg("-aT").args([folder, &here]))?;
        if self.as_root {
            let mut give = Command::new("chown");
            done(give.args(["-R", "65534:65534"]).arg(&here))?;
        }
        Ok(here)
    }

    /// Writes a file of lines in; where it is then.
    pub fn note<'a>(
        &self,
        name: &str,
        lines: impl IntoIterator<Item = &'a String>,
    ) -> Result<PathBuf> {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        let here = self.folder.join(name);
        fs::write(&here, text)?;
        fs::set_permissions(&here, Permissions::from_mode(0o644))?;
        Ok(here)
    }

    /// A new file for what a program prints.
    pub fn log(&self, name: &str) -> Result<File> {
        Ok(File::create(self.log.join(format!("{name}.log")))?)
    }

    /// Where what was brought in is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Where labs that are up are found.
    fn runtime(&self) -> PathBuf {
        self.folder.join("runtime")
    }

    /// A program under `heptad run`, which has no other network.
    pub fn under_heptad(&self, program: &Path) -> Command {
        let mut command = self.sealed();
        command.arg(self.folder.join("heptad"));
        command.args(["run", "-q", "--"]).arg(program);
        command
    }

    /// heptad itself, with these words.
    pub fn heptad(&self, words: &[&str]) -> Command {
        let mut command = self.sealed();
        command.arg(self.folder.join("heptad")).args(words);
        command
    }

    /// A program with the kernel's sockets, over `lo` only.
    pub fn under_the_kernel(&self, program: &Path) -> Command {
        let mut command = self.namespace();
        command.args([PYTHON, "-c", LO_UP, "/usr/bin/setpriv"]);
        command.args(self.powerless()).arg(program);
        command
    }

    /// A program that cannot pass anything by the kernel's sockets.
    fn sealed(&self) -> Command {
        let mut command = self.namespace();
        command.arg("setpriv").args(self.powerless());
        command
    }

    /// A namespace of its own, in which whoever sets it up may do everything. Ends after its deadline and with this program.
    fn namespace(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "TERM",
            "timeout",
            "--kill-after=10",
            DEADLINE,
        ]);
        command.args(["unshare", "--net"]);
        if !self.as_root {
            command.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.home())
            .env("TMPDIR", self.home())
            .env("XDG_RUNTIME_DIR", self.runtime())
            // What was printed before a program is ended counts, and in its order.
            .env("PYTHONUNBUFFERED", "1")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// What setpriv takes from a program: everything.
    fn powerless(&self) -> Vec<&'static str> {
        let mut flags = vec!["--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"];
        flags.push("--bounding-set=-all");
        if self.as_root {
            flags.extend(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        flags
    }

    /// Fails unless the kernel's own sockets go nowhere here.
    pub fn control(&self) -> Result<()> {
        let mut command = self.sealed();
        let output = command.args([PYTHON, "-c", CONTROL]).output();
        let output = output.context("cannot start setpriv")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            said.trim() == "ENETUNREACH",
            "in a network namespace whose lo is down the kernel's connect must say ENETUNREACH: it says {:?} {}",
            said.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Runs a test program to its end, however it ends, and returns what it printed, which stays in the log as well.
    /// It is one of several: `at` says which, and of how many.
    pub fn run(&self, what: &str, command: &mut Command, at: (usize, usize)) -> Result<String> {
        let path = self
            .log
            .join(format!("{}.log", what.replace([' ', '/'], "_")));
        let log = File::create(&path)?;
        let start = Instant::now();
        let (at, of) = at;
        eprintln!("suites: {what} ({at} of {of}) …");
        let status = command
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("cannot start setpriv")?;
        // timeout's own code for what took too long.
        if status.code() == Some(124) {
            eprintln!("suites: {what} did not end in {DEADLINE} s and was ended");
        }
        eprintln!("suites: {what}: {:.1} s", start.elapsed().as_secs_f64());
        Ok(String::from_utf8_lossy(&fs::read(&path)?).into_owned())
    }
}

/// Runs a small program to its end, which must be a good one.
pub fn done(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
