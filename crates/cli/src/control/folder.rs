//! The folder of the running labs' sockets.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::failure::Failure;

/// `$XDG_RUNTIME_DIR/heptad`, else `heptad-UID` in the system's temporary folder; made if it is missing, and ours alone.
pub fn folder() -> Result<PathBuf, Failure> {
    let uid = rustix::process::geteuid().as_raw();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|dir| Path::new(dir).is_absolute() && Path::new(dir).is_dir())
    {
        Some(dir) => PathBuf::from(dir).join("heptad"),
        None => std::env::temp_dir().join(format!("heptad-{uid}")),
    };
    match fs::DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(Failure::ours(format!(
                "cannot create {}: {error}",
                folder.display()
            )));
        }
    }
    let meta = fs::symlink_metadata(&folder)?;
    if !meta.is_dir() || meta.uid() != uid || meta.permissions().mode() & 0o077 != 0 {
        return Err(Failure::ours(format!(
            "{} must be a folder of mode 0700 that belongs to user {uid}",
            folder.display()
        )));
    }
    Ok(folder)
}

/// Where a lab of this name listens.
pub fn socket_path(name: &str) -> Result<PathBuf, Failure> {
    Ok(folder()?.join(format!("{name}.sock")))
}

/// Held while a lab's socket is made or a dead one removed: between bind and listen, a socket looks dead.
pub struct Lock {
    _folder: File,
}

/// Waits until nobody else changes the folder.
pub fn lock() -> Result<Lock, Failure> {
    let folder = File::open(folder()?)?;
    rustix::fs::flock(&folder, FlockOperation::LockExclusive).map_err(io::Error::from)?;
    Ok(Lock { _folder: folder })
}

/// Removes the sockets that nobody listens at: of labs that were killed.
pub fn sweep(_: &Lock) -> Result<(), Failure> {
    for name in names()? {
        let path = socket_path(&name)?;
        match UnixStream::connect(&path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(&path)?
            }
            _ => {}
        }
    }
    Ok(())
}

/// Names of the labs that have a socket, in order; some may be dead.
pub fn names() -> Result<Vec<String>, Failure> {
    let mut names: Vec<String> = fs::read_dir(folder()?)?
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".sock")
                .map(str::to_string)
        })
        .collect();
    names.sort();
    Ok(names)
}
