//! Which crate may depend on which, read from the `Cargo.toml` of each.

use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::source::{SourceFile, Violation, read};

/// A crate of ours: what it may import, and what its tests may import besides.
struct Room {
    name: &'static str,
    imports: &'static [&'static str],
    for_tests: &'static [&'static str],
}

const fn room(
    name: &'static str,
    imports: &'static [&'static str],
    for_tests: &'static [&'static str],
) -> Room {
    Room {
        name,
        imports,
        for_tests,
    }
}

/// The table of ARCHITECTURE.md. The faces (`cli`, `heptad`) may import every room below them.
const ROOMS: [Room; 10] = [
    room("wire", &[], &[]),
    room("stack", &["wire"], &[]),
    room("lab", &["wire", "stack"], &[]),
    room("device", &["wire", "stack"], &[]),
    room("runtime", &["wire", "stack", "lab", "device"], &[]),
    room("services", &["runtime"], &["lab"]),
    room("runner", &["runtime", "stack"], &["lab"]),
    room("capi", &["stack", "lab"], &[]),
    room(
        "heptad",
        &["wire", "stack", "lab", "runtime", "services"],
        &[],
    ),
    room(
        "cli",
        &["wire", "stack", "lab", "runtime", "services", "runner"],
        &[],
    ),
];

/// Crates that bring clocks, threads, chance or the system: not for protocol code.
const SYSTEM: [&str; 12] = [
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "jiff",
    "libc",
    "mio",
    "nix",
    "rand",
    "rustix",
    "socket2",
    "tokio",
];
const PROTOCOL: [&str; 3] = ["wire", "stack", "lab"];

/// Checks every crate of the workspace.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    let folder = root.join("crates");
    let mut violations = Vec::new();
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path().join("Cargo.toml");
        if path.is_file() {
            violations.extend(check_manifest(&read(root, &path)?)?);
        }
    }
    Ok(violations)
}

fn check_manifest(file: &SourceFile) -> Result<Vec<Violation>> {
    let manifest: Table = file
        .text
        .parse()
        .with_context(|| format!("{} is not TOML", file.path))?;
    let name = file.crate_name().unwrap_or_default();
    let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
        return Ok(vec![file.violation(
            1,
            format!("{name} has no row in the table of xtask's manifests.rs"),
        )]);
    };
    let mut violations = Vec::new();
    for section in sections(&manifest) {
        for package in section.packages() {
            if let Some(message) = room.refusal(&package, section.for_tests) {
                violations.push(file.violation(line_of(&file.text, &package), message));
            }
        }
    }
    Ok(violations)
}

impl Room {
    fn refusal(&self, package: &str, for_tests: bool) -> Option<String> {
        let Self { name, imports, .. } = self;
        if !for_tests && PROTOCOL.contains(name) && SYSTEM.contains(&package) {
            return Some(format!(
                "{name} depends on {package}: it gets time, chance and bytes from its caller"
            ));
        }
        let ours = match package {
            "heptad" => package,
            _ => package.strip_prefix("heptad-")?,
        };
        if imports.contains(&ours) || (for_tests && self.for_tests.contains(&ours)) {
            return None;
        }
        let allowed = if imports.is_empty() {
            "nothing of ours".into()
        } else {
            imports.join(", ")
        };
        Some(format!(
            "{name} depends on {package}: it may import {allowed}"
        ))
    }
}

/// One table of dependencies.
struct Section<'a> {
    entries: &'a Table,
    for_tests: bool,
}

impl Section<'_> {
    /// The packages by their own names, however the crate renames them.
    fn packages(&self) -> Vec<String> {
        let rows = self.entries.iter();
        rows.map(|(key, value)| {
            value
                .get("package")
                .and_then(Value::as_str)
                .unwrap_or(key)
                .to_owned()
        })
        .collect()
    }
}

fn sections(manifest: &Table) -> Vec<Section<'_>> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let holders = targets
        .into_iter()
        .flat_map(|table| table.values().filter_map(Value::as_table));
    let kinds = [
        ("dependencies", false),
        ("build-dependencies", false),
        ("dev-dependencies", true),
    ];
    std::iter::once(manifest)
        .chain(holders)
        .flat_map(|holder| {
            kinds.map(|(kind, for_tests)| (holder.get(kind).and_then(Value::as_table), for_tests))
        })
        .filter_map(|(entries, for_tests)| entries.map(|entries| Section { entries, for_tests }))
        .collect()
}

fn line_of(text: &str, package: &str) -> usize {
    let names = |line: &str| {
        line.trim_start().starts_with(package) || line.contains(&format!("\"{package}\""))
    };
    text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> Vec<(usize, String)> {
        let file = SourceFile {
            path: format!("crates/{name}/Cargo.toml"),
            text: text.into(),
        };
        let violations = check_manifest(&file).expect("the sample is TOML");
        violations
            .into_iter()
            .map(|v| (v.line, v.message))
            .collect()
    }

    #[test]
    fn a_dependency_that_points_up_is_refused() {
        let rows = [
            ("wire", "[dependencies]\nheptad-stack.workspace = true", 2),
            (
                "wire",
                "[dev-dependencies]\n\nheptad-lab.workspace = true",
                3,
            ),
            (
                "stack",
                "[dependencies]\nheptad-wire.workspace = true\nheptad-lab = { path = \"../lab\" }",
                3,
            ),
            ("lab", "[build-dependencies]\nheptad-runtime = \"1\"", 2),
            (
                "services",
                "[dependencies]\nheptad-stack.workspace = true",
                2,
            ),
            ("services", "[dependencies]\nheptad-lab.workspace = true", 2),
            (
                "runner",
                "[dependencies]\nnet = { package = \"heptad-lab\", path = \"../lab\" }",
                2,
            ),
            (
                "lab",
                "[target.'cfg(unix)'.dependencies]\nheptad-runner = \"1\"",
                2,
            ),
            ("runtime", "[dependencies]\nheptad.workspace = true", 2),
            ("stack", "[dependencies]\nrand = \"0.9\"", 2),
            ("lab", "[dependencies]\ntokio.workspace = true", 2),
            ("pocket", "[dependencies]\n", 1),
        ];
        for (name, text, line) in rows {
            let found = found(name, text);
            assert_eq!(
                found.iter().map(|row| row.0).collect::<Vec<_>>(),
                [line],
                "{name}: {text}: {found:?}"
            );
        }
    }

    #[test]
    fn the_message_says_what_would_be_right() {
        let rows = [
            (
                "wire",
                "heptad-lab",
                "wire depends on heptad-lab: it may import nothing of ours",
            ),
            (
                "lab",
                "heptad-cli",
                "lab depends on heptad-cli: it may import wire, stack",
            ),
            (
                "lab",
                "libc",
                "lab depends on libc: it gets time, chance and bytes from its caller",
            ),
        ];
        for (name, package, message) in rows {
            assert_eq!(
                found(name, &format!("[dependencies]\n{package} = \"1\"")),
                [(2, message.to_owned())]
            );
        }
    }

    #[test]
    fn a_dependency_that_points_down_is_let_pass() {
        let rows = [
            (
                "stack",
                "[dependencies]\nheptad-wire.workspace = true\nbytes = \"1\"",
            ),
            (
                "services",
                "[dependencies]\nheptad-runtime = \"1\"\n[dev-dependencies]\nheptad-lab = \"1\"",
            ),
            ("lab", "[dev-dependencies]\nlibc = \"1\""),
            (
                "cli",
                "[dependencies]\nheptad-wire = \"1\"\nheptad-runner = \"1\"\nlibc = \"0.2\"",
            ),
            ("wire", "[package]\nname = \"heptad-wire\""),
        ];
        for (name, text) in rows {
            assert_eq!(found(name, text), [], "{name}: {text}");
        }
    }

    #[test]
    fn every_room_has_a_row_in_the_architecture() {
        let text = include_str!("../../../ARCHITECTURE.md");
        for room in ROOMS {
            let row = format!("| {} | ", room.name);
            assert!(text.lines().any(|line| line.starts_with(&row)), "{row}");
        }
    }
}
