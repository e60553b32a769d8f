//! Numbers and arithmetic without LaTeX: `1,000.99`, `.4`, `-3/4`, `(9+1)`, `28 %`, `1.5e3`.

use num_rational::BigRational;

use crate::expr::{Expr, Number};
use crate::parse::{number, parse};

/// Signs that may stand before an amount.
const CURRENCIES: &str = "$€£¥₹₽₪₩₫฿";

/// Longer runs of arithmetic are not read.
const MAX_RUN: usize = 256;

/// Numbers of a text that are looked at, from its end.
const MAX_NUMERALS: usize = 64;

/// More of a text than this has no number that counts.
const MAX_TEXT: usize = 1 << 14;

/// A number or an expression as it stands in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numeral<'a> {
    /// Its characters, percent sign left out.
    pub(crate) text: &'a str,
    /// Whether a percent sign follows.
    percent: bool,
    /// Whether it holds operators.
    arithmetic: bool,
}

impl Numeral<'_> {
    /// The spelling by which it is told from others: a point for the comma, no separators.
    pub(crate) fn spelling(&self) -> String {
        let sign = if self.percent { "%" } else { "" };
        match plain_digits(self.text) {
            Some(digits) if !self.arithmetic => format!("{digits}{sign}"),
            _ => format!("{}{sign}", self.text),
        }
    }

    /// The value.
    pub(crate) fn read(&self) -> Option<Expr> {
        let expr = if self.arithmetic {
            mixed(self.text).or_else(|| parse(&self.text.replace('\n', " ")))?
        } else {
            decimal(self.text)?
        };
        Some(if self.percent { Expr::Percent(Box::new(expr)) } else { expr })
    }

    /// `3,5` as two numbers; three digits after the comma are thousands.
    pub(crate) fn list(&self) -> Option<Expr> {
        let (first, second) = self.text.split_once(',').filter(|_| !self.percent)?;
        let whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if second.len() == 3 || !whole(first.strip_prefix('-').unwrap_or(first)) || !whole(second) {
            return None;
        }
        Some(Expr::Set(vec![decimal(first)?, decimal(second)?]))
    }
}

/// Every numeral of a text: where it begins and ends.
pub(super) fn all(text: &str) -> Vec<(usize, usize, Numeral<'_>)> {
    let skipped = text.ceil_char_boundary(text.len().saturating_sub(MAX_TEXT));
    let mut found = Vec::new();
    let mut at = skipped;
    let mut run_end = skipped;
    while at <= text.len() {
        if let Some((numeral, end)) = number_at(text, at) {
            found.push((at, end, numeral));
        }
        if at >= run_end
            && let Some((numeral, end)) = arithmetic_at(text, at)
        {
            found.push((at, end, numeral));
            run_end = end;
        }
        at += text[at..].chars().next().map_or(1, char::len_utf8);
    }
    let first = found.len().saturating_sub(MAX_NUMERALS);
    found.split_off(first)
}

/// The numeral whose prefix, a space or an equals sign, is at a place, and where it ends.
pub(super) fn at(text: &str, at: usize) -> Option<(Numeral<'_>, usize)> {
    arithmetic_at(text, at).or_else(|| number_at(text, at))
}

/// Where a numeral may begin that has its prefix at `at`.
fn after_prefix(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let first = rest.chars().next()?;
    let prefix = if first.is_whitespace() || first == '=' {
        first.len_utf8()
    } else if at == 0 {
        0
    } else {
        return None;
    };
    let stars = if rest[prefix..].starts_with("**") { 2 } else { 0 };
    Some(at + prefix + stars)
}

fn number_at(text: &str, at: usize) -> Option<(Numeral<'_>, usize)> {
    let mut start = after_prefix(text, at)?;
    start += usize::from(text[start..].starts_with("\\$"));
    if let Some(c) = text[start..].chars().next().filter(|c| CURRENCIES.contains(*c)) {
        start += c.len_utf8();
    }
    let length = number_length(&text[start..])?;
    let end = start + length;
    let rest = &text[end..];
    let spaces = rest.len() - rest.trim_start().len();
    let signs = ["%", "percentage", "Percentage", "percent", "Percent", "pct", "Pct"];
    let sign = signs.iter().find(|sign| rest[spaces..].starts_with(**sign));
    let numeral = Numeral { text: &text[start..end], percent: sign.is_some(), arithmetic: false };
    Some((numeral, end + sign.map_or(0, |sign| spaces + sign.len())))
}

/// The length of a number with its sign, its separators, its point and its exponent.
fn number_length(text: &str) -> Option<usize> {
    let sign = ["-", "−"].iter().find(|sign| text.starts_with(**sign)).map_or(0, |s| s.len());
    let body = &text[sign..];
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(body);
    if whole == 0 {
        let fraction = digits(body.strip_prefix('.')?);
        return (fraction > 0 && sign == 0).then_some(1 + fraction);
    }
    let mut length = whole;
    if whole <= 3 && !body.starts_with('0') {
        while let Some(group) = body[length..].strip_prefix([',', ' '])
            && digits(group) >= 3
            && digits(&group[..3]) == 3
        {
            length += 4;
            if digits(&body[length..]) > 0 {
                break;
            }
        }
    }
    let separated = length > whole;
    let fraction = match body[length..].chars().next() {
        Some('.') => digits(&body[length + 1..]),
        Some(',') if !separated => digits(&body[length + 1..]),
        _ => 0,
    };
    length += if fraction > 0 { 1 + fraction } else { 0 };
    Some(sign + length + exponent_length(&body[length..]))
}

/// The length of `e3` or `E-7`.
fn exponent_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(rest.starts_with(['-', '+']));
    let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
    let free = !rest[sign + digits..].starts_with(|c: char| c.is_alphanumeric());
    if (1..=3).contains(&digits) && free { 1 + sign + digits } else { 0 }
}

/// Digits with separators, a point or a comma, and an exponent.
fn decimal(text: &str) -> Option<Expr> {
    let (negative, text) = match text.strip_prefix('-').or_else(|| text.strip_prefix('−')) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.parse::<i32>().ok()?)),
        None => (text, None),
    };
    let plain = plain_digits(mantissa)?;
    let Expr::Number(mut number) = number(&plain)? else { return None };
    if let Some(exponent) = exponent {
        number.value *= BigRational::from_integer(10.into()).pow(exponent);
        number.decimal = true;
    }
    let expr = Expr::Number(number);
    Some(if negative { expr.negated() } else { expr })
}

/// Digits and a point: what is left of `1,234.5` and `1 000` without separators, and of `1,5`.
fn plain_digits(mantissa: &str) -> Option<String> {
    let groups: Vec<&str> = mantissa.split('.').next()?.split([',', ' ']).collect();
    let thousands = groups.len() > 1
        && (1..=3).contains(&groups[0].len())
        && !groups[0].starts_with('0')
        && groups[1..].iter().all(|group| group.len() == 3);
    Some(match thousands {
        true => mantissa.replace([',', ' '], ""),
        false => mantissa.replace(',', "."),
    })
}

/// `1 1/2`: a whole number and a proper fraction on one line.
fn mixed(text: &str) -> Option<Expr> {
    let (whole, fraction) = text.trim().rsplit_once(' ')?;
    let (above, below) = fraction.split_once('/')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (negative, unsigned) = match whole.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, whole),
    };
    let whole = unsigned.replace(' ', "");
    if !digits(&whole) || !digits(above) || !digits(below) {
        return None;
    }
    let value = |text: &str| match number(text)? {
        Expr::Number(Number { value, .. }) => Some(value),
        _ => None,
    };
    let (above, below) = (value(above)?, value(below)?);
    if above >= below {
        return None;
    }
    let total = Expr::exact(value(&whole)? + above / below);
    Some(if negative { total.negated() } else { total })
}

/// An expression that begins with a digit and holds an operator.
fn arithmetic_at(text: &str, at: usize) -> Option<(Numeral<'_>, usize)> {
    let start = after_prefix(text, at)?;
    let rest = &text[start..];
    let operators = "+-*×/^()÷";
    let head = rest.strip_prefix('-').unwrap_or(rest);
    let head = head.strip_prefix('(').unwrap_or(head);
    let head = head.strip_prefix('-').unwrap_or(head);
    if !head.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let offset = rest.len() - head.len() + 1;
    let in_run =
        |c: char| c.is_ascii_digit() || c == '.' || c.is_whitespace() || operators.contains(c);
    let mut characters = rest.char_indices().take(MAX_RUN + 1).skip_while(|(_, c)| in_run(*c));
    let run = match characters.next() {
        Some((end, _)) => end,
        None if rest.len() <= MAX_RUN => rest.len(),
        None => return None,
    };
    // the last place where the run can end: something after an operator, and a boundary
    let is_boundary = |place: usize| {
        let after = rest[place..].strip_prefix("**").unwrap_or(&rest[place..]);
        after.chars().next().is_none_or(|c| c.is_whitespace() || ".,:)$".contains(c))
    };
    let first = rest[offset..run].find(|c: char| operators.contains(c))? + offset;
    let after = first + rest[first..].chars().next().map_or(1, char::len_utf8);
    let end = (after + 1..=run).rev().find(|place| {
        rest.is_char_boundary(*place)
            && is_boundary(*place)
            && !rest[..*place].ends_with(char::is_whitespace)
    })?;
    let expression = rest[..end].trim_end_matches('.');
    let numeral = Numeral { text: expression, percent: false, arithmetic: true };
    Some((numeral, start + end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::real;

    #[test]
    fn numerals_and_their_values() {
        for (text, want) in [
            ("7", 7.0),
            ("-7", -7.0),
            ("007", 7.0),
            (".4", 0.4),
            ("1,000.99", 1000.99),
            ("1000,99", 1000.99),
            ("1 000", 1000.0),
            ("1,22", 1.22),
            ("1,234,567", 1_234_567.0),
            ("$1,000.99", 1000.99),
            ("28 %", 0.28),
            ("28 percent", 0.28),
            ("1.5e3", 1500.0),
            ("2E-2", 0.02),
            ("10/9", 10.0 / 9.0),
            ("(9+1)", 10.0),
            ("2^10", 1024.0),
            ("1 1/2", 1.5),
            ("-1 1/2", -1.5),
            ("3 × 4", 12.0),
            ("−3", -3.0),
        ] {
            let found = at(text, 0).and_then(|(numeral, _)| numeral.read());
            let value = found.as_ref().and_then(real).unwrap_or(f64::NAN);
            assert!((value - want).abs() < 1e-12, "{text}: {found:?}");
        }
    }

    #[test]
    fn what_is_no_numeral() {
        for text in ["", "-", ".", "x", "%", "XDY2K", "٣", "½"] {
            assert!(at(text, 0).is_none(), "{text}");
        }
    }
}
