//! JSON as iproute2 writes it: fields in the order of its text, and its own way to indent.

/// A value. Names of fields are ours, those of a table are nodes'; texts are anyone's.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // JSON's own words
pub enum Json {
    Object(Vec<(&'static str, Json)>),
    Table(Vec<(String, Json)>),
    Array(Vec<Json>),
    Text(String),
    Number(u64),
    True,
    False,
}
impl Json {
    /// A text.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }
    /// An array of texts.
    pub fn texts<T: ToString>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(texts.into_iter().map(Self::text).collect())
    }
    /// In one line.
    pub fn compact(&self) -> String {
        let list = |items: Vec<String>| items.join(",");
        match self {
            Self::Object(_) | Self::Table(_) => {
                let field =
                    |(name, value): (&str, &Self)| format!("\"{name}\":{}", value.compact());
                format!("{{{}}}", list(self.fields().map(field).collect()))
            }
            Self::Array(items) => format!("[{}]", list(items.iter().map(Self::compact).collect())),
            leaf => leaf.leaf(),
        }
    }
    /// For people: a line for each field, four blanks a level.
    pub fn pretty(&self) -> String {
        self.indented(0)
    }
    fn indented(&self, depth: usize) -> String {
        match self {
            Self::Table(fields) if fields.is_empty() => "{}".to_owned(),
            Self::Object(_) | Self::Table(_) => {
                let (inner, outer) = ("    ".repeat(depth + 1), "    ".repeat(depth));
                let field = |(name, value): (&str, &Self)| {
                    format!("\n{inner}\"{name}\": {}", value.indented(depth + 1))
                };
                let fields: Vec<String> = self.fields().map(field).collect();
                format!("{{{}\n{outer}}}", fields.join(","))
            }
            Self::Array(items) if items.is_empty() => "[ ]".to_owned(),
            Self::Array(items) => {
                let items: Vec<String> = items.iter().map(|i| i.indented(depth + 1)).collect();
                format!("[ {} ]", items.join(","))
            }
            leaf => leaf.leaf(),
        }
    }
    fn fields(&self) -> Box<dyn Iterator<Item = (&str, &Self)> + '_> {
        match self {
            Self::Object(fields) => Box::new(fields.iter().map(|(name, value)| (*name, value))),
            Self::Table(fields) => Box::new(fields.iter().map(|(name, value)| (&**name, value))),
            _ => Box::new(core::iter::empty()),
        }
    }
    fn leaf(&self) -> String {
        match self {
            Self::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
            Self::Number(number) => number.to_string(),
            Self::False => "false".to_owned(),
            _ => "true".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Json {
        let info = Json::Object(vec![("local", Json::text("::1")), ("nodad", Json::True)]);
        Json::Array(vec![Json::Object(vec![
            ("ifindex", Json::Number(1)),
            ("flags", Json::texts(["UP", "LOWER_UP"])),
            ("addr_info", Json::Array(vec![info.clone(), info])),
        ])])
    }

    #[test]
    fn lines_are_those_of_iproute2() {
        let expected = r#"[{"ifindex":1,"flags":["UP","LOWER_UP"],"addr_info":[{"local":"::1","nodad":true},{"local":"::1","nodad":true}]}]"#;
        assert_eq!(value().compact(), expected);
        let expected = r#"[ {
        "ifindex": 1,
        "flags": [ "UP","LOWER_UP" ],
        "addr_info": [ {
                "local": "::1",
                "nodad": true
            },{
                "local": "::1",
                "nodad": true
            } ]
    } ]"#;
        assert_eq!(value().pretty(), expected);
    }

    #[test]
    fn whatever_a_text_is_it_is_json() {
        for text in ["\"", "\\", "\n\u{1}", "한글"] {
            let written = Json::Array(vec![Json::text(text)]).compact();
            let read: Vec<String> = serde_json::from_str(&written).expect("JSON");
            assert_eq!(read, [text]);
        }
        let pretty: serde_json::Value = serde_json::from_str(&value().pretty()).expect("JSON");
        let compact: serde_json::Value = serde_json::from_str(&value().compact()).expect("JSON");
        assert_eq!(pretty, compact);
    }
}
