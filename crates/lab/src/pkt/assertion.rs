//! What stands between `%{` and `}%`: assertions in the part of Python that such blocks use.
//!
//! Statements are `assert CONDITION[, MESSAGE]`, `NAME = VALUE` and `print(...)`. Expressions have or, and, not, chains of comparisons,
//! sums, products, `%` (of numbers, and of a text with its values), brackets, numbers, texts, names, `abs`, `min`, `max`, `len` and `int`.
use std::collections::BTreeMap;

/// A value of a name or an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// Whole number.
    Int(i128),
    /// Other number.
    Float(f64),
    /// Text.
    Text(String),
    /// Several in brackets.
    Tuple(Vec<Scalar>),
}
impl Scalar {
    fn is_true(&self) -> bool {
        match self {
            Self::Int(n) => *n != 0,
            Self::Float(x) => *x != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Tuple(all) => !all.is_empty(),
        }
    }
    fn of(truth: bool) -> Self {
        Self::Int(truth.into())
    }
    fn number(&self) -> Result<f64, Trouble> {
        match self {
            Self::Int(n) => Ok(*n as f64),
            Self::Float(x) => Ok(*x),
            other => Err(Trouble::Mistake(format!("{other} is no number"))),
        }
    }
}
impl core::fmt::Display for Scalar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(text) => f.write_str(text),
            Self::Tuple(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                write!(f, "({})", all.join(", "))
            }
        }
    }
}

/// Why a block did not hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// An assertion is false: the condition as it is written, the names in it with their values, and the message.
    False {
        /// As it is written.
        condition: String,
        /// `name = value` of each name in it.
        values: Vec<String>,
        /// What the script says to it.
        message: Option<String>,
    },
    /// The block is not understood.
    Mistake(String),
}
impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Mistake(what) => f.write_str(what),
            Self::False {
                condition,
                values,
                message,
            } => {
                write!(f, "assert {condition} does not hold")?;
                if !values.is_empty() {
                    write!(f, ": {}", values.join(", "))?;
                }
                match message {
                    Some(message) => write!(f, " ({message})"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Runs a block; what it assigns stays in `names` for the blocks after it.
pub fn check(block: &str, names: &mut BTreeMap<String, Scalar>) -> Result<(), Trouble> {
    let tokens = tokens(block)?;
    for statement in tokens.split(|token| *token == Token::End) {
        if !statement.is_empty() {
            run(statement, names)?;
        }
    }
    Ok(())
}

fn run(statement: &[Token], names: &mut BTreeMap<String, Scalar>) -> Result<(), Trouble> {
    match statement {
        [Token::Name(word), rest @ ..] if word == "assert" => assert(rest, names),
        [Token::Name(word), ..] if word == "print" => Ok(()),
        [Token::Name(name), Token::Sign("="), rest @ ..] => {
            let mut reader = Reader::new(rest, names);
            let value = reader.whole()?;
            names.insert(name.clone(), value);
            Ok(())
        }
        other => Err(Trouble::Mistake(format!(
            "`{}` is neither an assertion nor an assignment",
            written(other)
        ))),
    }
}

fn assert(tokens: &[Token], names: &BTreeMap<String, Scalar>) -> Result<(), Trouble> {
    let mut reader = Reader::new(tokens, names);
    let holds = reader.disjunction()?.is_true();
    let condition = &tokens[..reader.at];
    let message = match reader.eat(",") {
        true => Some(reader.disjunction()?.to_string()),
        false => None,
    };
    reader.end()?;
    if holds {
        return Ok(());
    }
    let used = condition.iter().filter_map(|token| match token {
        Token::Name(name) if !is_constant(name) => Some((name, names.get(name)?)),
        _ => None,
    });
    let used: BTreeMap<_, _> = used.collect();
    Err(Trouble::False {
        condition: written(condition),
        values: used
            .into_iter()
            .map(|(n, v)| format!("{n} = {v}"))
            .collect(),
        message,
    })
}
/// A name whose value never changes tells nobody anything.
fn is_constant(name: &str) -> bool {
    super::words::number(name).is_some()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(Scalar),
    Text(String),
    Name(String),
    Sign(&'static str),
    /// Of a statement.
    End,
}
fn written(tokens: &[Token]) -> String {
    let words = tokens.iter().map(|token| match token {
        Token::Number(n) => n.to_string(),
        Token::Text(text) => format!("'{text}'"),
        Token::Name(name) => name.clone(),
        Token::Sign(sign) => (*sign).into(),
        Token::End => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Longest first.
const SIGNS: [&str; 22] = [
    "==", "!=", "<=", ">=", "//", "<<", ">>", "<", ">", "=", "+", "-", "*", "/", "%", "&", "|",
    "(", ")", ",", "[", "]",
];

fn tokens(block: &str) -> Result<Vec<Token>, Trouble> {
    let mut tokens = Vec::new();
    let mut depth = 0_i32;
    let mut rest = block;
    while let Some(c) = rest.chars().next() {
        let (token, len) = match c {
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '\\' if rest.starts_with("\\\n") => (None, 2),
            '\n' | ';' => ((depth == 0).then_some(Token::End), 1),
            c if c.is_whitespace() => (None, c.len_utf8()),
            '0'..='9' | '.' => number(rest)?,
            '\'' | '"' => text(rest, c)?,
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                let len = rest.find(end).unwrap_or(rest.len());
                (Some(Token::Name(rest[..len].into())), len)
            }
            c => {
                let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
                let sign =
                    sign.ok_or_else(|| Trouble::Mistake(format!("`{c}` is not understood")))?;
                depth +=
                    i32::from(sign == "(" || sign == "[") - i32::from(sign == ")" || sign == "]");
                (Some(Token::Sign(sign)), sign.len())
            }
        };
        tokens.extend(token);
        rest = &rest[len..];
    }
    Ok(tokens)
}
fn number(rest: &str) -> Result<(Option<Token>, usize), Trouble> {
    let end = |c: char| !c.is_ascii_alphanumeric() && c != '.';
    let len = rest.find(end).unwrap_or(rest.len());
    let word = &rest[..len];
    let whole = match word.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    let scalar = whole.map(Scalar::Int);
    let scalar = scalar.or_else(|| word.parse().ok().map(Scalar::Float));
    let scalar = scalar.ok_or_else(|| Trouble::Mistake(format!("`{word}` is no number")))?;
    Ok((Some(Token::Number(scalar)), len))
}
fn text(rest: &str, quote: char) -> Result<(Option<Token>, usize), Trouble> {
    let inside = &rest[1..];
    let end = inside.find(quote);
    let end = end.ok_or_else(|| Trouble::Mistake("a text has no end".into()))?;
    Ok((Some(Token::Text(inside[..end].into())), end + 2))
}

/// Reads and reckons at once, from the loosest binding to the tightest.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    names: &'a BTreeMap<String, Scalar>,
}
impl<'a> Reader<'a> {
    fn new(tokens: &'a [Token], names: &'a BTreeMap<String, Scalar>) -> Self {
        Self {
            tokens,
            at: 0,
            names,
        }
    }
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }
    fn eat(&mut self, wanted: &str) -> bool {
        let here = match self.peek() {
            Some(Token::Sign(sign)) => *sign == wanted,
            Some(Token::Name(name)) => name == wanted,
            _ => false,
        };
        self.at += usize::from(here);
        here
    }
    fn expect(&mut self, wanted: &str) -> Result<(), Trouble> {
        match self.eat(wanted) {
            true => Ok(()),
            false => Err(self.odd(&format!("`{wanted}` was expected"))),
        }
    }
    fn odd(&self, what: &str) -> Trouble {
        let before = written(&self.tokens[..self.at]);
        Trouble::Mistake(format!("{what} behind `{before}`"))
    }
    fn end(&self) -> Result<(), Trouble> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.odd("the end was expected")),
        }
    }
    fn whole(&mut self) -> Result<Scalar, Trouble> {
        let value = self.disjunction()?;
        self.end()?;
        Ok(value)
    }

    fn disjunction(&mut self) -> Result<Scalar, Trouble> {
        let mut left = self.conjunction()?;
        while self.eat("or") {
            let right = self.conjunction()?;
            left = if left.is_true() { left } else { right };
        }
        Ok(left)
    }
    fn conjunction(&mut self) -> Result<Scalar, Trouble> {
        let mut left = self.negation()?;
        while self.eat("and") {
            let right = self.negation()?;
            left = if left.is_true() { right } else { left };
        }
        Ok(left)
    }
    fn negation(&mut self) -> Result<Scalar, Trouble> {
        match self.eat("not") {
            true => Ok(Scalar::of(!self.negation()?.is_true())),
            false => self.comparison(),
        }
    }
    /// `990 <= x <= 1010` means both.
    fn comparison(&mut self) -> Result<Scalar, Trouble> {
        let mut left = self.bits()?;
        let mut chained = None;
        while let Some(sign) = self.comparing() {
            let right = self.bits()?;
            let holds = compare(sign, &left, &right)?;
            chained = Some(chained.unwrap_or(true) && holds);
            left = right;
        }
        Ok(chained.map_or(left, Scalar::of))
    }
    fn comparing(&mut self) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Sign(sign)) if ["==", "!=", "<", "<=", ">", ">="].contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }
    fn bits(&mut self) -> Result<Scalar, Trouble> {
        self.chain(&["|", "&", "<<", ">>"], Self::sum)
    }
    fn sum(&mut self) -> Result<Scalar, Trouble> {
        self.chain(&["+", "-"], Self::product)
    }
    fn product(&mut self) -> Result<Scalar, Trouble> {
        self.chain(&["*", "//", "/", "%"], Self::signed)
    }
    fn chain(
        &mut self,
        signs: &[&'static str],
        tighter: fn(&mut Self) -> Result<Scalar, Trouble>,
    ) -> Result<Scalar, Trouble> {
        let mut left = tighter(self)?;
        while let Some(sign) = signs.iter().copied().find(|sign| self.eat(sign)) {
            left = reckon(sign, left, tighter(self)?)?;
        }
        Ok(left)
    }
    fn signed(&mut self) -> Result<Scalar, Trouble> {
        match self.eat("-") {
            true => reckon("-", Scalar::Int(0), self.signed()?),
            false => self.atom(),
        }
    }
    fn atom(&mut self) -> Result<Scalar, Trouble> {
        if self.eat("(") {
            let mut all = self.list(")")?;
            return Ok(match all.len() {
                1 => all.remove(0),
                _ => Scalar::Tuple(all),
            });
        }
        let token = self
            .peek()
            .ok_or_else(|| self.odd("a value was expected"))?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(number.clone()),
            Token::Text(text) => Ok(Scalar::Text(text.clone())),
            Token::Name(name) if self.eat("(") => call(name, self.list(")")?),
            Token::Name(name) => self.named(name),
            Token::Sign(_) | Token::End => {
                self.at -= 1;
                Err(self.odd("a value was expected"))
            }
        }
    }
    fn list(&mut self, close: &str) -> Result<Vec<Scalar>, Trouble> {
        let mut all = Vec::new();
        while !self.eat(close) {
            all.push(self.disjunction()?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(all)
    }
    fn named(&self, name: &str) -> Result<Scalar, Trouble> {
        match (self.names.get(name), name) {
            (Some(value), _) => Ok(value.clone()),
            (None, "True") => Ok(Scalar::Int(1)),
            (None, "False" | "None") => Ok(Scalar::Int(0)),
            _ => Err(Trouble::Mistake(format!("nobody knows what `{name}` is"))),
        }
    }
}

fn compare(sign: &str, left: &Scalar, right: &Scalar) -> Result<bool, Trouble> {
    use core::cmp::Ordering::{Equal, Greater, Less};
    let order = match (left, right) {
        (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(b)),
        (Scalar::Text(a), Scalar::Text(b)) => Some(a.cmp(b)),
        (Scalar::Text(_) | Scalar::Tuple(_), _) | (_, Scalar::Text(_) | Scalar::Tuple(_)) => {
            return match sign {
                "==" => Ok(left == right),
                "!=" => Ok(left != right),
                _ => Err(Trouble::Mistake(format!(
                    "{left} {sign} {right} has no meaning"
                ))),
            };
        }
        _ => left.number()?.partial_cmp(&right.number()?),
    };
    Ok(match sign {
        "==" => order == Some(Equal),
        "!=" => order != Some(Equal),
        "<" => order == Some(Less),
        "<=" => matches!(order, Some(Less | Equal)),
        ">" => order == Some(Greater),
        _ => matches!(order, Some(Greater | Equal)),
    })
}

fn reckon(sign: &str, left: Scalar, right: Scalar) -> Result<Scalar, Trouble> {
    if let (Scalar::Text(pattern), "%") = (&left, sign) {
        return Ok(Scalar::Text(filled(pattern, right)?));
    }
    if let (Scalar::Int(a), Scalar::Int(b)) = (&left, &right)
        && sign != "/"
    {
        let (a, b) = (*a, *b);
        let whole = match sign {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            "//" => a.checked_div_euclid(b),
            "%" => a.checked_rem_euclid(b),
            "&" => Some(a & b),
            "|" => Some(a | b),
            "<<" => u32::try_from(b).ok().and_then(|b| a.checked_shl(b)),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_shr(b)),
        };
        let whole =
            whole.ok_or_else(|| Trouble::Mistake(format!("{a} {sign} {b} has no value")))?;
        return Ok(Scalar::Int(whole));
    }
    let (a, b) = (left.number()?, right.number()?);
    Ok(Scalar::Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" if b != 0.0 => a / b,
        "//" if b != 0.0 => (a / b).floor(),
        "%" if b != 0.0 => a - b * (a / b).floor(),
        _ => return Err(Trouble::Mistake(format!("{a} {sign} {b} has no value"))),
    }))
}

/// `'cwnd=%d' % x`: each place with its value, however it is to be written.
fn filled(pattern: &str, values: Scalar) -> Result<String, Trouble> {
    let mut values = match values {
        Scalar::Tuple(all) => all,
        one => vec![one],
    }
    .into_iter();
    let mut text = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('%', Some('%')) => {
                rest.next();
                text.push('%');
            }
            ('%', Some(_)) => {
                while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                let value = values.next();
                let value = value
                    .ok_or_else(|| Trouble::Mistake(format!("'{pattern}' wants more values")))?;
                text.push_str(&value.to_string());
            }
            (c, _) => text.push(c),
        }
    }
    Ok(text)
}

fn call(name: &str, arguments: Vec<Scalar>) -> Result<Scalar, Trouble> {
    let pick = |wanted: &str| {
        let mut all = arguments.iter();
        let first = all.next().cloned();
        all.try_fold(first, |best, next| {
            let best = best.map_or_else(
                || Ok(next.clone()),
                |best| compare(wanted, next, &best).map(|is| if is { next.clone() } else { best }),
            );
            best.map(Some)
        })
    };
    let odd = || Trouble::Mistake(format!("{name}() is not understood"));
    match (name, arguments.as_slice()) {
        ("abs", [Scalar::Int(n)]) => Ok(Scalar::Int(n.abs())),
        ("abs", [Scalar::Float(x)]) => Ok(Scalar::Float(x.abs())),
        ("int", [value]) => Ok(Scalar::Int(value.number()? as i128)),
        ("len", [Scalar::Text(text)]) => Ok(Scalar::Int(text.len() as i128)),
        ("str", [value]) => Ok(Scalar::Text(value.to_string())),
        ("min", [_, ..]) => pick("<")?.ok_or_else(odd),
        ("max", [_, ..]) => pick(">")?.ok_or_else(odd),
        _ => Err(odd()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeMap<String, Scalar> {
        let names = [
            ("tcpi_snd_cwnd", 10),
            ("tcpi_lost", 7),
            ("TCP_CA_Open", 0),
            ("tcpi_ca_state", 3),
        ];
        names.map(|(name, n)| (name.into(), Scalar::Int(n))).into()
    }

    #[test]
    fn blocks_hold_or_do_not_as_python_says() {
        let holds = [
            "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
            "\nassert tcpi_snd_cwnd == 10\nassert tcpi_lost != 6 # a remark\n",
            "assert 9 <= tcpi_snd_cwnd <= 11",
            "assert not 9 <= tcpi_snd_cwnd < 10",
            "assert tcpi_snd_cwnd >= 10 and (tcpi_lost == 1 or tcpi_lost > 6)",
            "a = tcpi_snd_cwnd * 2 + 1; assert a == 21",
            "assert tcpi_snd_cwnd // 3 == 3 and 10 / 4 == 2.5 and -7 % 3 == 2",
            "assert abs(tcpi_lost - 10) <= 3, 'cwnd=%d of %d' % (tcpi_lost, 10)",
            "assert min(3, 1, 2) == 1 and max(3, 1.5) == 3 and 0x10 == 16",
            "assert (tcpi_snd_cwnd\n == 10)",
            "assert '%d%%' % 5 == '5%'",
        ];
        for block in holds {
            assert_eq!(check(block, &mut names()), Ok(()), "{block}");
        }
    }

    #[test]
    fn a_false_assertion_names_what_it_saw() {
        let told = |block: &str| check(block, &mut names()).unwrap_err().to_string();
        assert_eq!(
            told("assert tcpi_ca_state == TCP_CA_Open, 'state %d' % tcpi_ca_state"),
            "assert tcpi_ca_state == TCP_CA_Open does not hold: tcpi_ca_state = 3 (state 3)"
        );
        assert_eq!(told("assert 1 == 2"), "assert 1 == 2 does not hold");
    }

    #[test]
    fn what_is_no_assertion_is_told() {
        let rows = [
            ("assert", "a value was expected behind ``"),
            (
                "assert tcpi_nothing == 1",
                "nobody knows what `tcpi_nothing` is",
            ),
            ("assert 1 +", "a value was expected behind `1 +`"),
            ("assert (1", "`)` was expected behind `( 1`"),
            ("assert 1 2", "the end was expected behind `1`"),
            (
                "import os",
                "`import os` is neither an assertion nor an assignment",
            ),
            ("assert 1 // 0", "1 // 0 has no value"),
            ("assert ?", "`?` is not understood"),
            ("assert 'a", "a text has no end"),
            ("assert 'a' < 1", "a < 1 has no meaning"),
        ];
        for (block, expected) in rows {
            let told = check(block, &mut names()).unwrap_err().to_string();
            assert_eq!(told, expected, "{block}");
        }
    }
}
