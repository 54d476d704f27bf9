//! `cargo xtask conformance`: what RFCs ask of TCP, where it is met, what shows it or why not.
//!
//! `docs/conformance/rfcNNNN.toml` is written by hand ([`rows`]). What it names must be there ([`evidence`]), and the page beside it
//! ([`page`]) must be the one that follows from it.

mod evidence;
mod page;
mod rows;

use std::path::Path;

use anyhow::{Context, Result};

use crate::source::{SourceFile, Violation, read};
use evidence::Evidence;
use rows::Paper;

/// Where the papers and their pages lie.
const FOLDER: &str = "docs/conformance";

/// What is to become of the pages.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Write the pages instead of comparing them with those that lie there.
    #[arg(long)]
    pub update: bool,
}

/// All that is wrong, ordered by file. With `update` the pages are written first.
pub fn check(root: &Path, choice: &Choice) -> Result<Vec<Violation>> {
    let evidence = Evidence::gather(root)?;
    let mut violations = Vec::new();
    let mut papers = Vec::new();
    for file in files(root)? {
        match Paper::read(&file) {
            Ok(paper) => {
                violations.extend(paper.check(&file));
                violations.extend(evidence.check(&paper, &file));
                papers.push(paper);
            }
            Err(violation) => violations.push(violation),
        }
    }
    // A page that names what is not there would have to be written twice.
    if violations.is_empty() {
        for (name, text) in page::all(&papers, &evidence) {
            violations.extend(settle(root, &name, &text, choice)?);
        }
    }
    violations.sort();
    Ok(violations)
}

/// The papers, ordered by number.
fn files(root: &Path) -> Result<Vec<SourceFile>> {
    let folder = root.join(FOLDER);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {FOLDER}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(read(root, &path)?);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes a page, or says that it is not the one that lies there.
fn settle(root: &Path, name: &str, text: &str, choice: &Choice) -> Result<Option<Violation>> {
    let path = format!("{FOLDER}/{name}");
    let there = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
    if there == text {
        return Ok(None);
    }
    if choice.update {
        std::fs::write(root.join(&path), text).with_context(|| format!("cannot write {path}"))?;
        return Ok(None);
    }
    let differs = there.lines().zip(text.lines()).take_while(|(a, b)| a == b);
    Ok(Some(Violation {
        line: differs.count() + 1,
        file: path,
        message: "not what follows from the tables; `cargo xtask conformance --update`".into(),
    }))
}
