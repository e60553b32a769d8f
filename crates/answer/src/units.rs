//! Units after a number: `35 cm`, `\frac{1}{3} \text{ metres}`.

/// Units that stand as plain letters, after Math-Verify. Those that are rather variables next to a
/// number (`c`, `d`, `o`, `t`, `ab`, `bc`) are left out.
const UNITS: &str = "feet foot digit pound meal edge student multiple degree mph kmph ft deg mile \
    monkey prime ratio gm lb tile dm lt gain way soldier pie inches inch noon cent gal kmh acre rise \
    mark l toy coin gallon profit yr women am pm hr square rupee rounds cubic cc mtr s ohm number day \
    hour minute min second man men woman sec cube hectare unit kg g month km m cm mm apple liter litre \
    loss yard year increase decrease Surface metre meter dollar euro yuan point h";

/// Characters after which something must follow.
const UNFINISHED: [char; 14] =
    ['=', '<', '>', '+', '-', '*', '/', '^', '_', '(', '{', ',', '[', '|'];

/// The formula without the units at its end; a formula that is all unit stays.
pub(crate) fn without_units(formula: &str) -> String {
    let mut text = without_text(formula).unwrap_or(formula);
    for _ in 0..2 {
        text = without_unit(text).unwrap_or(text);
    }
    text.trim().to_owned()
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
    for space in ["\\,", "\\;", "\\:", "~", "\\quad"] {
        before = before.strip_suffix(space).unwrap_or(before).trim_end();
    }
    let whole = !content.contains(['{', '}']) && !before.is_empty();
    (whole && !before.ends_with(UNFINISHED)).then_some(before)
}

/// Without the longest unit at the end, if a digit, a brace or a space stands before it.
fn without_unit(formula: &str) -> Option<&str> {
    let letters = formula.bytes().rev().take_while(u8::is_ascii_alphabetic).count();
    let (before, word) = formula.split_at(formula.len() - letters);
    let is_unit = UNITS.split(' ').any(|unit| {
        word.strip_prefix(unit).is_some_and(|ending| matches!(ending, "" | "s" | "es"))
    });
    let rest = before.trim_end();
    let after_number = rest.ends_with(|c: char| c.is_ascii_digit() || c == '}' || c == ')');
    (is_unit && after_number).then_some(rest)
}
