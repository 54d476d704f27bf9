//! The rules of the house that a compiler does not know: who may name whom, and what never enters protocol code.

mod manifests;
mod order;
mod purity;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::lexer::{Token, lex};
use crate::source::{SourceFile, Violation, rust_files};
use crate::test_code::strip;

/// All violations below `root`, ordered by file and line.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    let files = rust_files(root)?;
    let mut violations = manifests::check(root)?;
    violations.extend(check_files(&files));
    violations.sort();
    violations.dedup();
    Ok(violations)
}

fn check_files(files: &[SourceFile]) -> Vec<Violation> {
    let tokens: Vec<Vec<Token<'_>>> = files.iter().map(|file| lex(&file.text)).collect();
    let shipped: Vec<_> = tokens.iter().map(|tokens| strip(tokens)).collect();
    let test_files: BTreeSet<String> = files
        .iter()
        .zip(&shipped)
        .flat_map(|(file, shipped)| {
            shipped
                .test_modules
                .iter()
                .map(|name| module_path(&file.path, name))
        })
        .collect();
    let reexports = order::Reexports::of(files, &shipped);

    let mut violations = Vec::new();
    for ((file, all), shipped) in files.iter().zip(&tokens).zip(&shipped) {
        violations.extend(purity::check_unsafe(file, all));
        if belongs_to(&file.path, &test_files) {
            continue;
        }
        violations.extend(purity::check(file, &shipped.tokens));
        violations.extend(order::check(file, &shipped.tokens, &reexports));
    }
    violations
}

/// Where module `name`, declared in the file `path`, lives: without `.rs`, without `/mod.rs`.
fn module_path(path: &str, name: &str) -> String {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let folder = ["/mod", "/lib", "/main"]
        .iter()
        .find_map(|root| stem.strip_suffix(root))
        .unwrap_or(stem);
    format!("{folder}/{name}")
}

fn belongs_to(path: &str, modules: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    modules.iter().any(|module| {
        stem.strip_prefix(module.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_file_of_tests_may_name_what_shipped_code_may_not() {
        let parent = file(
            "crates/lab/src/clock.rs",
            "#[cfg(test)] mod proofs; mod kept;",
        );
        let bad = "use std::time::Instant;";
        let files = [
            parent,
            file("crates/lab/src/clock/proofs.rs", bad),
            file("crates/lab/src/clock/proofs/deep.rs", bad),
            file("crates/lab/src/clock/kept.rs", bad),
            file("crates/lab/tests/story.rs", bad),
        ];
        let found: Vec<String> = check_files(&files).into_iter().map(|v| v.file).collect();
        assert_eq!(found, ["crates/lab/src/clock/kept.rs"]);
    }

    #[test]
    fn a_violation_names_file_line_and_reason() {
        let files = [file(
            "crates/lab/src/clock.rs",
            "//! x\n\nuse std::time::Instant;\n",
        )];
        let found: Vec<String> = check_files(&files).iter().map(|v| v.to_string()).collect();
        assert_eq!(
            found,
            [
                "crates/lab/src/clock.rs:3: lab names std::time: it gets time, chance and bytes from its caller"
            ]
        );
    }
}
