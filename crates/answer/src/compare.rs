//! Whether two answers say the same, by the rules of Math-Verify's grader.
//!
//! The gold answer sets the form: a prediction `x = 9` answers 9, a prediction 9 answers `x = 9`, but
//! 1 does not answer `2x + z = 1`. Where Math-Verify errs, [this page](../DISAGREEMENTS.md) says what
//! we do instead.

mod number;
mod relation;
mod set;

use crate::canonical::{self, Budget, Comparison};
use crate::evaluate::{has_symbols, value};
use crate::expr::{Chain, Expr, Relation};
use crate::matrix;

/// Points at which expressions with variables are compared.
const SAMPLES: u32 = 9;

/// Points at which both expressions must have a value.
const MIN_SAMPLES: usize = 3;

/// Pairs of scalars until a comparison is given up.
const MAX_PAIRS: u32 = 300;

/// Whether a prediction is the gold answer.
pub(crate) fn equal(gold: &Expr, prediction: &Expr) -> bool {
    same_name(gold, prediction)
        || Comparer { pairs: 0, budget: Budget::new() }.equal(gold, prediction)
}

/// Whether two answers are one letter or one word, apart from case: in what is more than that, V and v
/// are two variables.
fn same_name(gold: &Expr, prediction: &Expr) -> bool {
    let (Some(gold), Some(prediction)) = (letters(gold), letters(prediction)) else { return false };
    gold.eq_ignore_ascii_case(&prediction)
        && (gold.len() == 1 || is_word(&gold) || is_word(&prediction))
}

/// Whether letters are rather a word than a product of variables: three or more, all but the first small.
fn is_word(letters: &str) -> bool {
    letters.len() > 2 && letters.bytes().skip(1).all(|byte| byte.is_ascii_lowercase())
}

struct Comparer {
    pairs: u32,
    budget: Budget,
}

impl Comparer {
    fn equal(&mut self, gold: &Expr, prediction: &Expr) -> bool {
        let (gold, prediction) = unwrapped(gold, prediction);
        let (gold, prediction) = (gold.as_ref(), prediction.as_ref());
        if let (Expr::Chain(chain), true) = (gold, prediction.is_collection()) {
            return self.region_of_relation(chain, prediction);
        }
        if gold == prediction {
            let compared = canonical::compare(gold, prediction, &mut self.budget);
            return compared != Err(canonical::Unfit::Undefined);
        }
        match (gold, prediction) {
            (Expr::Chain(gold), Expr::Chain(prediction)) => self.relations(gold, prediction),
            (Expr::Chain(_), _) | (_, Expr::Chain(_)) => false,
            _ if gold.is_collection() || prediction.is_collection() => {
                self.collections(gold, prediction)
            }
            _ => self.single(gold, prediction),
        }
    }

    /// Two answers that are neither relations nor collections.
    fn single(&mut self, gold: &Expr, prediction: &Expr) -> bool {
        match (matrix::rows(gold), matrix::rows(prediction)) {
            (Some(gold), Some(prediction)) => return self.matrices(&gold, &prediction),
            (None, None) => {}
            _ => return false,
        }
        if let Some(same) = names(gold, prediction) {
            return same;
        }
        self.scalars(gold, prediction)
    }

    fn matrices(&mut self, gold: &[Vec<Expr>], prediction: &[Vec<Expr>]) -> bool {
        let shape = |rows: &[Vec<Expr>]| (rows.len(), rows[0].len());
        let mut entries = gold.iter().flatten().zip(prediction.iter().flatten());
        shape(gold) == shape(prediction) && entries.all(|(a, b)| self.scalars(a, b))
    }

    /// Two scalars: numbers by their digits, the rest by form and by value.
    fn scalars(&mut self, gold: &Expr, prediction: &Expr) -> bool {
        self.pairs += 1;
        if self.pairs > MAX_PAIRS {
            return false;
        }
        if let Some(same) = number::compare(gold, prediction, &mut self.budget) {
            return same;
        }
        match canonical::compare(gold, prediction, &mut self.budget) {
            Ok(Comparison::Same) => true,
            Ok(Comparison::Different)
            | Err(canonical::Unfit::Undefined | canonical::Unfit::NotScalar) => false,
            Ok(Comparison::Unknown) | Err(canonical::Unfit::TooLarge) => sampled(gold, prediction),
        }
    }
}

/// Whether two expressions have the same value wherever they have one.
fn sampled(gold: &Expr, prediction: &Expr) -> bool {
    let samples = if has_symbols(gold) || has_symbols(prediction) { SAMPLES } else { 1 };
    let mut met = 0;
    for sample in 0..samples {
        let (Some(a), Some(b)) = (value(gold, sample), value(prediction, sample)) else {
            continue;
        };
        if !a.agrees(&b) {
            return false;
        }
        met += 1;
    }
    met >= MIN_SAMPLES.min(samples as usize)
}

/// Gold and prediction with the names taken off that the other does not have.
fn unwrapped<'a>(
    gold: &'a Expr,
    prediction: &'a Expr,
) -> (std::borrow::Cow<'a, Expr>, std::borrow::Cow<'a, Expr>) {
    use std::borrow::Cow;
    let is_equation = |expr: &Expr| matches!(expr, Expr::Chain(chain) if chain.is_equation());
    let is_assignment = |expr: &Expr| matches!(expr, Expr::Chain(chain) if is_assignment(chain));
    let last = |expr: &'a Expr| match expr {
        Expr::Chain(chain) => Cow::Borrowed(chain.last()),
        _ => Cow::Borrowed(expr),
    };
    if is_equation(prediction) && !is_equation(gold) {
        (Cow::Borrowed(gold), last(prediction))
    } else if is_assignment(gold) && !is_equation(prediction) {
        (last(gold), Cow::Borrowed(prediction))
    } else {
        (shortened(gold), shortened(prediction))
    }
}

/// `x = 5 + 1 = 6` as `x = 6`.
fn shortened(expr: &Expr) -> std::borrow::Cow<'_, Expr> {
    match expr {
        Expr::Chain(chain) if chain.rest.len() > 1 && is_assignment(chain) => {
            let rest = vec![(Relation::Equal, chain.last().clone())];
            let first = chain.first.clone();
            std::borrow::Cow::Owned(Expr::Chain(Box::new(Chain { first, rest })))
        }
        _ => std::borrow::Cow::Borrowed(expr),
    }
}

/// Whether a chain of equalities begins with a mere name.
fn is_assignment(chain: &Chain) -> bool {
    chain.is_equation() && chain.first.is_only_symbols()
}

/// Compares names letter by letter: `\text{even}` is `even`, read as a product. `None` when these are
/// not names.
fn names(gold: &Expr, prediction: &Expr) -> Option<bool> {
    let is_symbol = |expr: &Expr| matches!(expr, Expr::Symbol(_));
    if !is_symbol(gold) && !is_symbol(prediction) {
        return None;
    }
    // words are in lower case, products as written
    let spelled = |expr: &Expr| match expr {
        Expr::Mul(factors) => {
            let name: Option<String> = factors.iter().map(Expr::letter).collect();
            name.map(|name| name.to_lowercase())
        }
        _ => expr.letter().map(str::to_owned),
    };
    Some(spelled(gold)? == spelled(prediction)?)
}

/// The letters of a product of nothing but letters, or the only one.
fn letters(expr: &Expr) -> Option<String> {
    let letter = |expr: &Expr| expr.letter().filter(|name| name.len() == 1).map(str::to_owned);
    match expr {
        Expr::Mul(factors) => factors.iter().map(letter).collect(),
        _ => letter(expr),
    }
}
