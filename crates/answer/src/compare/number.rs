//! Numbers: decimals to six places, percentages with and without their sign.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{Pow, Signed, ToPrimitive, Zero};

use crate::canonical::{Budget, exact};
use crate::evaluate::real;
use crate::expr::Expr;

/// Places to which decimals are compared; below [`SMALL`], places after the zeros.
const PLACES: u32 = 6;

/// One over the size below which decimals are compared by their digits, not by their places.
const SMALL: u32 = 1000;

/// A value that was not computed exactly is zero below this.
const NOTHING: f64 = 1e-12;

/// Compares two expressions of which one is a number; `None` when exactness must decide.
pub(super) fn compare(gold: &Expr, prediction: &Expr, budget: &mut Budget) -> Option<bool> {
    let (a, b) = (gold.as_number(), prediction.as_number());
    if let (Some((a, a_percent)), Some((b, b_percent))) = (&a, &b)
        && a_percent != b_percent
        && same_but_for_sign(&a.value, &b.value)
    {
        return Some(true);
    }
    let is_decimal = |number: &Option<(&crate::expr::Number, bool)>| {
        number.as_ref().is_some_and(|(number, _)| number.decimal)
    };
    if is_decimal(&a) || is_decimal(&b) {
        return Some(close(&measured(gold, budget)?, &measured(prediction, budget)?));
    }
    None
}

/// Whether two numbers are the same, 9 and 9 %: the sign is often part of the question. Below 1 it is
/// rather part of the answer.
fn same_but_for_sign(a: &BigRational, b: &BigRational) -> bool {
    a.abs() >= BigInt::from(1).into() && close(a, b)
}

/// The value, as exactly as it is known.
fn measured(expr: &Expr, budget: &mut Budget) -> Option<BigRational> {
    match exact(expr, budget) {
        Some(value) => Some(value),
        None => {
            let value = real(expr)?;
            BigRational::from_float(if value.abs() < NOTHING { 0.0 } else { value })
        }
    }
}

/// Whether two decimals are the same to six places. Where both are so small that those would be zeros,
/// they are made larger first; zero is only itself.
fn close(a: &BigRational, b: &BigRational) -> bool {
    if a.is_zero() || b.is_zero() {
        return a == b;
    }
    let largest = a.abs().max(b.abs());
    let scale = if &largest * BigInt::from(SMALL) < BigInt::from(1).into() {
        let zeros = largest.denom().bits().saturating_sub(largest.numer().bits()) * 3 / 10;
        BigInt::from(10).pow(zeros)
    } else {
        BigInt::from(1)
    };
    rounded(a, &scale) == rounded(b, &scale)
}

/// A scaled value in millionths, halves to even.
fn rounded(value: &BigRational, scale: &BigInt) -> BigInt {
    let scaled = value * (scale * BigInt::from(10u32.pow(PLACES)));
    let (floor, rest) = scaled.numer().div_mod_floor(scaled.denom());
    let twice = (rest * 2u8).cmp(scaled.denom());
    let up = twice.is_gt() || (twice.is_eq() && floor.is_odd());
    if up { floor + 1 } else { floor }
}

/// A rough value for sorting out what cannot be equal.
pub(super) fn rough(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(number) => number.value.to_f64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    #[test]
    fn decimals() {
        for (a, b, want) in [
            ("0.333333", r"\frac{1}{3}", true),
            ("0.33333", r"\frac{1}{3}", false),
            ("1.6E-19", "1.7E-19", false),
            (r"1.6\times10^{-19}", "0.0", false),
            ("1.6E-19", r"1.6\times10^{-19}", true),
            ("0.000142857", r"\frac{1}{7000}", true),
            ("0.000142", r"\frac{1}{7000}", false),
            ("0.0000004", "0.0", false),
            ("0.0000004", "-0.0000004", false),
            ("0.0", "0", true),
            ("0.0", r"\sin \pi", true),
            ("0.0015", "0.0015000001", true),
            ("9E-300", "9.0E-300", true),
            (r"28\%", "28", true),
            (r"12.5\%", "12.5", true),
            (r"12.5\%", "0.125", true),
            (r"0.5\%", "0.5", false),
        ] {
            let read = |text| parse(text).unwrap_or_else(|| panic!("{text} is a formula"));
            let found = compare(&read(a), &read(b), &mut Budget::new());
            assert_eq!(found, Some(want), "{a} | {b}");
        }
    }
}
