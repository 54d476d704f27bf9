//! A script's text becomes its events. The language is packetdrill's.
use core::time::Duration;

use super::PktError;
use super::packet_text::{inbound, outbound};
use super::script::{Call, Event, Script, Value, What, When};
use super::text::Text;

/// Reads a whole script; the first mistake ends it.
pub fn parse(text: &str) -> Result<Script, PktError> {
    let mut text = Text::new(text);
    let mut script = Script::default();
    text.skip()?;
    while text.eat("--")? {
        script.options.push(option(&mut text));
        text.skip()?;
    }
    while !text.is_at_end() {
        script.events.push(event(&mut text)?);
        text.skip()?;
    }
    Ok(script)
}

/// `name=value` up to a blank.
fn option(text: &mut Text<'_>) -> (String, Option<String>) {
    let name = text.take_while(|c| c != '=' && !c.is_whitespace()).into();
    let value = text.take_while(|c| !c.is_whitespace());
    (name, value.strip_prefix('=').map(Into::into))
}

fn event(text: &mut Text<'_>) -> Result<Event, PktError> {
    let line = text.line();
    if text.eat("`")? {
        let what = What::Command(text.until("`")?.into());
        let at = When::Relative(Duration::ZERO);
        return Ok(Event { line, at, what });
    }
    let at = when(text)?;
    text.skip()?;
    let line = text.line();
    let what = match text.peek() {
        Some('<') => What::Inbound(inbound(text)?),
        Some('>') => What::Outbound(outbound(text)?),
        Some('`') => {
            text.expect("`")?;
            What::Command(text.until("`")?.into())
        }
        Some('%') => {
            text.expect("%{")?;
            What::Code(text.until("}%")?.into())
        }
        _ => What::Call(call(text)?),
    };
    Ok(Event { line, at, what })
}

/// `0`, `+.1`, `0.1~0.2`, `+0~+.04`, `*`.
fn when(text: &mut Text<'_>) -> Result<When, PktError> {
    if text.eat("*")? {
        return Ok(When::Any);
    }
    let relative = text.eat("+")?;
    let from = seconds(text)?;
    if !text.eat("~")? {
        return Ok(match relative {
            true => When::Relative(from),
            false => When::Absolute(from),
        });
    }
    text.eat("+")?;
    let to = seconds(text)?;
    if to < from {
        return Err(text.mistake("the range ends before it begins"));
    }
    Ok(match relative {
        true => When::RelativeRange(from, to),
        false => When::AbsoluteRange(from, to),
    })
}

/// `1`, `.25`, `0.0001`.
fn seconds(text: &mut Text<'_>) -> Result<Duration, PktError> {
    text.skip()?;
    let whole = text.take_while(|c| c.is_ascii_digit());
    let mut micros = match whole {
        "" if !text.starts_with(".") => return Err(text.expected("a time")),
        "" => 0,
        whole => whole
            .parse::<u64>()
            .ok()
            .and_then(|s| s.checked_mul(1_000_000))
            .ok_or_else(|| text.mistake(format!("{whole} s is out of range")))?,
    };
    if text.starts_with(".") && !text.starts_with("..") {
        text.expect(".")?;
        let fraction = text.take_while(|c| c.is_ascii_digit());
        let mut place = 100_000;
        for digit in fraction.bytes() {
            micros += u64::from(digit - b'0') * place;
            place /= 10;
        }
    }
    Ok(Duration::from_micros(micros))
}

/// `...0.2 name(arguments) = result ERRNO (note)`.
fn call(text: &mut Text<'_>) -> Result<Call, PktError> {
    let end = match text.eat("...")? {
        true => Some(seconds(text)?),
        false => None,
    };
    let Some(name) = text.word()? else {
        return Err(text.expected("a packet, a call or a block"));
    };
    text.expect("(")?;
    let arguments = values(text, ")")?;
    text.expect("=")?;
    let result = value(text)?;
    let errno = text.word()?.map(String::from);
    // A remark for people, such as (Operation now in progress).
    if text.eat("(")? {
        text.until(")")?;
    }
    Ok(Call {
        end,
        name: name.into(),
        arguments,
        result,
        errno,
    })
}

/// Values between commas, up to a closing sign.
fn values(text: &mut Text<'_>, close: &str) -> Result<Vec<Value>, PktError> {
    let mut all = Vec::new();
    if text.eat(close)? {
        return Ok(all);
    }
    loop {
        all.push(value(text)?);
        if text.eat(close)? {
            return Ok(all);
        }
        text.expect(",")?;
    }
}

/// One value, or several joined by `|`.
fn value(text: &mut Text<'_>) -> Result<Value, PktError> {
    let mut all = vec![single(text)?];
    while text.eat("|")? {
        all.push(single(text)?);
    }
    match all.len() {
        1 => Ok(all.remove(0)),
        _ => Ok(Value::Or(all)),
    }
}
fn single(text: &mut Text<'_>) -> Result<Value, PktError> {
    if text.eat("...")? {
        return Ok(Value::Ellipsis);
    }
    if text.eat("[")? {
        return Ok(Value::List(values(text, "]")?));
    }
    if text.eat("{")? {
        return record(text);
    }
    if text.starts_with("\"") {
        return quoted(text);
    }
    if let Some(word) = text.word()? {
        return match text.eat("(")? {
            true => Ok(Value::Call(word.into(), values(text, ")")?)),
            false => Ok(Value::Word(word.into())),
        };
    }
    Ok(Value::Int(text.integer()?))
}

/// `"a" "b"…` in one; behind it may stand `...`.
fn quoted(text: &mut Text<'_>) -> Result<Value, PktError> {
    let mut bytes = Vec::new();
    while text.eat("\"")? {
        let inside = text.until("\"")?;
        unescape(inside, &mut bytes).ok_or_else(|| text.mistake("an unknown escape in a text"))?;
    }
    text.eat("...")?;
    Ok(Value::Text(bytes))
}
fn unescape(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let byte = match c {
            '\\' => match rest.next()? {
                'n' => b'\n',
                't' => b'\t',
                'r' => b'\r',
                '0' => 0,
                '\\' => b'\\',
                'x' => {
                    let digits = rest.next()?.to_digit(16)? * 16 + rest.next()?.to_digit(16)?;
                    u8::try_from(digits).ok()?
                }
                _ => return None,
            },
            c => {
                out.extend(c.encode_utf8(&mut [0; 4]).bytes());
                continue;
            }
        };
        out.push(byte);
    }
    Some(())
}

/// `name = value`, `name(length) = value` and bare values, up to the brace.
fn record(text: &mut Text<'_>) -> Result<Value, PktError> {
    let mut fields = Vec::new();
    while !text.eat("}")? {
        let first = value(text)?;
        let field = match (text.eat("=")?, first) {
            (true, Value::Word(name) | Value::Call(name, _)) => (Some(name), value(text)?),
            (true, _) => return Err(text.mistake("a field's name was expected before `=`")),
            (false, bare) => (None, bare),
        };
        fields.push(field);
        if !text.eat(",")? && !text.starts_with("}") {
            return Err(text.expected("`,` or `}`"));
        }
    }
    Ok(Value::Record(fields))
}
