//! Units after a number: `35 cm`, `\frac{1}{3} \text{ metres}`, `9.8 m/s^2`.

use crate::evaluate::has_symbols;
use crate::expr::Expr;
use crate::parse::parse;

/// Units that stand as plain letters, after Math-Verify. Those that are rather variables next to a
/// number (`c`, `d`, `o`, `t`, `ab`, `bc`) are left out.
const UNITS: &str = "feet foot digit pound meal edge student multiple degree mph kmph ft deg mile \
    monkey prime ratio gm lb tile dm lt gain way soldier pie inches inch noon cent gal kmh acre rise \
    mark l toy coin gallon profit yr women am pm hr square rupee rounds cubic cc mtr s ohm number day \
    hour minute min second man men woman sec cube hectare unit kg g month km m cm mm apple liter litre \
    loss yard year increase decrease Surface metre meter dollar euro yuan point h";

/// Symbols of units that stand alone, with a power, or over one another after a number and a space.
const SYMBOLS: &str = "m mm cm dm km nm g mg kg s ms min h hr N kN J kJ MJ W kW MW V mV kV A mA K C F \
    Pa kPa MPa Hz kHz MHz GHz eV keV MeV mol L mL l ml T Wb H Ω kΩ MΩ μm μs μg μC μF μA atm rad deg cal \
    kcal °C °F lb ft mi yd mph kmh Bq cd lm lx dB";

/// Characters after which something must follow.
const UNFINISHED: [char; 14] =
    ['=', '<', '>', '+', '-', '*', '/', '^', '_', '(', '{', ',', '[', '|'];

/// What parts a number from its unit.
const SPACES: [&str; 5] = ["\\,", "\\;", "\\:", "~", "\\quad"];

/// The formula without the units at its end; a formula that is all unit stays.
pub(crate) fn without_units(formula: &str) -> String {
    let mut text = without_text(formula).unwrap_or(formula);
    for _ in 0..2 {
        text = without_unit(text).unwrap_or(text);
    }
    text.trim().to_owned()
}

/// The number of a number, a space and symbols of units: of `9.8 m/s^2`, `25\,\Omega`, `20 °C`.
pub(crate) fn quantity(text: &str) -> Option<&str> {
    const MAX_QUANTITY: usize = 128;
    let text = text.trim();
    if text.len() > MAX_QUANTITY
        || !text.starts_with(|c: char| "-−.(\\".contains(c) || c.is_ascii_digit())
    {
        return None;
    }
    let parts = |rest: &str| {
        rest.starts_with(char::is_whitespace)
            || ["°", "^\\circ", "^{\\circ}", "\\text"].iter().any(|sign| rest.starts_with(sign))
            || SPACES.iter().any(|space| rest.starts_with(space))
    };
    let mut places = text.char_indices().map(|(at, _)| at).filter(|at| parts(&text[*at..]));
    let end = places.find(|at| is_unit(&text[*at..]))?;
    let number = text[..end].trim_end();
    is_numeric(number).then_some(number)
}

/// The number of digits and one symbol of a unit with nothing between: of `20N`.
pub(crate) fn unparted(text: &str) -> Option<&str> {
    let (number, symbol) = text.split_at(text.find(char::is_alphabetic)?);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_symbol = SYMBOLS.split(' ').any(|known| known == symbol);
    (is_number && is_symbol && !number.is_empty()).then_some(number)
}

/// Whether a text is symbols of units with powers, products and quotients of them.
fn is_unit(text: &str) -> bool {
    let mut plain = text.to_owned();
    for (written, meant) in [
        ("\\circ", "°"),
        ("^°", "°"),
        ("^{°}", "°"),
        ("\\Omega", "Ω"),
        ("\\mu", "μ"),
        ("µ", "μ"),
        ("μ ", "μ"),
        ("° ", "°"),
        ("\\cdot", " "),
        ("\\text", " "),
        ("}^", "^"),
        ("^{", "^"),
    ] {
        plain = plain.replace(written, meant);
    }
    for space in SPACES {
        plain = plain.replace(space, " ");
    }
    let mut symbols = plain
        .split(|c: char| c.is_whitespace() || "/*·{}()".contains(c))
        .filter(|symbol| !symbol.is_empty())
        .peekable();
    let is_symbol = |symbol: &str| {
        let name = symbol.trim_end_matches(|c: char| c.is_ascii_digit() || "²³⁻¹".contains(c));
        let name = match name.strip_suffix("^-").or(name.strip_suffix('^')) {
            Some(base) => base,
            None if symbol.ends_with(|c: char| c.is_ascii_digit()) => return false,
            None => name,
        };
        SYMBOLS.split(' ').any(|known| known == name)
    };
    symbols.peek().is_some() && symbols.all(is_symbol)
}

/// Whether a formula, or what it says a name is, has no variables.
fn is_numeric(formula: &str) -> bool {
    parse(formula).is_some_and(|expr| match expr {
        Expr::Chain(chain) => !has_symbols(chain.last()),
        Expr::Set(elements) => !elements.iter().any(has_symbols),
        other => !has_symbols(&other),
    })
}

/// Without `\text{…}` at the end, squared or cubed as it may be.
fn without_text(formula: &str) -> Option<&str> {
    let mut end = formula.trim_end();
    for power in ["^2", "^3", "{^2}", "{^3}", "^{2}", "^{3}"] {
        end = end.strip_suffix(power).unwrap_or(end);
    }
    let inner = end.strip_suffix('}')?;
    let start = inner.rfind("\\text").max(inner.rfind("\\mbox"))?;
    let content = inner[start + "\\text".len()..].trim_start().strip_prefix('{')?;
    let mut before = formula[..start].trim_end();
    let mut is_parted = content.starts_with(char::is_whitespace);
    for space in SPACES {
        let rest = before.strip_suffix(space);
        is_parted |= rest.is_some();
        before = rest.unwrap_or(before).trim_end();
    }
    let whole = !content.contains(['{', '}']) && !before.is_empty();
    let fits = whole && !before.ends_with(UNFINISHED);
    // `\pi r^2 \text{h}` and `3+4\text{i}` end in a factor
    let is_factor = match content.trim() {
        "e" | "i" => true,
        unit => unit.len() == 1 && !is_parted && !is_numeric(before),
    };
    (fits && !is_factor).then_some(before)
}

/// Without the longest unit at the end, if a digit, a brace or a parenthesis stands before it. A letter
/// may be a variable: it is a unit only where a space parts it from a number.
fn without_unit(formula: &str) -> Option<&str> {
    let letters = formula.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
    let (before, word) = formula.split_at(formula.len() - letters);
    let is_unit = UNITS.split(' ').any(|unit| {
        word.strip_prefix(unit).is_some_and(|ending| matches!(ending, "" | "s" | "es"))
    });
    let rest = before.trim_end();
    let after_number = rest.ends_with(|c: char| c.is_ascii_digit() || c == '}' || c == ')');
    if !is_unit || !after_number {
        return None;
    }
    let is_parted = rest.len() < before.len();
    let fits = match letters {
        1 => is_parted && is_numeric(rest),
        _ => is_parted || is_numeric(rest),
    };
    fits.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_a_unit_only_after_a_number_and_a_space() {
        for (formula, want) in [
            (r"\frac12(a+b)h", r"\frac12(a+b)h"),
            (r"\frac12(a+b) h", r"\frac12(a+b) h"),
            (r"\pi r^2 h", r"\pi r^2 h"),
            (r"\pi r^2 \text{h}", r"\pi r^2 \text{h}"),
            (r"\frac{\sqrt3}{2}s", r"\frac{\sqrt3}{2}s"),
            (r"\frac{\sqrt3}{2} s", r"\frac{\sqrt3}{2}"),
            ("x = 5 m", "x = 5"),
            ("2s", "2s"),
            ("5 m", "5"),
            (r"5\,\text{m}", "5"),
            (r"5\text{m}", "5"),
            (r"5x\text{ m}", "5x"),
            ("12cm", "12"),
            (r"x^2 cm", "x^2"),
            (r"(a+b)km", "(a+b)km"),
            (r"3+4\text{i}", r"3+4\text{i}"),
            (r"2\text{e}", r"2\text{e}"),
        ] {
            assert_eq!(without_units(formula), want, "{formula}");
        }
    }

    #[test]
    fn quantities() {
        for (text, want) in [
            ("20 N", Some("20")),
            ("5 m^2", Some("5")),
            ("9.8 m/s^2", Some("9.8")),
            (r"9.8\,\text{m}/\text{s}^2", Some("9.8")),
            (r"9.8\ m\cdot s^{-2}", None),
            (r"9.8\,m\cdot s^{-2}", Some("9.8")),
            ("25 Ω", Some("25")),
            (r"25\,\Omega", Some("25")),
            (r"3\,\mu F", Some("3")),
            (r"20^\circ C", Some("20")),
            ("20°C", Some("20")),
            ("60 km/h", Some("60")),
            ("6 × 10^{-3} kg", Some("6 × 10^{-3}")),
            ("20N", None),
            ("2 x", None),
            ("2 R", None),
            ("x N", None),
            ("5 m + 3 m", None),
            ("5 m2", None),
            ("N", None),
            ("5", None),
            ("é", None),
        ] {
            assert_eq!(quantity(text), want, "{text}");
        }
    }
}
