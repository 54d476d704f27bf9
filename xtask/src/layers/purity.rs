//! Protocol code gets time, chance and bytes from its caller: wire, stack and lab name no system. Only few crates are unsafe.

use crate::lexer::Token;
use crate::mentions::mentions;
use crate::source::{SourceFile, Violation};

/// Crates without `std`.
const NO_STD: [&str; 2] = ["wire", "stack"];
/// What lab may not name of `std`. A trailing letter sequence as in `net::Tcp` matches the beginning of a name.
const SYSTEM: [&str; 10] = [
    "time", "thread", "fs", "io", "process", "env", "os", "net::Tcp", "net::Udp", "net::*",
];
/// Crates that may hold unsafe blocks: they speak with the system or with another language.
const UNSAFE: [&str; 4] = ["runner", "device", "capi", "python"];

/// Checks shipped code for names of the system.
pub fn check(file: &SourceFile, tokens: &[Token<'_>]) -> Vec<Violation> {
    let (Some(name), Some(inside)) = (file.crate_name(), file.path_in_src()) else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    if matches!(inside, "lib.rs" | "main.rs") {
        violations.extend(missing_attributes(file, name, tokens));
    }
    for mention in mentions(tokens) {
        if let ["std", rest @ ..] = mention.segments.as_slice()
            && let Some(part) = refused(name, rest)
        {
            let message =
                format!("{name} names {part}: it gets time, chance and bytes from its caller");
            violations.push(file.violation(mention.line, message));
        }
    }
    violations
}

/// The refused beginning of a path below `std`, for this crate.
fn refused(name: &str, rest: &[&str]) -> Option<String> {
    if NO_STD.contains(&name) {
        return Some("std".into());
    }
    if name != "lab" {
        return None;
    }
    let whole = matches!(rest, ["self" | "*"]);
    let path = rest.join("::");
    let hit = SYSTEM.iter().find(|system| {
        path.strip_prefix(**system).is_some_and(|after| {
            system.contains("::") || after.is_empty() || after.starts_with("::")
        })
    });
    match hit {
        Some(system) => Some(format!("std::{system}")),
        None => whole.then(|| format!("std::{path}")),
    }
}

/// `forbid(unsafe_code)` and `no_std` at the root of the crates that owe them.
fn missing_attributes(file: &SourceFile, name: &str, tokens: &[Token<'_>]) -> Vec<Violation> {
    let has = |sign: &[&str]| {
        tokens
            .windows(sign.len())
            .any(|window| window.iter().zip(sign).all(|(token, text)| token.is(text)))
    };
    let mut violations = Vec::new();
    if !UNSAFE.contains(&name) && !has(&["forbid", "(", "unsafe_code"]) {
        violations.push(file.violation(1, format!("{name} lacks #![forbid(unsafe_code)]")));
    }
    if NO_STD.contains(&name) && !has(&["#", "!", "[", "no_std"]) {
        violations.push(file.violation(1, format!("{name} lacks #![no_std]")));
    }
    violations
}

/// Checks all code, tests too, for `unsafe` outside of the crates that may.
pub fn check_unsafe(file: &SourceFile, tokens: &[Token<'_>]) -> Vec<Violation> {
    if file.crate_name().is_some_and(|name| UNSAFE.contains(&name)) {
        return Vec::new();
    }
    let message = format!("unsafe outside of {}", UNSAFE.join(", "));
    let hits = tokens.iter().filter(|token| token.is("unsafe"));
    hits.map(|token| file.violation(token.line, message.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;
    use crate::test_code::strip;

    fn found(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let tokens = lex(&file.text);
        let mut all = check(&file, &strip(&tokens).tokens);
        all.extend(check_unsafe(&file, &tokens));
        all.into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn names_of_the_system_are_refused_in_protocol_code() {
        let rows = [
            ("lab", "use std::time::Duration;", "std::time"),
            (
                "lab",
                "use std::{collections::BTreeMap, thread};",
                "std::thread",
            ),
            ("lab", "fn f() { ::std::fs::read(x) }", "std::fs"),
            ("lab", "fn f(w: &mut dyn std::io::Write) {}", "std::io"),
            ("lab", "use std::net::{IpAddr, TcpStream};", "std::net::Tcp"),
            ("lab", "use std::net::UdpSocket;", "std::net::Udp"),
            ("lab", "use std::net::*;", "std::net::*"),
            ("lab", "use std::*;", "std::*"),
            ("lab", "use std::{self as s};", "std::self"),
            ("stack", "use std::collections::HashMap;", "std"),
            ("wire", "fn f() { std::mem::swap(a, b) }", "std"),
        ];
        for (name, text, part) in rows {
            let message =
                format!("{name} names {part}: it gets time, chance and bytes from its caller");
            assert_eq!(
                found(&format!("crates/{name}/src/a.rs"), text),
                [message],
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_harmless_is_let_pass() {
        let rows = [
            (
                "crates/lab/src/a.rs",
                "use std::collections::BTreeMap; use std::net::IpAddr; use core::time::Duration;",
            ),
            (
                "crates/lab/src/a.rs",
                "// std::time\nconst A: &str = \"std::fs unsafe\"; fn timed(std: u8) {}",
            ),
            (
                "crates/lab/src/a.rs",
                "#[cfg(test)] mod tests { use std::fs; }",
            ),
            (
                "crates/lab/src/a.rs",
                "use std::iter::once; use std::option::Option; use std::ops::Range;",
            ),
            (
                "crates/stack/src/a.rs",
                "#[cfg(test)] extern crate std; use alloc::vec::Vec;",
            ),
            ("crates/lab/tests/a.rs", "use std::time::Instant;"),
            (
                "crates/runtime/src/a.rs",
                "use std::time::Instant; use std::net::TcpStream;",
            ),
            ("crates/runner/src/lib.rs", "unsafe { f() }"),
            ("crates/cli/src/main.rs", "#![forbid(unsafe_code)]"),
            (
                "crates/wire/src/lib.rs",
                "#![no_std]\n#![forbid(unsafe_code)]",
            ),
        ];
        for (path, text) in rows {
            assert_eq!(found(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn unsafe_is_refused_elsewhere_and_in_tests_too() {
        let rows = [
            ("crates/stack/src/a.rs", "fn f() { unsafe { g() } }"),
            (
                "crates/lab/src/a.rs",
                "#[cfg(test)] mod tests { unsafe fn f() {} }",
            ),
            ("crates/cli/tests/a.rs", "unsafe impl Send for A {}"),
            ("xtask/src/a.rs", "fn f() { unsafe { g() } }"),
        ];
        for (path, text) in rows {
            assert_eq!(
                found(path, text),
                ["unsafe outside of runner, device, capi, python"],
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn the_root_of_a_crate_promises_what_it_forbids() {
        assert_eq!(
            found("crates/services/src/lib.rs", "//! x"),
            ["services lacks #![forbid(unsafe_code)]"]
        );
        assert_eq!(
            found("crates/stack/src/lib.rs", "#![forbid(unsafe_code)]"),
            ["stack lacks #![no_std]"]
        );
        assert_eq!(
            found(
                "crates/wire/src/lib.rs",
                "// #![forbid(unsafe_code)]\n#![no_std]"
            ),
            ["wire lacks #![forbid(unsafe_code)]"]
        );
    }
}
