//! The tree that an answer is read into: as written, nothing evaluated.

use num_rational::BigRational;
use num_traits::{One, Signed};

/// An answer, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// A number as written.
    Number(Number),
    /// So many hundredths.
    Percent(Box<Expr>),
    /// A variable, a name or a word; what has several letters is in lower case, Greek apart.
    Symbol(String),
    /// A number with a name.
    Constant(Constant),
    /// A sum.
    Add(Vec<Expr>),
    /// A product, factors in the order in which they were written.
    Mul(Vec<Expr>),
    /// Base and exponent.
    Pow(Box<Expr>, Box<Expr>),
    /// A function and its arguments.
    Call(Function, Vec<Expr>),
    /// Rows of equal length.
    Matrix(Vec<Vec<Expr>>),
    /// An unordered collection.
    Set(Vec<Expr>),
    /// An ordered collection.
    Tuple(Vec<Expr>),
    /// An interval of the real line.
    Interval(Box<Interval>),
    /// Two sets combined.
    SetOperation(SetOperator, Box<(Expr, Expr)>),
    /// ℕ, ℤ, ℚ, ℝ or ℂ.
    NumberSet(NumberSet),
    /// Expressions with relations between them: `1 < x ≤ 2`.
    Chain(Box<Chain>),
}

/// A number, and whether it was written with a decimal point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    /// The exact value of what was written.
    pub(crate) value: BigRational,
    /// Written with a decimal point, and so compared to six decimals.
    pub(crate) decimal: bool,
}

/// Numbers with names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Constant {
    Pi,
    E,
    I,
    Infinity,
}

/// Functions of one or more arguments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Function {
    Sin,
    Cos,
    Tan,
    Csc,
    Sec,
    Cot,
    Asin,
    Acos,
    Atan,
    Acsc,
    Asec,
    Acot,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    /// Argument and base.
    Log,
    Abs,
    Floor,
    Ceiling,
    Factorial,
    /// n and k.
    Binomial,
    Gcd,
    Lcm,
    Max,
    Min,
    /// Dividend and divisor.
    Modulo,
    /// Body, index, first and last.
    Sum,
    /// Body, index, first and last.
    Product,
    /// A function that only has a name.
    Named(String),
}

/// An interval with its ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Interval {
    /// The lower end.
    pub(crate) low: Expr,
    /// The upper end.
    pub(crate) high: Expr,
    /// Whether the lower end is left out.
    pub(crate) low_open: bool,
    /// Whether the upper end is left out.
    pub(crate) high_open: bool,
}

/// What combines two sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SetOperator {
    Union,
    Intersection,
    Difference,
}

/// Sets of numbers that have a letter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum NumberSet {
    Naturals,
    Integers,
    Rationals,
    Reals,
    Complexes,
}

/// Expressions and what stands between them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chain {
    /// The leftmost.
    pub(crate) first: Expr,
    /// Each further one with the relation before it; never empty.
    pub(crate) rest: Vec<(Relation, Expr)>,
}

/// What may stand between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Relation {
    /// The relation with its sides exchanged.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }
}

impl Chain {
    /// Whether every relation is an equality.
    pub(crate) fn is_equation(&self) -> bool {
        self.rest.iter().all(|(relation, _)| *relation == Relation::Equal)
    }

    /// The rightmost expression.
    pub(crate) fn last(&self) -> &Expr {
        self.rest.last().map_or(&self.first, |(_, expr)| expr)
    }

    /// Neighbours with their relation.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&Expr, Relation, &Expr)> {
        let left = std::iter::once(&self.first).chain(self.rest.iter().map(|(_, expr)| expr));
        left.zip(&self.rest).map(|(left, (relation, right))| (left, *relation, right))
    }
}

impl Expr {
    /// A whole number.
    pub(crate) fn integer(value: i64) -> Self {
        Self::exact(BigRational::from_integer(value.into()))
    }

    /// A fraction.
    pub(crate) fn exact(value: BigRational) -> Self {
        Self::Number(Number { value, decimal: false })
    }

    /// The empty set.
    pub(crate) fn empty() -> Self {
        Self::Set(Vec::new())
    }

    /// The expression with its sign changed; a number stays a number.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Number(Number { value, decimal }) => {
                Self::Number(Number { value: -value, decimal })
            }
            other => Self::product(vec![Self::integer(-1), other]),
        }
    }

    /// One over the expression.
    pub(crate) fn inverse(self) -> Self {
        Self::Pow(Box::new(self), Box::new(Self::integer(-1)))
    }

    /// One expression over another; two whole numbers become a fraction.
    pub(crate) fn quotient(self, divisor: Self) -> Self {
        match (self.as_integer(), divisor.as_integer()) {
            (Some(above), Some(below)) if *below.numer() != 0.into() => Self::exact(above / below),
            _ => Self::product(vec![self, divisor.inverse()]),
        }
    }

    /// A sum; sums in it are taken apart.
    pub(crate) fn sum(terms: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(terms.len());
        for term in terms {
            match term {
                Self::Add(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            1 => flat.remove(0),
            _ => Self::Add(flat),
        }
    }

    /// A product; products in it are taken apart.
    pub(crate) fn product(factors: Vec<Self>) -> Self {
        let mut flat = Vec::with_capacity(factors.len());
        for factor in factors {
            match factor {
                Self::Mul(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            1 => flat.remove(0),
            _ => Self::Mul(flat),
        }
    }

    /// The difference of two expressions.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self::sum(vec![self, other.negated()])
    }

    /// The value of a whole number written without a point.
    pub(crate) fn as_integer(&self) -> Option<&BigRational> {
        match self {
            Self::Number(Number { value, decimal: false }) if value.is_integer() => Some(value),
            _ => None,
        }
    }

    /// The number, where the expression is one, with or without a percent sign.
    pub(crate) fn as_number(&self) -> Option<(&Number, bool)> {
        match self {
            Self::Number(number) => Some((number, false)),
            Self::Percent(inner) => inner.as_number().map(|(number, _)| (number, true)),
            _ => None,
        }
    }

    /// Whether a relation may have this on its left as a mere name: `x`, `AB`, `A:B`, `|z|`, `(p, q)`.
    pub(crate) fn is_only_symbols(&self) -> bool {
        let all = |parts: &[Self]| !parts.is_empty() && parts.iter().all(Self::is_only_symbols);
        match self {
            Self::Symbol(_) => true,
            // `AI` is a segment, `i` alone a number
            Self::Mul(parts) => {
                parts.iter().all(|part| part.is_only_symbols() || part.letter().is_some())
            }
            Self::Pow(base, exponent) => {
                let inverse = exponent.as_integer().is_some_and(|value| (-value).is_one());
                base.is_only_symbols() && (inverse || exponent.is_only_symbols())
            }
            Self::Add(parts) | Self::Tuple(parts) | Self::Set(parts) | Self::Call(_, parts) => {
                all(parts)
            }
            Self::Interval(interval) => {
                interval.low.is_only_symbols() && interval.high.is_only_symbols()
            }
            _ => false,
        }
    }

    /// The letters of a name: a symbol, or a constant that is written as a letter.
    pub(crate) fn letter(&self) -> Option<&str> {
        match self {
            Self::Symbol(name) => Some(name),
            Self::Constant(Constant::E) => Some("e"),
            Self::Constant(Constant::I) => Some("i"),
            _ => None,
        }
    }

    /// Whether the expression is a set or an ordered collection.
    pub(crate) fn is_collection(&self) -> bool {
        matches!(
            self,
            Self::Set(_)
                | Self::Tuple(_)
                | Self::Interval(_)
                | Self::SetOperation(..)
                | Self::NumberSet(_)
        )
    }

    /// Whether the expression is a number above zero.
    pub(crate) fn is_positive_number(&self) -> bool {
        matches!(self, Self::Number(number) if number.value.is_positive())
    }

    /// Adds the variables in the expression, and calls of functions that only have a name.
    pub(crate) fn unknowns<'e>(&'e self, found: &mut Vec<&'e Self>) {
        match self {
            Self::Symbol(_) | Self::Call(Function::Named(_), _) => found.push(self),
            Self::Percent(inner) => inner.unknowns(found),
            Self::Call(Function::Sum | Function::Product, parts) => {
                let mut inner = Vec::new();
                parts.iter().for_each(|part| part.unknowns(&mut inner));
                // the index is known inside
                found.extend(inner.into_iter().filter(|unknown| parts.get(1) != Some(unknown)));
            }
            Self::Add(parts) | Self::Mul(parts) | Self::Call(_, parts) => {
                parts.iter().for_each(|part| part.unknowns(found));
            }
            Self::Pow(base, exponent) => {
                base.unknowns(found);
                exponent.unknowns(found);
            }
            _ => {}
        }
    }
}
