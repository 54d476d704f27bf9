//! A script's text, read from left to right.
use super::PktError;

/// Where the reader is.
pub(super) struct Text<'a> {
    rest: &'a str,
    line: u32,
}
impl<'a> Text<'a> {
    pub fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            line: 1,
        }
    }
    /// Of the file, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }
    /// A mistake of the script's here.
    pub fn mistake(&self, what: impl Into<String>) -> PktError {
        PktError::Syntax {
            line: self.line,
            what: what.into(),
        }
    }
    /// A mistake that shows what stands here instead.
    pub fn expected(&self, what: &str) -> PktError {
        let here: String = self
            .rest
            .lines()
            .next()
            .unwrap_or("")
            .chars()
            .take(24)
            .collect();
        match here.is_empty() {
            true => self.mistake(format!(
                "{what} was expected, and the line or the script ends"
            )),
            false => self.mistake(format!("{what} was expected, not `{here}`")),
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count() as u32;
        self.rest = rest;
        taken
    }
    /// Steps over blanks, line ends and comments.
    pub fn skip(&mut self) -> Result<(), PktError> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.take(blank);
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest.find("*/");
                let end = end.ok_or_else(|| self.mistake("a comment has no end"))?;
                self.take(end + 2);
            } else {
                return Ok(());
            }
        }
    }
    /// Whether this is all.
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
    pub fn starts_with(&self, word: &str) -> bool {
        self.rest.starts_with(word)
    }
    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }
    /// Takes a sign if it stands here, behind blanks.
    pub fn eat(&mut self, sign: &str) -> Result<bool, PktError> {
        self.skip()?;
        let here = self.rest.starts_with(sign);
        if here {
            self.take(sign.len());
        }
        Ok(here)
    }
    pub fn expect(&mut self, sign: &str) -> Result<(), PktError> {
        match self.eat(sign)? {
            true => Ok(()),
            false => Err(self.expected(&format!("`{sign}`"))),
        }
    }
    /// As many as fit, without blanks in front.
    pub fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.take(end)
    }
    /// Up to a sign, which is taken too.
    pub fn until(&mut self, sign: &str) -> Result<&'a str, PktError> {
        let end = self.rest.find(sign);
        let end = end.ok_or_else(|| self.mistake(format!("`{sign}` is missing")))?;
        let taken = self.take(end);
        self.take(sign.len());
        Ok(taken)
    }
    /// A name: a letter or underscore, then those and digits.
    pub fn word(&mut self) -> Result<Option<&'a str>, PktError> {
        self.skip()?;
        match self.peek() {
            Some(c) if is_word_start(c) => Ok(Some(self.take_while(is_word))),
            _ => Ok(None),
        }
    }
    /// Takes a whole name if it stands here.
    pub fn eat_word(&mut self, word: &str) -> Result<bool, PktError> {
        self.skip()?;
        let whole = self.rest.strip_prefix(word);
        let here = whole.is_some_and(|rest| !rest.starts_with(is_word));
        if here {
            self.take(word.len());
        }
        Ok(here)
    }
    /// A whole number: decimal, or hexadecimal behind `0x`.
    pub fn integer<T: TryFrom<i64>>(&mut self) -> Result<T, PktError> {
        self.skip()?;
        let negative = self.rest.starts_with('-');
        if negative {
            self.take(1);
        }
        let parsed = if self.rest.starts_with("0x") {
            self.take(2);
            i64::from_str_radix(self.take_while(|c| c.is_ascii_hexdigit()), 16)
        } else {
            self.take_while(|c| c.is_ascii_digit()).parse()
        };
        let number = parsed.map_err(|_| self.expected("a whole number"))?;
        let signed = if negative { -number } else { number };
        T::try_from(signed).map_err(|_| self.mistake(format!("{signed} is out of range")))
    }
}

pub(super) fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
