//! Quantities as people write them: `20ms`, `5%`, `10 Mbit`. Exact: no floating point for time and rate.
use heptad_stack::time::Duration;

/// Splits `"1.5 ms"` into its digits, those behind the point, and the unit.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let some = !whole.is_empty() && (number.len() == whole.len() || !part.is_empty());
    (some && digits(part)).then_some((whole, part, unit.trim()))
}

/// `whole.part` times `unit`, rounded down; `None` when it does not fit.
fn scale(whole: &str, part: &str, unit: u64) -> Option<u64> {
    let whole: u128 = whole.parse::<u64>().ok()?.into();
    let part = part.get(..part.len().min(18))?;
    let power = 10u128.pow(u32::try_from(part.len()).ok()?);
    let part: u128 = if part.is_empty() {
        0
    } else {
        part.parse().ok()?
    };
    let unit = u128::from(unit);
    u64::try_from(whole * unit + part * unit / power).ok()
}

/// A time: `20ms`, `1.5s`, `300 us`, `2min`, `1h`. The error is for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time");
    let (whole, part, unit) = split(text).ok_or_else(wrong)?;
    let nanos = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err(format!("`{text}` has no unit")),
        _ => return Err(format!("`{unit}` is not a unit of time")),
    };
    scale(whole, part, nanos)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is longer than 584 years"))
}

/// A probability as a percentage: `5%`, `0.1 %`. The error is for people.
pub fn percentage(text: &str) -> Result<f64, String> {
    let number = text
        .trim()
        .strip_suffix('%')
        .ok_or_else(|| format!("`{text}` is not a percentage"))?
        .trim_end();
    let value: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a percentage"))?;
    if !value.is_finite() {
        return Err(format!("`{text}` is not a percentage"));
    }
    if value > 100.0 {
        return Err(format!("{number} % is more than 100 %"));
    }
    if value < 0.0 {
        return Err(format!("{number} % is less than 0 %"));
    }
    Ok(value / 100.0)
}

/// A rate in bits a second: `10 Mbit`, `64 kbit`, `1 Gbit`, also with `/s`. The error is for people.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a rate");
    let (whole, part, unit) = split(text).ok_or_else(wrong)?;
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let bits = match unit {
        "bit" => 1,
        "kbit" => 1_000,
        "Mbit" => 1_000_000,
        "Gbit" => 1_000_000_000,
        "" => return Err(format!("`{text}` has no unit")),
        _ => return Err(format!("`{unit}` is not a unit of rate")),
    };
    match scale(whole, part, bits) {
        Some(0) => Err("a rate of 0 lets nothing pass".into()),
        Some(bits) => Ok(bits),
        None => Err(format!("`{text}` is too fast to count")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_exactly() {
        for (text, nanos) in [
            ("20ms", 20_000_000),
            ("1.5s", 1_500_000_000),
            ("0.1 s", 100_000_000),
            ("300us", 300_000),
            ("300 µs", 300_000),
            ("7ns", 7),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0.0000000019s", 1),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "20",
            "ms",
            "-1ms",
            "1..5s",
            ".5s",
            "5.s",
            "1 fortnight",
            "1e3s",
            "99999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_need_the_sign_and_stay_within_bounds() {
        assert_eq!(percentage("5%"), Ok(0.05));
        assert_eq!(percentage("0.5 %"), Ok(0.005));
        assert_eq!(percentage("100%"), Ok(1.0));
        assert_eq!(percentage("140%"), Err("140 % is more than 100 %".into()));
        for text in ["0.05", "-1%", "nan%", "inf%", "five%", "%"] {
            assert!(percentage(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_decimal_bits_a_second() {
        assert_eq!(rate("10 Mbit"), Ok(10_000_000));
        assert_eq!(rate("1.5Mbit/s"), Ok(1_500_000));
        assert_eq!(rate("64 kbit"), Ok(64_000));
        assert_eq!(rate("1 Gbit"), Ok(1_000_000_000));
        for text in ["10", "10 MB", "0 bit", "fast", "99999999999 Gbit"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
