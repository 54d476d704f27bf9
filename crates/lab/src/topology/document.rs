//! A TOML document with its places: every value knows its bytes, every complaint its line and column.
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::TopologyError;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;
/// Texts with their places.
pub(super) type Texts<'d> = Vec<(&'d str, Range<usize>)>;
pub(super) type Result<T> = core::result::Result<T, TopologyError>;

/// The text and its name.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub text: &'t str,
    pub file: &'t str,
}
impl<'t> Source<'t> {
    /// A complaint about these bytes.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) -> TopologyError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        TopologyError {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            message: message.into(),
            help: None,
            span,
        }
    }
    /// The whole document as a table.
    pub fn parse(&self) -> Result<Spanned<DeTable<'t>>> {
        DeTable::parse(self.text).map_err(|e| {
            let end = self.text.len();
            self.error(e.span().unwrap_or(end..end), e.message().trim())
        })
    }
}

impl TopologyError {
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A table that is being read; `what` names it in complaints (`a node`, `the link`).
#[derive(Clone, Copy)]
pub(super) struct Fields<'d, 'i> {
    pub source: Source<'d>,
    pub table: &'d DeTable<'i>,
    pub what: &'static str,
}
impl<'d, 'i> Fields<'d, 'i> {
    /// A table inside of it.
    pub fn of(source: Source<'d>, value: &'d Value<'i>, what: &'static str) -> Result<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self {
                source,
                table,
                what,
            }),
            other => Err(source.error(
                value.span(),
                format!("{what} is a table, not {}", kind(other)),
            )),
        }
    }
    /// Refuses keys that are not known here: the first in the order of the file.
    pub fn only(&self, known: &[&[&str]]) -> Result<()> {
        let known = || known.iter().flat_map(|group| group.iter().copied());
        let stranger = self
            .table
            .keys()
            .filter(|key| !known().any(|k| k == key.get_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = stranger else { return Ok(()) };
        let name = key.get_ref();
        let help = nearest(name, known()).map_or_else(
            || format!("known keys: {}", known().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("unknown key `{name}` in {}", self.what);
        Err(self.source.error(key.span(), message).help(help))
    }
    /// A value by key.
    pub fn get(&self, key: &str) -> Option<&'d Value<'i>> {
        self.table.get(key)
    }
    /// Where a key stands; the start of the text when it does not.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .map_or(0..0, |(key, _)| key.span())
    }
    /// A complaint about a value.
    pub fn error(&self, value: &Value<'_>, message: impl Into<String>) -> TopologyError {
        self.source.error(value.span(), message)
    }
    /// A complaint that a value is of the wrong type.
    pub fn wrong(&self, key: &str, value: &Value<'_>, wanted: &str) -> TopologyError {
        let got = kind(value.get_ref());
        self.error(value, format!("`{key}` is {wanted}, not {got}"))
    }
    /// Text, if the key is there.
    pub fn text(&self, key: &str, like: &str) -> Result<Option<(&'d str, &'d Value<'i>)>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let text = value.get_ref().as_str();
        text.map(|text| Some((text, value)))
            .ok_or_else(|| self.wrong(key, value, &format!("text, such as \"{like}\"")))
    }
    /// Text read by a unit's reader.
    pub fn quantity<T>(
        &self,
        key: &str,
        like: &str,
        read: impl Fn(&str) -> core::result::Result<T, String>,
    ) -> Result<Option<T>> {
        let Some((text, value)) = self.text(key, like)? else {
            return Ok(None);
        };
        self.read(key, text, value, like, read).map(Some)
    }
    /// One text with a unit.
    pub fn read<T>(
        &self,
        key: &str,
        text: &str,
        value: &Value<'_>,
        like: &str,
        read: impl Fn(&str) -> core::result::Result<T, String>,
    ) -> Result<T> {
        read(text).map_err(|wrong| {
            self.error(value, format!("`{key}`: {wrong}"))
                .help(format!("write it like \"{like}\""))
        })
    }
    /// A whole number within a range.
    pub fn number(&self, key: &str, range: core::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        self.number_of(key, value, range).map(Some)
    }
    /// One number.
    pub fn number_of(
        &self,
        key: &str,
        value: &Value<'_>,
        range: core::ops::RangeInclusive<u64>,
    ) -> Result<u64> {
        let DeValue::Integer(digits) = value.get_ref() else {
            return Err(self.wrong(key, value, "a whole number"));
        };
        u64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .filter(|n| range.contains(n))
            .ok_or_else(|| {
                let (low, high) = (range.start(), range.end());
                let message = format!("`{key}` is a number from {low} to {high}, not {digits}");
                self.error(value, message)
            })
    }
    /// True or false.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        value
            .get_ref()
            .as_bool()
            .map(Some)
            .ok_or_else(|| self.wrong(key, value, "true or false"))
    }
    /// A list of texts with their places.
    pub fn texts(&self, key: &str, like: &str) -> Result<Option<Texts<'d>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let wanted = format!("a list of texts, such as {like}");
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self.wrong(key, value, &wanted));
        };
        let text = |item: &'d Value<'i>| {
            let text = item.get_ref().as_str();
            text.map(|text| (text, item.span()))
                .ok_or_else(|| self.wrong(key, item, &wanted))
        };
        items.iter().map(text).collect::<Result<Vec<_>>>().map(Some)
    }
    /// The tables of `[[key]]`.
    pub fn tables(&self, key: &str, what: &'static str) -> Result<Vec<(Self, Range<usize>)>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(self
                .wrong(key, value, "a list of tables")
                .help(format!("write [[{key}]]")));
        };
        let table = |item| Ok((Self::of(self.source, item, what)?, item.span()));
        items.iter().map(table).collect()
    }
}

/// What a value is, for people.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The known name that is nearest by edit distance, if it is near enough to be what was meant.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|k| (edit_distance(name, k), k))
        .filter(|&(distance, k)| distance <= 1 + k.chars().count().max(name.chars().count()) / 4)
        .min()
        .map(|(_, k)| k)
}

/// Insertions, removals, replacements and swaps of neighbours (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        let known = ["delay", "jitter", "loss", "address", "gateway"];
        for (name, near) in [
            ("dealy", Some("delay")),
            ("los", Some("loss")),
            ("adress", Some("address")),
            ("gatway", Some("gateway")),
            ("bandwidth", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.iter().copied()), near, "{name}");
        }
    }

    #[test]
    fn lines_and_columns_count_from_one_and_columns_in_characters() {
        let source = Source {
            text: "name = \"안녕\" # x\nseed = 1\n",
            file: "lab.toml",
        };
        let at = |start: usize| {
            let e = source.error(start..start, "");
            (e.line, e.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(source.text.find('#').unwrap()), (1, 13));
        assert_eq!(at(source.text.find("seed").unwrap()), (2, 1));
        assert_eq!(at(source.text.len()), (3, 1));
    }
}
