//! The program: what to start, and the last steps of a process before it becomes that.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::{Job, RunError, Stdio, filter};

/// A job with everything that a forked process needs, made ready before the fork.
#[derive(Debug)]
pub struct Plan {
    /// The program as the user named it.
    pub name: OsString,
    /// Files to try, in order.
    candidates: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    directory: Option<CString>,
    stdio: [Option<OwnedFd>; 3],
}

/// What the new process tells the guard before it becomes the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The filter is in force: its listener has this number here.
    Filtered {
        /// The descriptor's number.
        listener: RawFd,
        /// As [`filter::Installed::wait_killable`].
        wait_killable: bool,
    },
    /// A step failed with this errno.
    Failed(Step, i32),
}

/// A step on the way to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Directory, descriptors.
    Surroundings,
    /// The filter.
    Filter,
    /// `execve`.
    Execute,
    /// The node's namespace.
    Namespace,
}

/// Bytes of a [`Word`].
pub const WORD: usize = 8;

impl Word {
    /// Its bytes.
    pub fn encode(self) -> [u8; WORD] {
        let (tag, detail, value) = match self {
            Self::Filtered {
                listener,
                wait_killable,
            } => (0, u8::from(wait_killable), listener),
            Self::Failed(step, errno) => (1, step as u8, errno),
        };
        let [a, b, c, d] = value.to_ne_bytes();
        [tag, detail, 0, 0, a, b, c, d]
    }

    /// From bytes; `None` if they are not a word.
    pub fn decode([tag, detail, _, _, a, b, c, d]: [u8; WORD]) -> Option<Self> {
        let value = i32::from_ne_bytes([a, b, c, d]);
        match (tag, detail) {
            (0, _) => Some(Self::Filtered {
                listener: value,
                wait_killable: detail != 0,
            }),
            (1, 0) => Some(Self::Failed(Step::Surroundings, value)),
            (1, 1) => Some(Self::Failed(Step::Filter, value)),
            (1, 2) => Some(Self::Failed(Step::Execute, value)),
            (1, 3) => Some(Self::Failed(Step::Namespace, value)),
            _ => None,
        }
    }
}

impl Plan {
    /// Works a job out: the environment, and where `PATH` may find the program.
    ///
    /// # Errors
    /// [`RunError::NoProgram`] for an empty command, [`RunError::Nul`] for a NUL inside a string.
    pub fn new(job: Job) -> Result<Self, RunError> {
        let Job {
            program,
            env,
            clear_env,
            cwd,
            stdio,
        } = job;
        let name = program.first().cloned().ok_or(RunError::NoProgram)?;
        let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
        if !clear_env {
            variables.extend(std::env::vars_os());
        }
        variables.extend(env);
        let candidates = candidates(
            &name,
            variables.get(OsStr::new("PATH")).map(OsString::as_os_str),
        );
        let environment = variables.into_iter().map(|(key, value)| {
            let mut pair = key;
            pair.push("=");
            pair.push(value);
            c_string(pair)
        });
        let stdio = match stdio {
            Stdio::Inherit => [None, None, None],
            Stdio::Given {
                stdin,
                stdout,
                stderr,
            } => [Some(stdin), Some(stdout), Some(stderr)],
        };
        Ok(Self {
            candidates: candidates
                .into_iter()
                .map(|path| c_string(path.into()))
                .collect::<Result<_, _>>()?,
            arguments: program
                .into_iter()
                .map(c_string)
                .collect::<Result<_, _>>()?,
            environment: environment.collect::<Result<_, _>>()?,
            directory: cwd.map(|path| c_string(path.into())).transpose()?,
            name,
            stdio,
        })
    }

    /// Becomes the program; only in a process made for it. Returns the step that failed and its errno.
    ///
    /// `tell` and `wait` speak to the guard: `tell` the listener's number, `wait` until it has been fetched.
    pub fn become_it(&self, guard: BorrowedFd<'_>, mask: &libc::sigset_t) -> (Step, i32) {
        if let Err(errno) = self.surroundings(mask) {
            return (Step::Surroundings, errno);
        }
        let installed = match filter::install() {
            Ok(installed) => installed,
            Err(error) => return (Step::Filter, error.raw_os_error().unwrap_or(libc::EINVAL)),
        };
        let word = Word::Filtered {
            listener: installed.listener.as_raw_fd(),
            wait_killable: installed.wait_killable,
        };
        let mut fetched = [0; 1];
        if rustix::io::write(guard, &word.encode()).is_err()
            || rustix::io::read(guard, &mut fetched) != Ok(1)
        {
            return (Step::Filter, libc::EPIPE);
        }
        drop(installed);
        (Step::Execute, self.execute())
    }

    /// The same without a filter, after `enter`: its calls are the kernel's to answer.
    pub fn become_it_in(
        &self,
        enter: impl FnOnce() -> Result<(), i32>,
        mask: &libc::sigset_t,
    ) -> (Step, i32) {
        if let Err(errno) = enter() {
            return (Step::Namespace, errno);
        }
        if let Err(errno) = self.surroundings(mask) {
            return (Step::Surroundings, errno);
        }
        (Step::Execute, self.execute())
    }

    fn surroundings(&self, mask: &libc::sigset_t) -> Result<(), i32> {
        // SAFETY: plain integers; if the guard dies, so does the program.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) } != 0 {
            return Err(errno());
        }
        for (target, given) in (0..).zip(&self.stdio) {
            let Some(given) = given else { continue };
            // SAFETY: both are numbers of descriptors; a duplicate on 0, 1, 2 is what is wanted here.
            if unsafe { libc::dup2(given.as_raw_fd(), target) } < 0 {
                return Err(errno());
            }
        }
        if let Some(directory) = &self.directory {
            // SAFETY: a NUL-terminated string.
            if unsafe { libc::chdir(directory.as_ptr()) } != 0 {
                return Err(errno());
            }
        }
        // Rust's start-up ignores SIGPIPE; programs expect the default.
        // SAFETY: SIG_DFL is no handler of ours; `mask` is a set that the kernel filled in.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut());
        }
        Ok(())
    }

    /// As `execvp`: each candidate in turn; a script without `#!` goes to the shell. Returns why nothing was executed.
    fn execute(&self) -> i32 {
        let arguments = pointers(&self.arguments);
        let environment = pointers(&self.environment);
        let mut refused = libc::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: NUL-terminated strings and NULL-terminated lists of them, alive across the call.
            unsafe { libc::execve(candidate.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::ENOEXEC => return self.execute_by_shell(candidate, &environment),
                // A folder that may not be searched holds no program of ours, as shells see it.
                libc::EACCES if self.candidates.len() > 1 && !is_there(candidate) => {}
                libc::EACCES => refused = libc::EACCES,
                other => return other,
            }
        }
        refused
    }

    fn execute_by_shell(&self, script: &CString, environment: &[*const libc::c_char]) -> i32 {
        let shell = c"/bin/sh";
        let mut arguments = vec![c"sh".as_ptr(), script.as_ptr()];
        arguments.extend(self.arguments.iter().skip(1).map(|text| text.as_ptr()));
        arguments.push(std::ptr::null());
        // SAFETY: as in `execute`.
        unsafe { libc::execve(shell.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        errno()
    }
}

/// Whether such a file exists, as far as we may know. Safe after `fork`.
fn is_there(path: &CStr) -> bool {
    // SAFETY: a NUL-terminated string, alive across the call.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Where a program of this name may be: itself with a slash in it, else below each folder of `PATH`.
fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(name)];
    }
    let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
    std::env::split_paths(path)
        .map(|folder| {
            if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder
            }
        })
        .map(|folder| folder.join(name))
        .collect()
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

fn c_string(text: OsString) -> Result<CString, RunError> {
    CString::new(text.into_vec()).map_err(|_| RunError::Nul)
}

fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_along_path_and_a_path_is_taken_as_it_is() {
        let found = |name: &str, path: Option<&str>| {
            candidates(OsStr::new(name), path.map(OsStr::new))
                .into_iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found("nc", Some("/usr/bin:/bin")),
            ["/usr/bin/nc", "/bin/nc"]
        );
        assert_eq!(
            found("nc", Some("/usr/bin::")),
            ["/usr/bin/nc", "./nc", "./nc"]
        );
        assert_eq!(found("./nc", Some("/usr/bin")), ["./nc"]);
        assert_eq!(found("/x/nc", None), ["/x/nc"]);
        assert_eq!(found("nc", None), ["/bin/nc", "/usr/bin/nc"]);
        assert!(found("", Some("/bin")).is_empty());
    }

    #[test]
    fn words_survive_the_way_to_the_guard() {
        for word in [
            Word::Filtered {
                listener: 7,
                wait_killable: true,
            },
            Word::Failed(Step::Surroundings, libc::ENOENT),
            Word::Failed(Step::Filter, libc::EINVAL),
            Word::Failed(Step::Execute, libc::EACCES),
            Word::Failed(Step::Namespace, libc::EPERM),
        ] {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode([9; WORD]), None);
    }
}
