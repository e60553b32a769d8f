//! An expression as a complex number, with a bound on the error of its rounding.
//!
//! Variables take fixed values drawn from their names and the number of the sample: no clock, no
//! random source, the same on every machine.

use num_complex::Complex64;
use num_rational::BigRational;
use num_traits::ToPrimitive;

use crate::expr::{Constant, Expr, Function};
use crate::special::{elementary, gamma, integer_function};

/// Most terms of a sum or a product that are added up.
const MAX_TERMS: i64 = 500;

/// Steps until an evaluation is given up.
const MAX_STEPS: u32 = 20_000;

/// A number and how far it may be from the true one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    /// The number.
    pub(crate) number: Complex64,
    /// Bound on the absolute error.
    pub(crate) error: f64,
}

impl Value {
    fn exact(number: f64) -> Self {
        Self { number: Complex64::new(number, 0.0), error: 0.0 }
    }

    fn rounded(number: Complex64, error: f64) -> Self {
        Self { number, error: error + 2.0 * f64::EPSILON * number.norm() }
    }

    /// Whether the number is one, and known to nine digits.
    fn is_sound(&self) -> bool {
        self.number.is_finite() && self.error <= 1e-9 * self.number.norm().max(1e-3)
    }

    /// Whether two numbers are the same within their errors.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let scale = self.number.norm().max(other.number.norm());
        (self.number - other.number).norm() <= 8.0 * (self.error + other.error) + 1e-13 * scale
    }
}

/// The value at one sample point; `None` where there is none that can be trusted.
pub(crate) fn value(expr: &Expr, sample: u32) -> Option<Value> {
    let mut evaluation = Evaluation { sample, bound: Vec::new(), steps: 0 };
    evaluation.value(expr).filter(Value::is_sound)
}

/// The value of an expression without variables, where it is real; ±∞ included.
pub(crate) fn real(expr: &Expr) -> Option<f64> {
    if let Some(infinite) = infinite(expr) {
        return Some(infinite);
    }
    if has_symbols(expr) {
        return None;
    }
    let value = value(expr, 0)?;
    let is_real = value.number.im.abs() <= 8.0 * value.error + f64::EPSILON;
    is_real.then_some(value.number.re)
}

/// The value of an expression in which one symbol, or function, has this value.
pub(crate) fn value_with(expr: &Expr, unknown: &str, at: f64) -> Option<f64> {
    let bound = vec![(unknown.to_owned(), at)];
    let mut evaluation = Evaluation { sample: 0, bound, steps: 0 };
    let value = evaluation.value(expr).filter(Value::is_sound)?;
    (value.number.im.abs() <= 8.0 * value.error + f64::EPSILON).then_some(value.number.re)
}

fn infinite(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Constant(Constant::Infinity) => Some(f64::INFINITY),
        Expr::Mul(factors) => match factors.as_slice() {
            [factor, Expr::Constant(Constant::Infinity)] => {
                real(factor).map(|sign| sign * f64::INFINITY)
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether an expression holds variables or functions that only have a name.
pub(crate) fn has_symbols(expr: &Expr) -> bool {
    let mut unknowns = Vec::new();
    expr.unknowns(&mut unknowns);
    !unknowns.is_empty()
}

struct Evaluation {
    sample: u32,
    /// Indices of sums and unknowns of relations, innermost last.
    bound: Vec<(String, f64)>,
    steps: u32,
}

impl Evaluation {
    fn value(&mut self, expr: &Expr) -> Option<Value> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        match expr {
            Expr::Number(number) => Some(from_rational(&number.value)),
            Expr::Percent(inner) => {
                let inner = self.value(inner)?;
                Some(Value::rounded(inner.number / 100.0, inner.error / 100.0))
            }
            // an index may be called i
            Expr::Constant(Constant::I) if self.bound.iter().any(|(name, _)| name == "i") => {
                Some(self.symbol("i"))
            }
            Expr::Constant(constant) => constant_value(*constant),
            Expr::Symbol(name) => Some(self.symbol(name)),
            Expr::Add(terms) => {
                let mut sum = Value::exact(0.0);
                for term in terms {
                    let term = self.value(term)?;
                    sum = Value::rounded(sum.number + term.number, sum.error + term.error);
                    sum.error += f64::EPSILON * term.number.norm();
                }
                Some(sum)
            }
            Expr::Mul(factors) => {
                let mut product = Value::exact(1.0);
                for factor in factors {
                    product = times(product, self.value(factor)?);
                }
                Some(product)
            }
            Expr::Pow(base, exponent) => {
                let (base, exponent) = (self.value(base)?, self.value(exponent)?);
                power(base, exponent)
            }
            Expr::Call(function, arguments) => self.call(function, arguments),
            _ => None,
        }
    }

    fn symbol(&self, name: &str) -> Value {
        let bound = self.bound.iter().rev().find(|(bound, _)| bound == name);
        Value::exact(bound.map_or_else(|| point(name, self.sample), |(_, value)| *value))
    }

    fn call(&mut self, function: &Function, arguments: &[Expr]) -> Option<Value> {
        match function {
            Function::Sum | Function::Product => return self.repeated(function, arguments),
            Function::Named(name) => return self.named(name, arguments),
            _ => {}
        }
        let values: Vec<Value> =
            arguments.iter().map(|argument| self.value(argument)).collect::<Option<_>>()?;
        match (function, values.as_slice()) {
            (Function::Log, [argument, base]) => {
                let log = |value: &Value| mapped(*value, |z| Some(z.ln()));
                let (above, below) = (log(argument)?, log(base)?);
                Some(times(above, power(below, Value::exact(-1.0))?))
            }
            (Function::Binomial, [n, k]) => {
                let difference = Value::rounded(n.number - k.number, n.error + k.error);
                let below = times(factorial(*k)?, factorial(difference)?);
                Some(times(factorial(*n)?, power(below, Value::exact(-1.0))?))
            }
            (Function::Factorial, [argument]) => factorial(*argument),
            (Function::Abs, [argument]) => {
                Some(Value::rounded(argument.number.norm().into(), argument.error))
            }
            (_, [argument]) => match integer_function(function) {
                Some(step) => stepped(*argument, step),
                None => mapped(*argument, |z| elementary(function, z)),
            },
            _ => several(function, &values),
        }
    }

    /// An unknown function: some smooth function of its own, the same wherever it is met.
    fn named(&mut self, name: &str, arguments: &[Expr]) -> Option<Value> {
        let key = called(name, arguments);
        if self.bound.iter().any(|(bound, _)| *bound == key) {
            return Some(self.symbol(&key));
        }
        let mut sum = Complex64::new(point(name, 91), 0.0);
        let mut error = 0.0;
        for (place, argument) in arguments.iter().enumerate() {
            let argument = self.value(argument)?;
            let weight = point(name, 100 + place as u32);
            sum += weight * argument.number;
            error += weight.abs() * argument.error;
        }
        mapped(Value { number: sum, error }, |z| Some(z.sin() + 1.7 * (0.3 * z).cos()))
    }

    fn repeated(&mut self, function: &Function, arguments: &[Expr]) -> Option<Value> {
        let [body, Expr::Symbol(index), first, last] = arguments else { return None };
        let whole = |value: Value| {
            let nearest = value.number.re.round();
            let is_whole = (value.number - nearest).norm() < 1e-9 && nearest.abs() < 1e9;
            is_whole.then_some(nearest as i64)
        };
        let (first, last) = (whole(self.value(first)?)?, whole(self.value(last)?)?);
        if last - first > MAX_TERMS {
            return None;
        }
        let is_sum = *function == Function::Sum;
        let mut total = Value::exact(if is_sum { 0.0 } else { 1.0 });
        for number in first..=last {
            self.bound.push((index.clone(), number as f64));
            let term = self.value(body);
            self.bound.pop();
            let term = term?;
            total = match is_sum {
                true => Value::rounded(total.number + term.number, total.error + term.error),
                false => times(total, term),
            };
        }
        Some(total)
    }
}

/// How an unknown function of arguments is called where it is itself an unknown: `f(x)`.
pub(crate) fn called(name: &str, arguments: &[Expr]) -> String {
    format!("{name}{arguments:?}")
}

/// Where a variable stands in a sample: away from 0 and 1, of either sign from the second on.
fn point(name: &str, sample: u32) -> f64 {
    let mut state =
        0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(sample).wrapping_mul(0xd134_2543_de82_ef95);
    for byte in name.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    // splitmix64
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 31;
    let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
    let size = 0.3 + 2.4 * unit;
    let negative = sample % 3 == 2 || (sample % 3 == 1 && state & 1 == 1);
    if negative { -size } else { size }
}

fn from_rational(value: &BigRational) -> Value {
    let number = value.to_f64().unwrap_or(f64::NAN);
    let error = if number.fract() == 0.0 && number.abs() < 9e15 { 0.0 } else { 1.0 };
    Value { number: number.into(), error: error * f64::EPSILON * number.abs() }
}

fn constant_value(constant: Constant) -> Option<Value> {
    let real = |number: f64| Some(Value::rounded(number.into(), 0.0));
    match constant {
        Constant::Pi => real(std::f64::consts::PI),
        Constant::E => real(std::f64::consts::E),
        Constant::I => Some(Value { number: Complex64::I, error: 0.0 }),
        Constant::Infinity => None,
    }
}

fn times(a: Value, b: Value) -> Value {
    let error = a.number.norm() * b.error + b.number.norm() * a.error;
    Value::rounded(a.number * b.number, error)
}

/// A smooth function of a value. The error grows by what the function does nearby.
fn mapped(at: Value, function: impl Fn(Complex64) -> Option<Complex64>) -> Option<Value> {
    let number = function(at.number)?;
    let step = at.error + 1e-8 * at.number.norm().max(1e-8);
    let slope = (function(at.number + step)? - number).norm() / step;
    Some(Value::rounded(number, (slope * at.error).max(0.0) + 4.0 * f64::EPSILON * number.norm()))
}

fn power(base: Value, exponent: Value) -> Option<Value> {
    if exponent.error == 0.0 && exponent.number.im == 0.0 {
        let real = exponent.number.re;
        if real.fract() == 0.0 && real.abs() <= 512.0 {
            if base.number.norm() == 0.0 && real <= 0.0 {
                return (real == 0.0).then(|| Value::exact(1.0));
            }
            let number = base.number.powi(real as i32);
            let relative = base.error / base.number.norm().max(f64::MIN_POSITIVE);
            let error = real.abs() * (relative + f64::EPSILON) * number.norm();
            return Some(Value::rounded(number, error));
        }
    }
    if base.number.norm() == 0.0 {
        return (exponent.number.re > 0.0 && exponent.number.im == 0.0).then(|| Value::exact(0.0));
    }
    // e^(y ln x)
    let mut base = base;
    if base.number.im == 0.0 {
        base.number.im = 0.0; // the upper side of the cut, as -0.0 would be the lower
    }
    let log = mapped(base, |z| Some(z.ln()))?;
    let scaled = times(log, exponent);
    mapped(scaled, |z| Some(z.exp()))
}

fn factorial(value: Value) -> Option<Value> {
    let nearest = value.number.re.round();
    if value.number.im == 0.0 && (value.number.re - nearest).abs() < 1e-9 {
        if !(0.0..=170.0).contains(&nearest) {
            return None;
        }
        let product = (1..=nearest as u32).map(f64::from).product::<f64>();
        return Some(Value::rounded(product.into(), product * nearest * f64::EPSILON));
    }
    mapped(value, |z| gamma(z + 1.0)).map(|value| Value::rounded(value.number, value.error * 8.0))
}

/// A function that jumps, away from its jumps.
fn stepped(value: Value, step: fn(f64) -> f64) -> Option<Value> {
    if value.number.im.abs() > value.error + f64::EPSILON {
        return None;
    }
    let number = value.number.re;
    let nearest = number.round();
    let number = if (number - nearest).abs() <= 16.0 * value.error { nearest } else { number };
    Some(Value::exact(step(number)))
}

fn several(function: &Function, values: &[Value]) -> Option<Value> {
    let reals: Vec<f64> = values
        .iter()
        .map(|value| (value.number.im == 0.0).then_some(value.number.re))
        .collect::<Option<_>>()?;
    let error = values.iter().map(|value| value.error).fold(0.0, f64::max);
    let number = match function {
        Function::Max => reals.into_iter().fold(f64::NEG_INFINITY, f64::max),
        Function::Min => reals.into_iter().fold(f64::INFINITY, f64::min),
        Function::Modulo => {
            let [a, b] = reals.as_slice() else { return None };
            a - b * (a / b).floor()
        }
        Function::Gcd | Function::Lcm => return crate::special::divisors(function, &reals),
        _ => return None,
    };
    Some(Value { number: number.into(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    #[test]
    fn values_of_constants() {
        for (formula, want) in [
            (r"\sqrt{2}", 2f64.sqrt()),
            (r"\sin(\pi/6)", 0.5),
            (r"\log_{2}{8}", 3.0),
            (r"\log 100", 2.0),
            (r"\ln e^2", 2.0),
            (r"\frac{5!}{3!}", 20.0),
            (r"\binom{5}{2}", 10.0),
            (r"|-3|", 3.0),
            (r"\lfloor -2.5 \rfloor", -3.0),
            (r"\sum_{i=1}^{10} i^2", 385.0),
            (r"2^{10}", 1024.0),
            (r"\gcd(12, 18)", 6.0),
            (r"7 \mod 4", 3.0),
            (r"\arctan 1", std::f64::consts::FRAC_PI_4),
            (r"8^{1/3}", 2.0),
            (r"\sin^2 1 + \cos^2 1", 1.0),
            (r"50\%", 0.5),
        ] {
            let found = parse(formula).and_then(|expr| real(&expr));
            let found = found.unwrap_or(f64::NAN);
            assert!((found - want).abs() < 1e-12, "{formula}: {found}");
        }
    }

    #[test]
    fn what_has_no_value() {
        for formula in [r"1/(1-1)", r"10^{10^{10}}", r"999!", r"\ln 0", "(-1)!"] {
            let found = parse(formula).and_then(|expr| real(&expr));
            assert!(found.is_none(), "{formula}: {found:?}");
        }
    }
}
