//! What is too big to be read: files over 1,000 lines, functions over 80, more than six arguments.

use std::path::Path;

use anyhow::Result;

use crate::lexer::{Kind, Token, lex};
use crate::source::{SourceFile, Violation, rust_files};
use crate::test_code::group_len;

const FILE_LINES: usize = 1_000;
const FUNCTION_LINES: usize = 80;
const ARGUMENTS: usize = 6;

/// All violations below `root`, ordered by file and line.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    Ok(rust_files(root)?.iter().flat_map(check_file).collect())
}

fn check_file(file: &SourceFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        violations.push(file.violation(
            1,
            format!("{lines} lines in one file; {FILE_LINES} are the most"),
        ));
    }
    let tokens = lex(&file.text);
    for at in 0..tokens.len() {
        let Some(function) = Function::at(&tokens[at..]) else {
            continue;
        };
        let Function {
            name,
            line,
            lines,
            arguments,
        } = function;
        if lines > FUNCTION_LINES {
            let message = format!("{name} has {lines} lines; {FUNCTION_LINES} are the most");
            violations.push(file.violation(line, message));
        }
        // What C calls has the arguments that C gives it.
        let is_for_c = at >= 2 && tokens[at - 2].is("extern");
        if arguments > ARGUMENTS && !is_for_c {
            let message = format!(
                "{name} has {arguments} arguments; more than {ARGUMENTS} are a missing struct"
            );
            violations.push(file.violation(line, message));
        }
    }
    violations
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    /// From the line of `fn` to that of the last brace.
    lines: usize,
    /// Without `self`.
    arguments: usize,
}

impl<'a> Function<'a> {
    /// The function that starts with this `fn`, with a body or without.
    fn at(tokens: &[Token<'a>]) -> Option<Self> {
        let (keyword, rest) = tokens.split_first()?;
        let name = rest.first().filter(|name| name.kind == Kind::Ident)?;
        if !keyword.is("fn") {
            return None;
        }
        let open = 1 + angle_len(&rest[1..]);
        let parameters = &rest[open..];
        if !parameters.first()?.is("(") {
            return None;
        }
        let close = group_len(parameters);
        Some(Self {
            name: name.text,
            line: keyword.line,
            lines: last_line(&parameters[close..]).map_or(1, |last| last - keyword.line + 1),
            arguments: count_arguments(&parameters[1..close - 1]),
        })
    }
}

/// Tokens of the `<...>` that opens here, 0 if none does.
fn angle_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        depth += usize::from(token.is("<"));
        if depth == 0 {
            return 0;
        }
        depth -= usize::from(token.is(">"));
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn count_arguments(parameters: &[Token<'_>]) -> usize {
    let mut count = 0;
    let mut at = 0;
    let mut fresh = true;
    while let Some(token) = parameters.get(at) {
        if token.is(",") {
            fresh = true;
        } else if fresh {
            count += 1;
            fresh = false;
        }
        at += angle_len(&parameters[at..]).max(group_len(&parameters[at..]));
    }
    let receiver = parameters
        .iter()
        .take(4)
        .take_while(|token| !token.is(",") && !token.is(":"));
    count - usize::from(receiver.clone().any(|token| token.is("self")))
}

/// The line on which the body behind a signature closes; none without a body.
fn last_line(mut rest: &[Token<'_>]) -> Option<usize> {
    while let Some(token) = rest.first() {
        if token.is(";") {
            return None;
        }
        let len = group_len(rest);
        if token.is("{") {
            return rest.get(len - 1).map(|brace| brace.line);
        }
        rest = &rest[len..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Violation> {
        check_file(&SourceFile {
            path: "a.rs".into(),
            text: text.into(),
        })
    }

    #[test]
    fn a_function_may_have_eighty_lines_and_not_one_more() {
        let rows = [(78, 0), (79, 1), (200, 1)];
        for (inside, violations) in rows {
            for head in [
                "fn f() {",
                "pub fn f<A: Into<[u8; 2]>>(a: A) -> [u8; 3] where A: Sized {",
                "fn f() { let s = \"}\"; // }",
            ] {
                let text = format!("\n{head}\n{}}}\nfn g() {{}}\n", "    x;\n".repeat(inside));
                let found = found(&text);
                assert_eq!(found.len(), violations, "{head} {inside}");
                assert!(found.iter().all(|violation| violation.line == 2));
            }
        }
    }

    #[test]
    fn a_file_may_have_a_thousand_lines_and_not_one_more() {
        assert_eq!(found(&"//\n".repeat(1_000)), []);
        assert_eq!(found(&"//\n".repeat(1_001)).len(), 1);
    }

    #[test]
    fn what_c_calls_may_have_more_arguments_and_no_other_function() {
        let many = "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) {}";
        assert_eq!(found(many).len(), 1);
        assert_eq!(found(&format!("pub unsafe {many}")).len(), 1);
        assert_eq!(found(&format!("pub unsafe extern \"C\" {many}")), []);
        assert_eq!(found(&format!("extern \"C\" fn g() {{}} {many}")).len(), 1);
    }

    #[test]
    fn arguments_are_counted_without_self() {
        let rows = [
            ("fn f() {}", 0),
            ("fn f(&self) {}", 0),
            ("fn f(&'a mut self, a: u8) {}", 1),
            ("fn f(self: Box<Self>, a: u8) {}", 1),
            (
                "fn f(a: HashMap<u8, u8>, b: fn(u8, u8) -> u8, c: [u8; 2], (d, e): (u8, u8),) {}",
                4,
            ),
            (
                "fn f<A, B>(a: impl Fn(A, B) -> Vec<B>, b: B) where A: X<A, B> {}",
                2,
            ),
            ("fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8);", 7),
        ];
        for (text, arguments) in rows {
            let tokens = lex(text);
            assert_eq!(
                Function::at(&tokens).map(|f| f.arguments),
                Some(arguments),
                "{text}"
            );
        }
        assert_eq!(found(rows[6].0).len(), 1);
        assert_eq!(found("type F = fn(u8, u8, u8, u8, u8, u8, u8);"), []);
    }
}
