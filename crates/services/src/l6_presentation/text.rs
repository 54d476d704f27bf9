//! UTF-8 from a stream: a character may be split over two `recv` calls (RFC 3629).

/// Turns pieces of UTF-8 into text. A character whose last bytes have not come yet waits for them; what is not UTF-8
/// becomes U+FFFD, as `String::from_utf8_lossy` does it.
#[derive(Clone, Debug, Default)]
pub struct Utf8Decoder {
    /// The beginning of a character: at most 3 bytes.
    begun: Vec<u8>,
}
impl Utf8Decoder {
    /// A decoder at the beginning of a text.
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends the characters that `bytes` completes to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        self.begun.extend_from_slice(bytes);
        let mut rest = self.begun.as_slice();
        loop {
            let error = match core::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    rest = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            out.push_str(&String::from_utf8_lossy(valid));
            let Some(bad) = error.error_len() else {
                rest = after;
                break;
            };
            out.push(char::REPLACEMENT_CHARACTER);
            rest = after.get(bad..).unwrap_or_default();
        }
        let begun = self.begun.len() - rest.len();
        self.begun.drain(..begun);
    }
    /// The text ends: a character that was only begun becomes one U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if !self.begun.is_empty() {
            self.begun.clear();
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Cuts a stream of bytes into lines of text; line ends (`\n`, `\r\n`) are taken away.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    decoder: Utf8Decoder,
    begun: String,
}
impl Lines {
    /// Longest line, bytes; a longer one is cut there.
    pub const BOUND: usize = 64 * 1024;
    /// At the beginning of a text.
    pub fn new() -> Self {
        Self::default()
    }
    /// The lines that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.decoder.push(bytes, &mut self.begun);
        let mut lines = Vec::new();
        let mut rest = self.begun.as_str();
        while let Some((line, after)) = rest.split_once('\n') {
            lines.push(line.strip_suffix('\r').unwrap_or(line).to_owned());
            rest = after;
        }
        let whole = self.begun.len() - rest.len();
        self.begun.drain(..whole);
        if self.begun.len() >= Self::BOUND {
            lines.push(core::mem::take(&mut self.begun));
        }
        lines
    }
    /// The last line, if the text did not end with a line end.
    pub fn finish(&mut self) -> Option<String> {
        self.decoder.finish(&mut self.begun);
        let last = core::mem::take(&mut self.begun);
        (!last.is_empty()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(pieces: &[&[u8]]) -> String {
        let (mut decoder, mut out) = (Utf8Decoder::new(), String::new());
        for piece in pieces {
            decoder.push(piece, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn every_cut_of_a_korean_greeting_gives_the_same_text() {
        let text = "안녕하세요, world 🌏 é";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(in_pieces(&pieces), text, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_character_waits_for_its_last_byte() {
        let (mut decoder, mut out) = (Utf8Decoder::new(), String::new());
        decoder.push(&[0xec, 0x95], &mut out);
        assert_eq!(out, "");
        decoder.push(&[0x88], &mut out);
        assert_eq!(out, "안");
    }

    #[test]
    fn what_is_not_utf8_becomes_what_the_standard_library_makes_of_it() {
        let rows: [&[u8]; 7] = [
            b"\xff",
            b"a\xffb",
            b"\xec\x95",
            b"\xec\x95x",
            b"\xf0\x9f\x8c",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
        ];
        for bytes in rows {
            let expected = String::from_utf8_lossy(bytes);
            for cut in 0..=bytes.len() {
                let pieces = [&bytes[..cut], &bytes[cut..]];
                assert_eq!(in_pieces(&pieces), expected, "{bytes:x?} cut at {cut}");
            }
        }
    }

    #[test]
    fn lines_come_when_they_are_whole() {
        let mut lines = Lines::new();
        assert!(lines.push("안녕".as_bytes()).is_empty());
        assert_eq!(lines.push(b"\r\nworld\n\nre"), ["안녕", "world", ""]);
        assert_eq!(lines.push(b"st"), [""; 0]);
        assert_eq!(lines.finish().as_deref(), Some("rest"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn a_line_without_an_end_is_cut_at_the_bound() {
        let mut lines = Lines::new();
        let cut: usize = (0..3 * Lines::BOUND / 1000)
            .flat_map(|_| lines.push(&[b'x'; 1000]))
            .map(|line| line.len())
            .sum();
        assert!(cut >= 2 * Lines::BOUND, "{cut}");
        assert!(lines.begun.len() < Lines::BOUND);
    }
}
