//! The project's Rust files, and what a check says about one of them.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A rule that a file breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// One file. `path` is relative to the project's root, with `/` between its parts.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// The violation of a rule on a line of this file.
    pub fn violation(&self, line: usize, message: impl Into<String>) -> Violation {
        Violation {
            file: self.path.clone(),
            line,
            message: message.into(),
        }
    }

    /// `wire` for a file below `crates/wire`.
    pub fn crate_name(&self) -> Option<&str> {
        self.path.strip_prefix("crates/")?.split('/').next()
    }

    /// The path below `crates/NAME/src`, if it is the code that ships.
    pub fn path_in_src(&self) -> Option<&str> {
        let (_, inside) = self.path.strip_prefix("crates/")?.split_once('/')?;
        inside.strip_prefix("src/")
    }
}

/// All `.rs` files below `crates` and `xtask`, ordered by path.
pub fn rust_files(root: &Path) -> Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    paths.iter().map(|path| read(root, path)).collect()
}

/// Reads one file, named relative to the root.
pub fn read(root: &Path, path: &Path) -> Result<SourceFile> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parts = path.strip_prefix(root).unwrap_or(path).iter();
    let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
    Ok(SourceFile {
        path: parts.join("/"),
        text,
    })
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                collect(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}
