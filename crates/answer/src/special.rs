//! Functions of one number by their names, and those that the numeric crates do not have.

use num_complex::Complex64;
use num_integer::Integer;

use crate::evaluate::Value;
use crate::expr::Function;

/// Functions of one number that have a derivative, on the real line where they are real there.
pub(crate) fn elementary(function: &Function, z: Complex64) -> Option<Complex64> {
    if z.im == 0.0
        && let Some(value) = real_elementary(function, z.re)
    {
        return Some(value.into());
    }
    complex_elementary(function, z)
}

fn real_elementary(function: &Function, x: f64) -> Option<f64> {
    let value = match function {
        Function::Sin => x.sin(),
        Function::Cos => x.cos(),
        Function::Tan => x.tan(),
        Function::Csc => 1.0 / x.sin(),
        Function::Sec => 1.0 / x.cos(),
        Function::Cot => 1.0 / x.tan(),
        Function::Asin => x.asin(),
        Function::Acos => x.acos(),
        Function::Atan => x.atan(),
        Function::Acot => (1.0 / x).atan(),
        Function::Sinh => x.sinh(),
        Function::Cosh => x.cosh(),
        Function::Tanh => x.tanh(),
        Function::Asinh => x.asinh(),
        Function::Acosh => x.acosh(),
        Function::Atanh => x.atanh(),
        _ => return None,
    };
    value.is_finite().then_some(value)
}

fn complex_elementary(function: &Function, z: Complex64) -> Option<Complex64> {
    let one = Complex64::new(1.0, 0.0);
    Some(match function {
        Function::Sin => z.sin(),
        Function::Cos => z.cos(),
        Function::Tan => z.tan(),
        Function::Csc => one / z.sin(),
        Function::Sec => one / z.cos(),
        Function::Cot => one / z.tan(),
        Function::Asin => z.asin(),
        Function::Acos => z.acos(),
        Function::Atan => z.atan(),
        Function::Acsc => (one / z).asin(),
        Function::Asec => (one / z).acos(),
        Function::Acot => (one / z).atan(),
        Function::Sinh => z.sinh(),
        Function::Cosh => z.cosh(),
        Function::Tanh => z.tanh(),
        Function::Asinh => z.asinh(),
        Function::Acosh => z.acosh(),
        Function::Atanh => z.atanh(),
        _ => return None,
    })
}

/// The gamma function by Lanczos's approximation, to about thirteen digits.
pub(crate) fn gamma(z: Complex64) -> Option<Complex64> {
    const G: f64 = 7.0;
    const COEFFICIENTS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    use std::f64::consts::PI;
    if z.norm() > 170.0 {
        return None;
    }
    if z.re < 0.5 {
        return Some(PI / ((PI * z).sin() * gamma(1.0 - z)?));
    }
    let z = z - 1.0;
    let mut sum = Complex64::new(COEFFICIENTS[0], 0.0);
    for (place, coefficient) in COEFFICIENTS.iter().enumerate().skip(1) {
        sum += coefficient / (z + place as f64);
    }
    let t = z + G + 0.5;
    Some((2.0 * PI).sqrt() * t.powc(z + 0.5) * (-t).exp() * sum)
}

/// The functions that map reals to whole numbers.
pub(crate) fn integer_function(function: &Function) -> Option<fn(f64) -> f64> {
    match function {
        Function::Floor => Some(f64::floor),
        Function::Ceiling => Some(f64::ceil),
        _ => None,
    }
}

/// Greatest common divisor or least common multiple of whole numbers.
pub(crate) fn divisors(function: &Function, numbers: &[f64]) -> Option<Value> {
    let whole =
        |number: &f64| (number.fract() == 0.0 && number.abs() < 1e9).then_some(number.abs() as i64);
    let mut numbers = numbers.iter().map(whole).collect::<Option<Vec<i64>>>()?.into_iter();
    let first = numbers.next()?;
    let total = numbers.try_fold(first, |total, number| match function {
        Function::Gcd => Some(total.gcd(&number)),
        _ => total.checked_mul(number / total.gcd(&number).max(1)),
    })?;
    Some(Value { number: (total as f64).into(), error: 0.0 })
}
