//! `.pkt` scripts: the project's own, and those of `HEPTAD_PKT_DIR`.
use std::path::{Path, PathBuf};
use std::{env, fs};

use heptad_lab::pkt;

/// All scripts below a folder, in order.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            all.extend(scripts(&path));
        } else if path.extension().is_some_and(|ending| ending == "pkt") {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Runs all below a folder; what failed, with the reason.
fn failed(folder: &Path) -> (usize, Vec<String>) {
    let all = scripts(folder);
    let failed = all.iter().filter_map(|path| {
        let text = fs::read_to_string(path).expect("a script is text");
        let outcome = pkt::parse(&text).and_then(|script| pkt::run(&script));
        let error = outcome.err()?;
        let name = path.strip_prefix(folder).unwrap_or(path);
        Some(format!("{}: {error}", name.display()))
    });
    let failed = failed.collect();
    (all.len(), failed)
}

#[track_caller]
fn all_pass(folder: &Path, least: usize) {
    let (count, failed) = failed(folder);
    assert!(
        failed.is_empty(),
        "{} of {count} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(count >= least, "{count} scripts are there, not {least}");
}

#[test]
fn the_projects_own_scripts_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/pkt");
    all_pass(&folder, 150);
}

#[test]
fn none_of_them_ends_with_a_packet_that_it_does_not_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/pkt");
    for path in scripts(&folder) {
        let text = fs::read_to_string(&path).expect("a script is text");
        let Ok(passed) = pkt::parse(&text).and_then(|script| pkt::run(&script)) else {
            continue; // told by the test above
        };
        assert_eq!(passed.unsaid, [], "{}", path.display());
    }
}

#[test]
fn each_of_them_says_what_it_shows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/pkt");
    for path in scripts(&folder) {
        let text = fs::read_to_string(&path).expect("a script is text");
        let first = text.lines().next().unwrap_or("");
        assert!(
            first.starts_with("// ") && first.contains(':'),
            "{}: the first line names a source and what is shown",
            path.display()
        );
    }
}

#[test]
fn scripts_from_outside_pass() {
    let Some(folder) = env::var_os("HEPTAD_PKT_DIR") else {
        eprintln!("skipped: HEPTAD_PKT_DIR names no folder of scripts");
        return;
    };
    all_pass(Path::new(&folder), 1);
}
