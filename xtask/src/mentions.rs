//! Every path that a file names: `use` trees spread out into single paths, and paths in code.

use crate::lexer::{Kind, Token};

/// A path such as `crate::l2_link::arp`, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention<'a> {
    pub segments: Vec<&'a str>,
    pub line: usize,
    /// How many modules with a body in this same file surround it.
    pub inline_modules: usize,
    /// Whether it is part of a `use`.
    pub is_use: bool,
}

impl Mention<'_> {
    /// The path from the crate's root, for a file whose module is `module`. A path that starts with a plain name stays as it is.
    pub fn resolve<'s>(&'s self, module: &[&'s str]) -> Vec<&'s str> {
        let mut base: Vec<&str> = module.to_vec();
        base.extend(std::iter::repeat_n("(inline)", self.inline_modules));
        let mut rest = self.segments.as_slice();
        let mut relative = false;
        while let [first, after @ ..] = rest {
            match *first {
                "crate" => base.clear(),
                "super" => drop(base.pop()),
                "self" => {}
                _ => break,
            }
            relative = true;
            rest = after;
        }
        if !relative {
            base.clear();
        }
        base.extend(rest);
        base
    }
}

/// All mentions of a file, in order.
pub fn mentions<'a>(tokens: &[Token<'a>]) -> Vec<Mention<'a>> {
    let mut reader = Reader {
        tokens,
        at: 0,
        depth: 0,
        modules: Vec::new(),
        found: Vec::new(),
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'a, 'b> {
    tokens: &'b [Token<'a>],
    at: usize,
    depth: usize,
    modules: Vec<usize>,
    found: Vec<Mention<'a>>,
}

impl<'a> Reader<'a, '_> {
    fn step(&mut self) {
        let token = self.tokens[self.at];
        if token.is("use") && !self.next_is(1, "<") {
            self.at += 1;
            self.use_tree(Vec::new());
        } else if token.is("mod") && self.next_is(2, "{") {
            self.modules.push(self.depth);
            self.at += 2;
        } else if token.kind == Kind::Ident {
            self.path();
        } else {
            self.braces(token);
            self.at += 1;
        }
    }

    fn next_is(&self, ahead: usize, text: &str) -> bool {
        self.tokens
            .get(self.at + ahead)
            .is_some_and(|token| token.is(text))
    }

    fn braces(&mut self, token: Token<'_>) {
        if token.is("{") {
            self.depth += 1;
        } else if token.is("}") {
            self.depth = self.depth.saturating_sub(1);
            if self.modules.last() == Some(&self.depth) {
                self.modules.pop();
            }
        }
    }

    /// `a::b::{c, d::*, self as e}` up to the comma, brace or semicolon behind it.
    fn use_tree(&mut self, mut prefix: Vec<&'a str>) {
        let mut line = self.tokens.get(self.at).map_or(0, |token| token.line);
        while let Some(token) = self.tokens.get(self.at).copied() {
            if token.is(",") || token.is("}") || token.is(";") {
                break;
            }
            self.at += 1;
            if token.is("{") {
                self.use_group(&prefix);
                return;
            } else if token.is("as") {
                self.at += 1;
            } else if token.kind == Kind::Ident || token.is("*") {
                prefix.push(token.text);
                line = token.line;
            }
        }
        self.found_path(prefix, line, true);
    }

    fn use_group(&mut self, prefix: &[&'a str]) {
        while let Some(token) = self.tokens.get(self.at) {
            if token.is("}") {
                self.at += 1;
                return;
            } else if token.is(",") {
                self.at += 1;
            } else if token.is(";") {
                return;
            } else {
                self.use_tree(prefix.to_vec());
            }
        }
    }

    fn path(&mut self) {
        let start = self.at;
        let first = self.tokens[start];
        let mut segments = vec![first.text];
        self.at += 1;
        while self.next_is(0, "::") {
            match self.tokens.get(self.at + 1) {
                Some(next) if next.kind == Kind::Ident => segments.push(next.text),
                _ => break,
            }
            self.at += 2;
        }
        if !self.follows_dot(start) {
            self.found_path(segments, first.line, false);
        }
    }

    /// A field or a method is not a path; the end of a range is.
    fn follows_dot(&self, at: usize) -> bool {
        let dot = |back: usize| at.checked_sub(back).is_some_and(|i| self.tokens[i].is("."));
        dot(1) && !dot(2)
    }

    fn found_path(&mut self, segments: Vec<&'a str>, line: usize, is_use: bool) {
        self.found.push(Mention {
            segments,
            line,
            inline_modules: self.modules.len(),
            is_use,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::lex;

    fn paths(source: &str) -> Vec<String> {
        let tokens = lex(source);
        let found = mentions(&tokens);
        found.iter().map(|m| m.segments.join("::")).collect()
    }

    #[test]
    fn a_use_tree_becomes_single_paths() {
        let rows: &[(&str, &[&str])] = &[
            ("use a::b;", &["a::b"]),
            (
                "use a::{b, c::{d, e}, f::*};",
                &["a::b", "a::c::d", "a::c::e", "a::f::*"],
            ),
            ("pub use a as b;", &["pub", "a"]),
            ("use {a, ::b::c};", &["a", "b::c"]),
            ("use a::{self as x, b as _};", &["a::self", "a::b"]),
            (
                "fn f() -> impl T + use<'a> {}",
                &["fn", "f", "impl", "T", "use"],
            ),
        ];
        for (source, expected) in rows {
            assert_eq!(&paths(source), expected, "{source}");
        }
    }

    #[test]
    fn a_path_in_code_is_found_whole() {
        let rows: &[(&str, &[&str])] = &[
            ("let x = a::b::C { d };", &["let", "x", "a::b::C", "d"]),
            ("Vec::<a::B>::new()", &["Vec", "a::B", "new"]),
            ("$crate::a!()", &["crate::a"]),
            ("a.b.c(0..d::E)", &["a", "d::E"]),
        ];
        for (source, expected) in rows {
            assert_eq!(&paths(source), expected, "{source}");
        }
    }

    #[test]
    fn super_and_self_lead_to_the_path_from_the_root() {
        let rows = [
            ("use crate::a::b;", vec!["x", "y"], "a::b"),
            ("use super::a;", vec!["x", "y"], "x::a"),
            ("use super::super::a;", vec!["x", "y"], "a"),
            ("use self::a;", vec!["x"], "x::a"),
            ("use a::b;", vec!["x"], "a::b"),
            ("mod t { mod u { } use super::super::a; }", vec!["x"], "a"),
        ];
        for (source, module, expected) in rows {
            let tokens = lex(source);
            let found = mentions(&tokens);
            let resolved = found
                .iter()
                .rfind(|mention| mention.is_use)
                .map(|mention| mention.resolve(&module).join("::"));
            assert_eq!(resolved.as_deref(), Some(expected), "{source}");
        }
    }
}
