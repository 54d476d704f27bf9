//! A small lexer of Rust: sees names and signs, and looks past comments, strings and characters.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Ident,
    /// A sign; `::`, `->` and `=>` are one token each.
    Punct,
    /// A string, a character or a number.
    Literal,
    /// `'a`
    Lifetime,
}

/// A piece of source and the line (from 1) on which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub line: usize,
}

impl Token<'_> {
    /// Whether it is this name or this sign; a string of the same text is not.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Ident | Kind::Punct) && self.text == text
    }
}

/// Cuts a source file into tokens. An unfinished string or comment reaches to the end of the file.
pub fn lex(source: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
        tokens: Vec::new(),
    };
    while let Some(first) = lexer.rest.chars().next() {
        lexer.step(first);
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn step(&mut self, first: char) {
        if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.take(block_comment_len(self.rest));
        } else if let Some(len) = string_len(self.rest) {
            self.push(Kind::Literal, len);
        } else if first == '\'' {
            let (kind, len) = quote(self.rest);
            self.push(kind, len);
        } else if starts_name(first) {
            self.push(Kind::Ident, name_len(self.rest));
        } else if first.is_ascii_digit() {
            self.push(Kind::Literal, number_len(self.rest));
        } else {
            let double = ["::", "->", "=>"]
                .iter()
                .any(|sign| self.rest.starts_with(sign));
            self.push(Kind::Punct, if double { 2 } else { first.len_utf8() });
        }
    }

    fn push(&mut self, kind: Kind, len: usize) {
        let line = self.line;
        let text = self.take(len);
        self.tokens.push(Token { kind, text, line });
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn starts_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn continues_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Length of a name, with the `r#` of a raw one.
fn name_len(rest: &str) -> usize {
    let raw = rest
        .strip_prefix("r#")
        .filter(|after| after.starts_with(starts_name));
    let skipped = if raw.is_some() { 2 } else { 0 };
    let name = raw.unwrap_or(rest);
    skipped + name.find(|c| !continues_name(c)).unwrap_or(name.len())
}

/// Length of a number. The dot of `1.5` belongs to it, the dots of `1..5` do not.
fn number_len(rest: &str) -> usize {
    let digits = |text: &str| text.find(|c| !continues_name(c)).unwrap_or(text.len());
    let whole = digits(rest);
    match rest[whole..].strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            whole + 1 + digits(fraction)
        }
        _ => whole,
    }
}

/// Length of a block comment; they nest.
fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of a string of any kind (plain, byte, C, raw) or of a byte character, if one starts here.
fn string_len(rest: &str) -> Option<usize> {
    if let Some(byte) = rest.strip_prefix("b'") {
        return Some(2 + closed_by('\'', byte));
    }
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(0);
    let raw = match &rest[..prefix] {
        "" | "b" | "c" => false,
        "r" | "br" | "cr" => true,
        _ => return None,
    };
    let after = &rest[prefix..];
    if !raw {
        let text = after.strip_prefix('"')?;
        return Some(prefix + 1 + closed_by('"', text));
    }
    let hashes = after.find(|c| c != '#')?;
    let text = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &after[..hashes]);
    let len = text.find(&end).map_or(text.len(), |at| at + end.len());
    Some(prefix + hashes + 1 + len)
}

/// How far it is past the next unescaped `close`.
fn closed_by(close: char, text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == close {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// Tells the character `'a'` from the lifetime `'a`.
fn quote(rest: &str) -> (Kind, usize) {
    let after = &rest[1..];
    let mut chars = after.chars();
    let first = chars.next();
    if first == Some('\\') || chars.next() == Some('\'') {
        return (Kind::Literal, 1 + closed_by('\'', after));
    }
    let len = after.find(|c| !continues_name(c)).unwrap_or(after.len());
    (Kind::Lifetime, 1 + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_signs_outside_of_comments_and_strings_are_seen() {
        let rows: &[(&str, &[&str])] = &[
            ("a::b", &["a", "::", "b"]),
            ("a // std::time\nb", &["a", "b"]),
            ("/* unsafe /* nested */ still */ c", &["c"]),
            ("x = \"std::time \\\" unsafe\";", &["x", "=", ";"]),
            ("x = r#\"unsafe \" quote\"#;", &["x", "=", ";"]),
            ("x = br\"\\\"; y", &["x", "=", ";", "y"]),
            ("x = b\"unsafe\" y", &["x", "=", "y"]),
            (
                "f('\"', '\\'', b'\"', z)",
                &["f", "(", ",", ",", ",", "z", ")"],
            ),
            ("r#type r", &["r#type", "r"]),
            ("0..n 1.5e3 x.0", &[".", ".", "n", "x", "."]),
            ("fn f() -> u8 =>", &["fn", "f", "(", ")", "->", "u8", "=>"]),
            ("한글 안", &["한글", "안"]),
            ("'가' x", &["x"]),
            ("\"never closed", &[]),
        ];
        for (source, expected) in rows {
            let seen: Vec<&str> = lex(source)
                .into_iter()
                .filter(|token| matches!(token.kind, Kind::Ident | Kind::Punct))
                .map(|token| token.text)
                .collect();
            assert_eq!(&seen, expected, "{source}");
        }
    }

    #[test]
    fn a_lifetime_is_not_the_start_of_a_character() {
        let tokens = lex("&'a str, 'b'");
        assert_eq!(tokens[1].kind, Kind::Lifetime);
        assert_eq!(tokens[1].text, "'a");
        assert_eq!(tokens[4].kind, Kind::Literal);
    }

    #[test]
    fn lines_count_through_strings_and_comments() {
        let tokens = lex("a\n/* \n\n */ b \"\n\" c");
        let lines: Vec<usize> = tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 4, 4, 5]);
    }
}
