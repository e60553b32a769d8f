//! Numbers: decimals to six places, percentages with and without their sign.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::canonical::{Budget, exact};
use crate::evaluate::real;
use crate::expr::Expr;

/// Places to which decimals are compared.
const PLACES: u32 = 6;

/// Compares two expressions of which one is a number; `None` when exactness must decide.
pub(super) fn compare(gold: &Expr, prediction: &Expr, budget: &mut Budget) -> Option<bool> {
    let (a, b) = (gold.as_number(), prediction.as_number());
    let is_decimal = |number: &Option<(&crate::expr::Number, bool)>| {
        number.as_ref().is_some_and(|(number, _)| number.decimal)
    };
    if is_decimal(&a) || is_decimal(&b) {
        let rounded = (rounded(gold, budget), rounded(prediction, budget));
        return match rounded {
            (Some(a), Some(b)) => Some(a == b),
            _ => None,
        };
    }
    // 9 and 9 %: the sign is often part of the question
    let ((a, a_percent), (b, b_percent)) = (a?, b?);
    let whole = a.value.is_integer() && b.value.is_integer();
    (whole && (a_percent || b_percent)).then(|| a.value == b.value)
}

/// The value in millionths, halves to even.
fn rounded(expr: &Expr, budget: &mut Budget) -> Option<BigInt> {
    let scale = BigRational::from_integer(BigInt::from(10u32.pow(PLACES)));
    let value = match exact(expr, budget) {
        Some(value) => value,
        None => BigRational::from_float(real(expr)?)?,
    };
    let scaled = value * scale;
    let (floor, rest) = scaled.numer().div_mod_floor(scaled.denom());
    let twice = (rest * 2u8).cmp(scaled.denom());
    let up = twice.is_gt() || (twice.is_eq() && floor.is_odd());
    Some(if up { floor + 1 } else { floor })
}

/// A rough value for sorting out what cannot be equal.
pub(super) fn rough(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Number(number) => number.value.to_f64(),
        _ => None,
    }
}
