//! What is compared by rule once an answer is extracted (`dataset/utils/mathvista.py`, `dataset/utils/mathv.py`).

use reward::verify;

use super::matching::{Harness, Inferred, can_infer};
use crate::score::share;

/// Numbers that differ by less are the same to MATH-Vision.
const NEAR: f64 = 1e-6;

/// How an extracted answer is compared, and with what.
#[derive(Clone, Debug, PartialEq)]
pub enum Compared {
    /// MathVista: an option.
    VistaOption {
        /// The options' texts.
        options: Vec<String>,
        /// The place of the right one.
        answer: usize,
    },
    /// MathVista: a whole number, as Python reads one.
    Integer(String),
    /// MathVista: a decimal number, as Python reads one; not rounded.
    Float(String),
    /// MathVista: a text or a list, of which the kit compares a variable that it never set.
    Never,
    /// MATH-Vision: an option.
    VisionOption {
        /// The options' texts.
        options: Vec<String>,
        /// The place of the right one.
        answer: usize,
    },
    /// MATH-Vision: an expression.
    Expression(String),
}

impl Compared {
    /// Whether the words for the model are those of MathVista.
    pub(super) fn is_mathvista(&self) -> bool {
        !matches!(self, Self::VisionOption { .. } | Self::Expression(_))
    }

    /// The score of an answer that needs no extraction: an option that is inferred, or a number that is the known
    /// one and not zero, which the kit takes for none.
    pub(super) fn prefetch(&self, answer: &str) -> Option<f64> {
        match self {
            Self::VistaOption { options, answer: right }
            | Self::VisionOption { options, answer: right } => {
                let found = can_infer(answer, options, Harness::Upstream)?;
                Some(share(found == Inferred::Option(*right)))
            }
            Self::Integer(_) if integer(answer) == Some(0) => None,
            Self::Float(_) if float(answer) == Some(0.0) => None,
            _ => (self.is_right(answer) && !answer.is_empty()).then_some(1.0),
        }
    }

    /// Whether an extracted answer is the known one.
    pub(super) fn is_right(&self, said: &str) -> bool {
        match self {
            Self::VistaOption { options, answer } | Self::VisionOption { options, answer } => {
                can_infer(said, options, Harness::Upstream) == Some(Inferred::Option(*answer))
            }
            Self::Integer(gold) => integer(said).is_some_and(|said| integer(gold) == Some(said)),
            Self::Float(gold) => float(said).is_some_and(|said| float(gold) == Some(said)),
            Self::Never => false,
            Self::Expression(gold) => equal(said, gold),
        }
    }
}

/// Python's `int` of a text.
fn integer(text: &str) -> Option<i128> {
    parsed(text)?.parse().ok()
}

/// Python's `float` of a text.
fn float(text: &str) -> Option<f64> {
    parsed(text)?.parse().ok()
}

/// A numeral without the spaces around it, and without underscores, which have to stand between digits.
fn parsed(text: &str) -> Option<String> {
    let text = text.trim();
    let parts = text.split('_');
    let touch = |part: &str| {
        let (start, end) = (part.chars().next(), part.chars().next_back());
        [start, end].iter().all(|c| c.is_some_and(|c| c.is_ascii_digit()))
    };
    let bare = text.trim_start_matches(['+', '-']);
    let is_whole = !text.contains('_') || bare.split('_').all(touch);
    is_whole.then(|| parts.collect())
}

/// `is_equal` of MATH-Vision: the same text apart from letter case, or the same value. The kit's values come of
/// Python's `eval` and of SymPy; ours of the verifier that rewards.
pub(crate) fn equal(said: &str, gold: &str) -> bool {
    let (said, gold) = (said.trim().to_lowercase(), gold.trim().to_lowercase());
    if said == gold {
        return true;
    }
    let near = |a: f64, b: f64| (a - b).abs() < NEAR;
    if float(&said).zip(float(&gold)).is_some_and(|(a, b)| near(a, b)) {
        return true;
    }
    // A unit or a sentence is a product of letters to the kit, and no number.
    (num_letters(&said) == 0 || num_letters(&gold) > 0)
        && verify(&format!("${gold}$"), &format!("<think></think>\\boxed{{{said}}}")).equivalent
}

/// Letters outside commands, the constants e and i aside.
fn num_letters(text: &str) -> usize {
    let mut num = 0;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphabetic() || c == '\\') {
        let is_command = rest[start..].starts_with('\\');
        let word = &rest[start + usize::from(is_command)..];
        let end = word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len());
        if !is_command && !["e", "i"].contains(&&word[..end]) {
            num += word[..end].chars().count();
        }
        rest = &word[end..];
    }
    num
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_python_reads_them() {
        let cases =
            [("14", Some(14)), (" +1_4\n", Some(14)), ("14.0", None), ("1__4", None), ("", None)];
        for (text, expected) in cases {
            assert_eq!(integer(text), expected, "{text:?}");
        }
        assert_eq!((float("1e3"), float(".5"), float("1,000")), (Some(1000.0), Some(0.5), None));
    }

    #[test]
    fn what_needs_no_model() {
        let integer = Compared::Integer("14".to_owned());
        assert_eq!((integer.prefetch("14"), integer.prefetch("15")), (Some(1.0), None));
        assert_eq!(Compared::Integer("0".to_owned()).prefetch("0"), None);
        assert!(Compared::Integer("0".to_owned()).is_right("0"));
        let float = Compared::Float("0.6".to_owned());
        assert_eq!((float.prefetch("0.60"), float.prefetch("0.62")), (Some(1.0), None));
        assert!(!Compared::Never.is_right("[1, 2]"));
    }

    #[test]
    fn values_by_hand() {
        let cases = [
            ("7", "7.0", true),
            ("1/2", "0.5", true),
            (r"\frac{3}{2}", "1.5", true),
            ("left", "LEFT", true),
            ("7.00001", "7", false),
            ("the answer is 7", "7", false),
            ("7 cm", "7", false),
        ];
        for (said, gold, expected) in cases {
            assert_eq!(equal(said, gold), expected, "{said} {gold}");
        }
    }
}
