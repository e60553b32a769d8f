//! Exact numbers as people write them: `-1,234.5`, `\frac{3}{4}`, `2/3`, `28\%`.

/// An exact fraction, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number {
    numerator: i128,
    /// Always positive.
    denominator: i128,
    /// Written with a decimal point: compared to six decimals, not exactly.
    decimal: bool,
    /// Written with a percent sign; the value is already divided by 100.
    percent: bool,
}

/// More digits than this are compared as text; up to here nothing overflows unnoticed.
const MAX_DIGITS: usize = 30;

impl Number {
    /// Reads a normalised text that is nothing but one number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let percent =
            ["%", "percent", "percentage", "pct"].iter().find_map(|sign| text.strip_suffix(sign));
        let number = Self::signed(percent.unwrap_or(text).trim())?;
        match percent {
            Some(_) => Some(Self { percent: true, ..number.divide(Self::integer(100))? }),
            None => Some(number),
        }
    }

    /// Whether `prediction` is this number. A gold `28%` also accepts a bare `28`: the sign is
    /// often part of the question.
    pub(crate) fn accepts(&self, prediction: &Self) -> bool {
        self.equals(prediction)
            || (self.percent && !prediction.percent && self.percent_points(prediction))
    }

    fn percent_points(&self, prediction: &Self) -> bool {
        prediction.divide(Self::integer(100)).is_some_and(|value| self.equals(&value))
    }

    fn equals(&self, other: &Self) -> bool {
        if self.decimal || other.decimal {
            return self.millionths().is_some_and(|a| other.millionths() == Some(a));
        }
        let left = self.numerator.checked_mul(other.denominator);
        left.is_some_and(|left| other.numerator.checked_mul(self.denominator) == Some(left))
    }

    /// The value in millionths, rounded half up.
    fn millionths(&self) -> Option<i128> {
        let doubled = self.numerator.checked_mul(2_000_000)?.checked_add(self.denominator)?;
        Some(doubled.div_euclid(self.denominator.checked_mul(2)?))
    }

    fn integer(value: i128) -> Self {
        Self { numerator: value, denominator: 1, decimal: false, percent: false }
    }

    fn signed(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) {
            return Self::unsigned_or_signed(inner.trim());
        }
        Self::unsigned_or_signed(text)
    }

    fn unsigned_or_signed(text: &str) -> Option<Self> {
        match text.strip_prefix('-') {
            Some(rest) => {
                let number = Self::unsigned(rest.trim_start())?;
                Some(Self { numerator: -number.numerator, ..number })
            }
            None => Self::unsigned(text.strip_prefix('+').unwrap_or(text).trim_start()),
        }
    }

    fn unsigned(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("\\frac") {
            let (numerator, rest) = group(rest)?;
            let (denominator, rest) = group(rest)?;
            return rest.is_empty().then(|| {
                Self::unsigned_or_signed(numerator)?.divide(Self::unsigned_or_signed(denominator)?)
            })?;
        }
        match text.split_once('/') {
            Some((numerator, denominator)) => {
                Self::digits(numerator.trim_end())?.divide(Self::digits(denominator.trim_start())?)
            }
            None => Self::digits(text),
        }
    }

    /// Digits with an optional point, and separators between groups of three.
    fn digits(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = without_separators(whole)?;
        let digits = format!("{whole}{fraction}");
        let plain = !digits.is_empty()
            && digits.len() <= MAX_DIGITS
            && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return None;
        }
        let denominator = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Self {
            denominator,
            decimal: text.contains('.'),
            ..Self::integer(digits.parse().ok()?)
        })
    }

    fn divide(self, other: Self) -> Option<Self> {
        let numerator =
            self.numerator.checked_mul(other.denominator)?.checked_mul(other.numerator.signum())?;
        let denominator = self.denominator.checked_mul(other.numerator.checked_abs()?)?;
        (denominator > 0).then_some(Self {
            numerator,
            denominator,
            decimal: self.decimal || other.decimal,
            percent: self.percent || other.percent,
        })
    }
}

/// An argument of `\frac`: `{…}` without inner braces, or one digit.
fn group(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    match text.strip_prefix('{') {
        Some(rest) => rest.split_once('}').map(|(inner, rest)| (inner.trim(), rest)),
        None => text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.split_at(1)),
    }
}

/// `1,234,567` or `1 234 567` without its separators; `None` when they do not part groups of three.
fn without_separators(whole: &str) -> Option<String> {
    let mut groups = whole.split([',', ' ']);
    let first = groups.next().unwrap_or("");
    let mut digits = first.to_owned();
    for group in groups {
        if group.len() != 3 || !(1..=3).contains(&first.len()) {
            return None;
        }
        digits.push_str(group);
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(gold: &str, prediction: &str) -> bool {
        let read = |text| Number::parse(text).unwrap_or_else(|| panic!("{text:?} is a number"));
        read(gold).accepts(&read(prediction))
    }

    #[test]
    fn equal_numbers() {
        for (gold, prediction) in [
            ("7", "7"),
            ("7", "007"),
            ("7", "7.0"),
            ("7", "7."),
            ("7", "+7"),
            ("-7", "- 7"),
            ("0", "-0"),
            (".5", "0.50"),
            ("1234567", "1,234,567"),
            ("1000.99", "1,000.99"),
            ("1000", "1 000"),
            ("1/2", "\\frac{1}{2}"),
            ("1/2", "\\frac12"),
            ("1/2", "\\frac 1 2"),
            ("1/2", "2 / 4"),
            ("1/2", "0.5"),
            ("-1/2", "\\frac{-1}{2}"),
            ("-1/2", "\\frac{1}{-2}"),
            ("-10/9", "-\\frac{10}{9}"),
            ("1/3", "(1/3)"),
            ("1/3", "0.333333"),
            ("28%", "28 %"),
            ("28%", "0.28"),
            ("28%", "28"),
            ("28%", "28 percent"),
            ("0.28", "28%"),
            ("0.1", "1/10"),
        ] {
            assert!(accepts(gold, prediction), "{gold} {prediction}");
        }
    }

    #[test]
    fn different_numbers() {
        for (gold, prediction) in [
            ("7", "-7"),
            ("7", "7.00001"),
            ("7", "7.000004"),
            ("1/3", "0.33"),
            ("1/3", "0.3333"),
            ("0.28", "28"),
            ("28", "28%"),
            ("1/2", "2/1"),
            ("123456789012345678901234567890", "123456789012345678901234567891"),
        ] {
            assert!(!accepts(gold, prediction), "{gold} {prediction}");
        }
    }

    #[test]
    fn not_numbers() {
        for text in [
            "",
            "-",
            "%",
            "--1",
            "1 2",
            "1 1/2",
            "1,2",
            "1,2345",
            ",123",
            "1234,567",
            "1e5",
            "1.2.3",
            "1/0",
            "1/",
            "/2",
            "1/2/3",
            "x",
            "\\frac",
            "\\frac{1}",
            "\\frac{1}{0}",
            "\\frac{1}{2}x",
            "\\frac{}{}",
            "3x",
            "٣",
            "½",
            "1234567890123456789012345678901",
        ] {
            assert_eq!(Number::parse(text), None, "{text:?}");
        }
    }
}
