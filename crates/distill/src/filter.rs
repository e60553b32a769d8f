//! Filters over rows: `penalty<=1.1`, `outcome=kept`.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::Error;
use crate::table::{NUMBERS, NumberOf, Row, WORDS, WordsOf};

/// One condition on a column. A row without a value in it is not let through.
#[derive(Clone, Debug)]
pub struct Filter {
    column: Column,
    operator: Operator,
}

#[derive(Clone, Debug)]
enum Column {
    Number(NumberOf, f64),
    Words(WordsOf, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// Longer signs first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("=", Operator::Equal),
    ("<", Operator::Below),
    (">", Operator::Above),
];

impl Filter {
    /// Whether a row meets the condition.
    pub fn lets(&self, row: &Row) -> bool {
        let order = match &self.column {
            Column::Number(of, value) => of(row).and_then(|found| found.partial_cmp(value)),
            Column::Words(of, value) => of(row).map(|found| found.cmp(value)),
        };
        order.is_some_and(|order| match self.operator {
            Operator::Equal => order == Ordering::Equal,
            Operator::Unequal => order != Ordering::Equal,
            Operator::Below => order == Ordering::Less,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Above => order == Ordering::Greater,
            Operator::AtLeast => order != Ordering::Less,
        })
    }
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let at = text.find(['!', '<', '>', '=']);
        let split = at.and_then(|at| {
            let (name, rest) = text.split_at(at);
            let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
            Some((name.trim(), found.1, rest[found.0.len()..].trim()))
        });
        split.and_then(|(name, operator, value)| condition(name, operator, value)).ok_or_else(
            || {
                let names =
                    NUMBERS.iter().map(|(name, _)| *name).chain(WORDS.iter().map(|(n, _)| *n));
                let columns = names.collect::<Vec<_>>().join(", ");
                Error::Filter { text: text.to_owned(), columns }
            },
        )
    }
}

fn condition(name: &str, operator: Operator, value: &str) -> Option<Filter> {
    let number = NUMBERS.iter().find(|(column, _)| *column == name);
    let words = WORDS.iter().find(|(column, _)| *column == name);
    let column = match (number, words) {
        (Some((_, of)), _) => Column::Number(*of, value.parse().ok()?),
        (None, Some((_, of))) => Column::Words(*of, value.to_owned()),
        (None, None) => return None,
    };
    Some(Filter { column, operator })
}
