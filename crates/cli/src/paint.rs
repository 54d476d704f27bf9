//! Colour and width: colour never carries a meaning alone.
use std::io::IsTerminal;

use unicode_width::UnicodeWidthStr;

use crate::args::ColorChoice;

/// Whether to colour.
#[derive(Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// From `--color`, NO_COLOR and what stdout is.
    pub fn from_choice(choice: ColorChoice) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self(match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !no_color && std::io::stdout().is_terminal(),
        })
    }
    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    /// Dim.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
    /// Green: good news.
    pub fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }
    /// Red: bad news.
    pub fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
    /// Cyan: a name of a layer or host.
    pub fn name(self, text: &str) -> String {
        self.wrap("36", text)
    }
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}

/// Pads to a width in columns; a Hangul syllable takes two.
pub fn pad(text: &str, width: usize) -> String {
    let used = text.width();
    format!("{text}{}", " ".repeat(width.saturating_sub(used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangul_takes_two_columns() {
        for (text, width, expected) in [
            ("안", 4, "안  "),
            ("ab", 4, "ab  "),
            ("abcdef", 4, "abcdef"),
        ] {
            assert_eq!(pad(text, width), expected);
        }
    }
}
