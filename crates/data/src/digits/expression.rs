//! Expressions of digits and operators, their value, and the words that go with them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Thought;

/// An operator between two digits. In text it is written `+`, `-` or `×`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The sum.
    #[serde(rename = "+")]
    Plus,
    /// The difference.
    #[serde(rename = "-", alias = "−")]
    Minus,
    /// The product, which binds tighter than the others.
    #[serde(rename = "×", alias = "*", alias = "x")]
    Times,
}

impl Operator {
    fn apply(self, left: i64, right: i64) -> i64 {
        match self {
            Self::Plus => left + right,
            Self::Minus => left - right,
            Self::Times => left * right,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "×",
        })
    }
}

/// Numbers with an operator between each two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    pub(crate) numbers: Vec<i64>,
    pub(crate) operators: Vec<Operator>,
}

impl Expression {
    /// The value, products first.
    pub(crate) fn value(&self) -> i64 {
        let mut rest = self.clone();
        while rest.reduce() {}
        rest.numbers[0]
    }

    /// The chain of thought: what is seen, then what it comes to.
    pub(crate) fn thought(&self, style: Thought) -> String {
        match style {
            Thought::Named if self.operators.is_empty() => self.seen(),
            Thought::Named => {
                let operators = list(&self.operators);
                let are = if self.operators.len() == 1 { "operator is" } else { "operators are" };
                format!("{}, the {are} {operators}. {}", self.seen(), self.equation())
            }
            Thought::Equation => self.equation(),
            Thought::Compact => self.equation().replace(' ', ""),
        }
    }

    /// The digits alone: what there is to say about which of them are there.
    pub(crate) fn seen(&self) -> String {
        let digits = list(&self.numbers);
        match self.numbers.len() {
            1 => format!("The digit is {digits}"),
            _ => format!("The digits are {digits}"),
        }
    }

    /// `3 + 4 × 2 = 3 + 8 = 11`.
    fn equation(&self) -> String {
        let mut rest = self.clone();
        let mut text = rest.to_string();
        while rest.reduce() {
            text.push_str(&format!(" = {rest}"));
        }
        text
    }

    /// Works out the next operator, the leftmost product before the leftmost other; false when none is left.
    fn reduce(&mut self) -> bool {
        if self.operators.is_empty() {
            return false;
        }
        let at = self.operators.iter().position(|&o| o == Operator::Times).unwrap_or(0);
        let right = self.numbers.remove(at + 1);
        self.numbers[at] = self.operators.remove(at).apply(self.numbers[at], right);
        true
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.numbers[0])?;
        self.operators.iter().zip(&self.numbers[1..]).try_for_each(|(o, n)| write!(f, " {o} {n}"))
    }
}

/// What an assistant says: the thought, then the answer in a box.
pub(crate) fn reply(thought: &str, answer: &str) -> String {
    format!("<think>\n{thought}\n</think>\n\n\\boxed{{{answer}}}")
}

/// `3, 4 and 2`.
fn list(items: &[impl ToString]) -> String {
    let words: Vec<_> = items.iter().map(ToString::to_string).collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operator::{Minus, Plus, Times};

    #[test]
    fn thoughts_and_values() {
        let cases: [(&[i64], &[Operator], i64, &str); 5] = [
            (&[3, 4], &[Plus], 7, "3 + 4 = 7"),
            (&[3, 7], &[Minus], -4, "3 - 7 = -4"),
            (&[3, 4, 2], &[Plus, Times], 11, "3 + 4 × 2 = 3 + 8 = 11"),
            (&[9, 4, 2], &[Minus, Minus], 3, "9 - 4 - 2 = 5 - 2 = 3"),
            (&[2, 3, 4], &[Times, Times], 24, "2 × 3 × 4 = 6 × 4 = 24"),
        ];
        for (numbers, operators, value, equation) in cases {
            let expression =
                Expression { numbers: numbers.to_vec(), operators: operators.to_vec() };
            assert_eq!(expression.value(), value, "{equation}");
            assert_eq!(expression.thought(Thought::Equation), equation);
        }
    }

    #[test]
    fn thoughts_name_what_is_seen() {
        let two = Expression { numbers: vec![3, 4], operators: vec![Plus] };
        assert_eq!(
            two.thought(Thought::Named),
            "The digits are 3 and 4, the operator is +. 3 + 4 = 7"
        );
        assert_eq!(two.thought(Thought::Compact), "3+4=7");
        let three = Expression { numbers: vec![3, 4, 2], operators: vec![Plus, Minus] };
        let words = "The digits are 3, 4 and 2, the operators are + and -. 3 + 4 - 2 = 7 - 2 = 5";
        assert_eq!(three.thought(Thought::Named), words);
    }
}
