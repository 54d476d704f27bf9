//! Takes code that is built for tests only out of a file's tokens.

use crate::lexer::Token;

/// The tokens of the shipped code, and the names of modules in other files that are for tests only.
pub struct Shipped<'a> {
    pub tokens: Vec<Token<'a>>,
    pub test_modules: Vec<&'a str>,
}

/// Drops each item marked `#[test]` or with a `cfg` that needs `test`.
pub fn strip<'a>(tokens: &[Token<'a>]) -> Shipped<'a> {
    let mut shipped = Shipped {
        tokens: Vec::new(),
        test_modules: Vec::new(),
    };
    let mut rest = tokens;
    while let Some((first, after)) = rest.split_first() {
        let Some(attribute) = Attribute::at(rest) else {
            shipped.tokens.push(*first);
            rest = after;
            continue;
        };
        let (taken, next) = rest.split_at(attribute.len);
        if !attribute.for_tests {
            shipped.tokens.extend_from_slice(taken);
            rest = next;
        } else if attribute.inner {
            break;
        } else {
            let item = skip_attributes(next);
            if let [keyword, name, end, ..] = item
                && keyword.is("mod")
                && end.is(";")
            {
                shipped.test_modules.push(name.text);
            }
            rest = &item[item_len(item)..];
        }
    }
    shipped
}

struct Attribute {
    len: usize,
    inner: bool,
    for_tests: bool,
}

impl Attribute {
    fn at(tokens: &[Token<'_>]) -> Option<Self> {
        if !tokens.first()?.is("#") {
            return None;
        }
        let inner = tokens.get(1)?.is("!");
        let open = if inner { 2 } else { 1 };
        if !tokens.get(open)?.is("[") {
            return None;
        }
        let body = &tokens[open..];
        let len = group_len(body);
        Some(Self {
            len: open + len,
            inner,
            for_tests: marks_tests(&body[1..len]),
        })
    }
}

fn skip_attributes<'a, 'b>(mut tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    while let Some(attribute) = Attribute::at(tokens) {
        tokens = &tokens[attribute.len..];
    }
    tokens
}

/// The inside of an attribute: `test`, or `cfg(...)` with a condition that only holds in tests.
fn marks_tests(body: &[Token<'_>]) -> bool {
    match body {
        [word, end] => word.is("test") && end.is("]"),
        [word, open, condition @ ..] if word.is("cfg") && open.is("(") => needs_test(condition),
        _ => false,
    }
}

/// Whether a `cfg` condition cannot hold without `test`.
fn needs_test(condition: &[Token<'_>]) -> bool {
    match condition {
        [word, open, ..] if open.is("(") => {
            let parts = arguments(&condition[1..]);
            match word.text {
                "all" => parts.into_iter().any(needs_test),
                "any" => !parts.is_empty() && parts.into_iter().all(needs_test),
                _ => false,
            }
        }
        [word, ..] => word.is("test"),
        [] => false,
    }
}

/// The parts of `(a, b(c, d), e)` between its commas.
fn arguments<'a, 'b>(group: &'b [Token<'a>]) -> Vec<&'b [Token<'a>]> {
    let inside = &group[1..group_len(group).max(2) - 1];
    let mut parts = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < inside.len() {
        if inside[at].is(",") {
            parts.push(&inside[start..at]);
            start = at + 1;
        }
        at += group_len(&inside[at..]);
    }
    parts.push(&inside[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// How many tokens the bracket that opens here holds, both ends counted; 1 where none opens.
pub fn group_len(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if ["(", "[", "{"].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|close| token.is(close)) {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// How many tokens the item, field, arm or statement that starts here has.
fn item_len(tokens: &[Token<'_>]) -> usize {
    let ends_at_comma = is_field(tokens);
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("}") {
            return at;
        }
        let len = group_len(&tokens[at..]);
        at += len;
        if token.is(";") || token.is("{") || (ends_at_comma && token.is(",")) {
            break;
        }
    }
    at
}

/// A field, a variant, an arm or an argument: what a comma ends. Everything else starts with a keyword.
fn is_field(tokens: &[Token<'_>]) -> bool {
    const KEYWORDS: [&str; 16] = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "static",
        "struct",
        "trait",
        "type",
        "union",
        "unsafe",
        "use",
    ];
    let mut rest = tokens;
    if let [public, after @ ..] = rest
        && public.is("pub")
    {
        rest = match after {
            [open, ..] if open.is("(") => &after[group_len(after)..],
            _ => after,
        };
    }
    rest.first()
        .is_some_and(|first| !KEYWORDS.iter().any(|keyword| first.is(keyword)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    #[test]
    fn what_is_built_for_tests_only_goes_and_the_rest_stays() {
        let rows = [
            ("a #[cfg(test)] mod tests { bad { bad } } b", "a b"),
            (
                "#[cfg(test)] #[allow(x)] fn bad<A, B>(c: [u8; 3]) { bad } b",
                "b",
            ),
            ("#[test] fn bad() { bad } b", "b"),
            ("#[cfg(test)] extern crate std; b", "b"),
            ("#[cfg(test)] use std::{bad, time}; b", "; b"),
            ("#[cfg(all(test, unix))] fn bad() {} b", "b"),
            (
                "#[cfg(any(test, doctest))] fn f() {} b",
                "#[cfg(any(test,doctest))]fn f(){} b",
            ),
            ("#[cfg(any(test))] fn bad() {} b", "b"),
            (
                "#[cfg(not(test))] fn f() {} b",
                "#[cfg(not(test))]fn f(){} b",
            ),
            (
                "#[cfg(feature = \"test\")] fn f() {}",
                "#[cfg(feature=\"test\")]fn f(){}",
            ),
            ("#[derive(test)] b", "#[derive(test)] b"),
            (
                "struct S { #[cfg(test)] bad: u8, kept: u8 }",
                "struct S { kept: u8 }",
            ),
            (
                "struct S { #[cfg(test)] pub(crate) bad: u8, kept: u8 }",
                "struct S { kept: u8 }",
            ),
            (
                "struct S { #[cfg(test)] bad: u8 } kept",
                "struct S { } kept",
            ),
            ("a #![cfg(test)] bad", "a"),
            ("#[cfg(test)] const X: [u8; 2] = [1, 2]; b", "b"),
            ("#[cfg(test)]", ""),
        ];
        for (source, expected) in rows {
            let kept: String = strip(&lex(source)).tokens.iter().map(|t| t.text).collect();
            assert_eq!(kept, expected.replace(' ', ""), "{source}");
        }
    }

    #[test]
    fn a_test_module_in_another_file_is_named() {
        let tokens = lex("#[cfg(test)] mod proofs; mod kept; #[cfg(test)] mod inline {}");
        assert_eq!(strip(&tokens).test_modules, ["proofs"]);
    }
}
