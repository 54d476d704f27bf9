//! Changes of a cable as words of a command line: `loss=20%`, `forward.delay=50ms`, `down`.
use toml::Value;

use super::document::{Fields, Result, Source};
use super::links::{IMPAIRMENT_KEYS, change};
use super::{Change, Events, Topology, TopologyError};

/// The name of the words, in complaints.
const FILE: &str = "settings";

impl Change {
    /// What `settings` make of a cable that is as `present` tells: the keys of `[[links]]` in a lab file, values written
    /// without quotes, `forward.` or `backward.` before a key for one direction; `down` and `up` alone. What does not
    /// change is `None`. The error's message and help are a lab file's.
    ///
    /// ```
    /// use heptad_lab::{Cable, Lab, topology::Change};
    ///
    /// let mut lab = Lab::builder()
    ///     .host("a", "10.0.0.1/24")
    ///     .host("b", "10.0.0.2/24")
    ///     .link("a", "b", Cable::new().delay("20ms"))
    ///     .build()?;
    /// let present = lab.link("a-b").expect("it is there");
    /// lab.change(&Change::parse(&present, &["loss=20%", "forward.delay=50ms"])?)?;
    /// assert_eq!(lab.link("a-b").unwrap().forward.unwrap().to_string(), "50ms, loss 20.0 %");
    /// assert_eq!(lab.link("a-b").unwrap().backward.unwrap().to_string(), "20ms, loss 20.0 %");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(present: &Self, settings: &[impl AsRef<str>]) -> Result<Self> {
        let lines: Vec<String> = settings.iter().map(|word| line(word.as_ref())).collect();
        let text = lines.join("\n");
        let source = Source {
            text: &text,
            file: FILE,
        };
        let document = source.parse().map_err(|error| say(error, settings))?;
        let table = Fields {
            source,
            table: document.get_ref(),
            what: "a cable",
        };
        table.only(&[IMPAIRMENT_KEYS, &["mtu", "forward", "backward"]])?;
        let state = |direction: &Option<_>| direction.clone().unwrap_or_default();
        let mut state = (state(&present.forward), state(&present.backward));
        change(table, present.time, &present.link, &mut state)
    }
}

impl Topology {
    /// A rule as words of a command line, `packet=syn nth=3 do=drop`: the keys of `[[on]]` in a lab file. The error's message and
    /// help are a lab file's.
    pub fn rule(&self, words: &[impl AsRef<str>]) -> Result<Events> {
        let lines: Vec<String> = words.iter().map(|word| line(word.as_ref())).collect();
        let text = format!("[[on]]\n{}", lines.join("\n"));
        self.events(&text, FILE)
    }
}

/// A word as a line of TOML: what is no number, truth value, list or table is a text.
fn line(word: &str) -> String {
    let (key, value) = match word.split_once('=') {
        Some((key, value)) => (key.trim(), value.trim()),
        None if word == "up" => ("down", "false"),
        None => (word, "true"),
    };
    let is_toml = format!("value = {value}")
        .parse::<toml::Table>()
        .is_ok_and(|table| !table.get("value").is_some_and(Value::is_datetime));
    match is_toml {
        true => format!("{key} = {value}"),
        false => format!("{key} = {}", Value::from(value)),
    }
}

/// TOML's complaint about a key, in terms of the words that were given.
fn say(error: TopologyError, settings: &[impl AsRef<str>]) -> TopologyError {
    let word = settings.get(error.line - 1).map_or("", AsRef::as_ref);
    let message = format!("`{word}`: {}", error.message);
    TopologyError { message, ..error }.help("write KEY=VALUE, such as loss=20%")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Impairments, Loss};

    fn present() -> Change {
        let impaired = |rate| Impairments {
            delay: std::time::Duration::from_millis(20),
            rate,
            ..Impairments::default()
        };
        Change {
            time: std::time::Duration::ZERO,
            link: "a-b".into(),
            forward: Some(impaired(Some(1_000_000))),
            backward: Some(impaired(None)),
            mtu: Some(1500),
        }
    }

    #[test]
    fn words_change_what_they_name_and_nothing_else() {
        let text = |direction: Option<Impairments>| direction.map(|d| d.to_string());
        for (words, forward, backward, mtu) in [
            (
                "loss=20%",
                Some("20ms, loss 20.0 %, 1 Mbit"),
                Some("20ms, loss 20.0 %"),
                None,
            ),
            ("forward.delay=1s", Some("1s, 1 Mbit"), None, None),
            ("rate=none", Some("20ms"), None, None),
            ("mtu=1280", None, None, Some(1280)),
            ("backward.down", None, Some("down, 20ms"), None),
            ("up delay=20ms", None, None, None),
            (
                "backward.loss.every=3",
                None,
                Some("20ms, loss one in 3"),
                None,
            ),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let change = Change::parse(&present(), &words).expect("a change");
            assert_eq!(text(change.forward).as_deref(), forward, "{words:?}");
            assert_eq!(text(change.backward).as_deref(), backward, "{words:?}");
            assert_eq!(change.mtu, mtu, "{words:?}");
        }
        let bursts = Change::parse(&present(), &["loss={p=\"1%\", r=\"20%\"}"]);
        let loss = bursts
            .expect("a change")
            .forward
            .map(|forward| forward.loss);
        assert!(matches!(loss, Some(Loss::GilbertElliott { .. })));
    }

    #[test]
    fn what_a_lab_file_may_not_say_words_may_not_either() {
        for (words, complaint) in [
            ("loss=140%", "`loss`: 140 % is more than 100 %"),
            ("loss=20", "a text with a percentage"),
            ("delay=20", "`delay` is text"),
            ("los=20%", "unknown key `los` in a cable"),
            ("endpoints=[]", "unknown key `endpoints` in a cable"),
            ("loss=1% loss=2%", "`loss=2%`: duplicate key"),
            ("forward.queue=5 rate=none", "a queue without a rate"),
            ("jitter=30ms", "more jitter than delay"),
            ("=5", "`=5`: "),
            ("mtu=10", "`mtu` is a number from 68 to 65535"),
            ("backward=5", "backward is a table"),
            ("loss=20%\nmtu=68", "`loss`: "),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            let error = Change::parse(&present(), &words).expect_err(complaint);
            assert!(error.message.contains(complaint), "{}", error.message);
        }
    }
}
