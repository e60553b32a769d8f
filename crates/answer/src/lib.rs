//! Whether two answers to a question of mathematics are the same answer.
//!
//! ```text
//! text ─► extract ─► normalise ─► parse ─► canonical form ─┐
//!         where it   one spelling  a tree    and values     ├─► compare ─► equivalent, and by what
//! gold ───────────────────── the same ─────────────────────┘
//! ```
//!
//! ```
//! use answer::{Extraction, Ground, compare, read};
//!
//! let gold = read(r"$\frac{1}{2}$", Extraction::Bare);
//! let prediction = read(r"So $x = 0.5$.", Extraction::Bare);
//! assert_eq!(compare(gold.as_ref(), prediction.as_ref()), Some(Ground::Number));
//! ```
//!
//! The rules are those of Math-Verify 0.9.0 (Hugging Face, Apache-2.0), written anew: where the answer
//! is looked for, how LaTeX is read, what counts as equal. Arithmetic is exact; what canonical forms
//! cannot decide is evaluated at fixed points. Where we knowingly differ is listed in
//! `crates/answer/DISAGREEMENTS.md`.
//!
//! Texts come from models and may be anything. Depth, length, steps and sizes of numbers are bounded
//! everywhere, so that an answer comes in milliseconds, always the same, and never a panic.
//!
//! This crate does not know of thoughts, letters of multiple choice, or rewards: that is `reward`.

mod whole;
mod extract;
mod boxed;
mod normalise;
mod units;
mod command;
mod token;
mod expr;
mod parse;
mod matrix;
mod canonical;
mod evaluate;
mod special;
mod region;
mod compare;

use serde::{Deserialize, Serialize};

use expr::Expr;
use extract::Candidate;

pub use whole::is_whole;

/// Bytes of a text's candidates that are read, the one that passes the limit included.
const MAX_READ: usize = 4096;

/// How an answer is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extraction {
    /// In a bare answer or a solution: announced or boxed, else the last formula or number, with or
    /// without LaTeX. Math-Verify's defaults.
    Bare,
    /// In a response to be rewarded: only LaTeX, and only where it is boxed or announced.
    /// Math-Verify's settings for rewards, as in open-r1 and TRL.
    Response,
}

/// An answer found in a text.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer in its normalised spelling.
    pub text: String,
    /// What it was read as, if it could be.
    reading: Option<Reading>,
}

/// What a text was read as.
#[derive(Clone, Debug)]
struct Reading {
    expr: Expr,
    /// What it may mean as well: `3,5` without LaTeX is a list too, `20 N` is also the number alone.
    other: Option<Expr>,
}

/// What made two answers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// The same number.
    Number,
    /// The same expression.
    Expression,
    /// The same relation.
    Relation,
    /// The same set, tuple or interval.
    Collection,
    /// The same matrix.
    Matrix,
    /// The same letters.
    Text,
}

impl Answer {
    /// Whether the answer could be read as mathematics.
    pub fn is_mathematics(&self) -> bool {
        self.reading.is_some()
    }
}

impl Reading {
    /// What a gold answer says. Its unit may be a variable, so it is not left out here.
    fn of_gold(&self) -> impl Iterator<Item = &Expr> {
        let list = self.other.as_ref().filter(|other| matches!(other, Expr::Set(_)));
        std::iter::once(&self.expr).chain(list)
    }

    /// What a prediction may say.
    fn of_prediction(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.expr).chain(&self.other)
    }
}

/// Finds and reads the answer in a text; `None` when nothing in it looks like one.
pub fn read(text: &str, extraction: Extraction) -> Option<Answer> {
    if extraction == Extraction::Bare
        && let Some(answer) = whole::read(text.trim())
    {
        return Some(answer);
    }
    // what the first candidate said, should none be readable
    let mut fallback: Option<String> = None;
    let mut num_bytes = 0;
    let reading = extract::first(text, extraction, |candidate| {
        let (spelling, reading) = match num_bytes {
            0..=MAX_READ => read_candidate(candidate),
            _ => return None,
        };
        num_bytes += spelling.len();
        if fallback.is_none() && !spelling.is_empty() {
            fallback = Some(spelling);
        }
        reading
    });
    match (fallback, reading) {
        (None, None) => None,
        (text, reading) => Some(Answer { text: text.unwrap_or_default(), reading }),
    }
}

/// Compares a prediction with the gold answer; what makes them equal, or `None`.
///
/// The order matters: the gold answer sets the form. `x = 9` answers 9, but 1 does not answer
/// `2x + z = 1`. What could not be read is the same when it is spelled the same.
pub fn compare(gold: Option<&Answer>, prediction: Option<&Answer>) -> Option<Ground> {
    let (gold, prediction) = (gold?, prediction?);
    let found = gold.reading.as_ref().zip(prediction.reading.as_ref()).and_then(|(a, b)| {
        a.of_gold().find_map(|a| b.of_prediction().find_map(|b| same_expressions(a, b)))
    });
    let same = !gold.text.is_empty() && gold.text == prediction.text;
    found.or(same.then_some(Ground::Text))
}

fn same_expressions(gold: &Expr, prediction: &Expr) -> Option<Ground> {
    // a name that the other side does not have was taken off
    let is_chain = |expr: &Expr| matches!(expr, Expr::Chain(_));
    let kept = if is_chain(gold) && !is_chain(prediction) { prediction } else { gold };
    compare::equal(gold, prediction).then(|| ground(kept))
}

fn ground(gold: &Expr) -> Ground {
    match gold {
        Expr::Number(_) | Expr::Percent(_) => Ground::Number,
        Expr::Symbol(_) => Ground::Text,
        Expr::Matrix(_) => Ground::Matrix,
        Expr::Chain(_) => Ground::Relation,
        other if other.is_collection() => Ground::Collection,
        _ => Ground::Expression,
    }
}

/// The spelling of a candidate, and what it is read as.
fn read_candidate(candidate: &Candidate<'_>) -> (String, Option<Reading>) {
    let formulas = match candidate {
        Candidate::Numeral(numeral) => {
            let reading = numeral.read().map(|expr| Reading { expr, other: numeral.list() });
            return (numeral.spelling(), reading);
        }
        Candidate::Formulas(formulas) => formulas,
    };
    let mut spellings = Vec::with_capacity(formulas.len());
    let mut readings = Vec::with_capacity(formulas.len());
    for formula in formulas {
        let content = boxed::unboxed(formula.text, formula.boxes);
        if content.len() > parse::MAX_FORMULA {
            return (String::new(), None);
        }
        let plain = normalise::plain(&content);
        let spelling = units::without_units(&plain);
        let expr = read_formula(&spelling, formula.percent);
        readings.push(expr.map(|expr| Reading { expr, other: with_unit(&plain, &spelling) }));
        spellings.push(if formula.percent { spelling + "%" } else { spelling });
    }
    let spelling = spellings.join(" and ");
    if readings.len() > 1 && readings.iter().all(Option::is_some) {
        let elements = readings.into_iter().flatten().flat_map(|reading| match reading.expr {
            Expr::Set(elements) => elements,
            other => vec![other],
        });
        let expr = Expr::Set(elements.collect());
        return (spelling, Some(Reading { expr, other: None }));
    }
    let first = spellings.into_iter().next().unwrap_or_default();
    (first, readings.into_iter().next().flatten())
}

/// The other reading of what may end in a unit: with the one that was left out, else without the one
/// that is there.
fn with_unit(plain: &str, spelling: &str) -> Option<Expr> {
    if plain != spelling {
        return parse::parse(plain);
    }
    parse::parse(units::quantity(plain).or_else(|| units::unparted(plain))?)
}

fn read_formula(spelling: &str, percent: bool) -> Option<Expr> {
    let expr = thousands(spelling)
        .or_else(|| parse::parse(spelling))
        .or_else(|| parse::parse(last_side(spelling)?))?;
    Some(if percent { Expr::Percent(Box::new(expr)) } else { expr })
}

/// `1,234.5`, which is one number and not two; a space after the comma makes it two.
fn thousands(formula: &str) -> Option<Expr> {
    let digits = formula.strip_prefix('-').unwrap_or(formula);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let mut groups = whole.split(',');
    let first = groups.next()?.len();
    let grouped = (1..=3).contains(&first) && whole.contains(',') && groups.all(|g| g.len() == 3);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',');
    if !grouped || !plain(whole) || !plain(fraction) {
        return None;
    }
    let expr = parse::number(&digits.replace(',', ""))?;
    Some(if digits.len() < formula.len() { expr.negated() } else { expr })
}

/// The last side of a chain of equalities that cannot be read as a whole.
fn last_side(formula: &str) -> Option<&str> {
    if formula.contains([',', ';']) || formula.matches('=').count() < 2 {
        return None;
    }
    let (before, last) = formula.rsplit_once('=')?;
    (!before.ends_with(['\\', '<', '>', '!'])).then_some(last)
}
