//! The canonical form: a quotient of polynomials with rational coefficients.
//!
//! Variables, π, e, i, roots and calls of functions are the atoms of the polynomials. A root and i
//! know their power (√2² = 2, i² = −1), and roots of numbers are taken apart into roots of primes, so
//! what differs only by arithmetic comes out the same. What the atoms do not know of each other
//! (sin² + cos² = 1) is left to evaluation.

mod polynomial;
mod root;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::expr::{Constant, Expr, Function};
use polynomial::Polynomial;

/// Work until a form is given up, in products of small coefficients.
const MAX_WORK: u32 = 2_000;

/// Work of all forms of one comparison: collections have many pairs.
const MAX_TOTAL: u32 = 6 * MAX_WORK;

/// The largest power of a sum that is multiplied out.
const MAX_POWER: u32 = 24;

/// The largest factorial that is multiplied out.
const MAX_FACTORIAL: u32 = 1000;

/// Bits of the largest number that a power is multiplied out to.
const MAX_BITS: u64 = 1 << 14;

/// Why an expression has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It would take too long.
    TooLarge,
    /// It divides by zero.
    Undefined,
    /// It is no scalar.
    NotScalar,
}

/// What the canonical forms of two expressions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// They are the same.
    Same,
    /// They cannot be the same.
    Different,
    /// Their atoms may know more than their forms.
    Unknown,
}

/// A quotient of polynomials over the atoms of a [`Workspace`].
#[derive(Clone, Debug)]
pub(crate) struct Form {
    above: Polynomial,
    below: Polynomial,
}

/// An indeterminate.
#[derive(Debug)]
struct Atom {
    key: String,
    /// The power that is something else, and what.
    reduction: Option<(u32, Polynomial)>,
    /// Whether nothing is known of it that its form does not say.
    independent: bool,
}

/// The atoms of the expressions under comparison, and the work done.
#[derive(Debug)]
pub(crate) struct Workspace {
    atoms: Vec<Atom>,
    work: u32,
}

/// The work that is left for the forms of one comparison.
#[derive(Debug)]
pub(crate) struct Budget(u32);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(MAX_TOTAL)
    }

    /// Does work that counts, as much as one pair and what is left allow.
    fn within<T>(&mut self, work: impl FnOnce(&mut Workspace) -> T) -> T {
        let begun = MAX_WORK.saturating_sub(self.0);
        let mut workspace = Workspace { atoms: Vec::new(), work: begun };
        let done = work(&mut workspace);
        self.0 = self.0.saturating_sub(workspace.work.min(MAX_WORK) - begun);
        done
    }
}

/// The exact value of an expression that is a fraction in disguise.
pub(crate) fn exact(expr: &Expr, budget: &mut Budget) -> Option<BigRational> {
    budget.within(|workspace| workspace.form(expr).ok()?.as_constant())
}

/// Compares two expressions by their forms.
pub(crate) fn compare(a: &Expr, b: &Expr, budget: &mut Budget) -> Result<Comparison, Unfit> {
    budget.within(|workspace| compared(a, b, workspace))
}

fn compared(a: &Expr, b: &Expr, workspace: &mut Workspace) -> Result<Comparison, Unfit> {
    let (a, b) = (workspace.form(a)?, workspace.form(b)?);
    let left = workspace.times(&a.above, &b.below)?;
    let right = workspace.times(&b.above, &a.below)?;
    let difference = left.minus(&right);
    if difference.is_zero() {
        return Ok(Comparison::Same);
    }
    let independent = |atom: u32| workspace.atoms[atom as usize].independent;
    let decided = difference.atoms().all(independent);
    Ok(if decided { Comparison::Different } else { Comparison::Unknown })
}

/// The constant that the numerator of `a` is of the numerator of `b`, if there is one: equations
/// with proportional numerators have the same solutions.
pub(crate) fn ratio(a: &Expr, b: &Expr, budget: &mut Budget) -> Option<BigRational> {
    budget.within(|workspace| {
        let (a, b) = (workspace.form(a).ok()?, workspace.form(b).ok()?);
        a.above.ratio(&b.above)
    })
}

impl Form {
    fn constant(value: BigRational) -> Self {
        Self { above: Polynomial::constant(value), below: Polynomial::one() }
    }

    fn as_constant(&self) -> Option<BigRational> {
        let below = self.below.as_constant()?;
        (!below.is_zero()).then(|| Some(self.above.as_constant()? / below))?
    }

    /// The polynomial, where there is no denominator.
    fn as_polynomial(&self) -> Option<Polynomial> {
        let below = self.below.as_constant()?;
        (!below.is_zero()).then(|| self.above.scaled(&below.recip()))
    }

    fn key(&self) -> String {
        match self.as_polynomial() {
            Some(polynomial) => polynomial.to_string(),
            None => format!("({})/({})", self.above, self.below),
        }
    }
}

impl Workspace {
    /// The form of an expression.
    pub(crate) fn form(&mut self, expr: &Expr) -> Result<Form, Unfit> {
        match expr {
            Expr::Number(number) => Ok(Form::constant(number.value.clone())),
            Expr::Percent(inner) => {
                let inner = self.form(inner)?;
                self.product(&inner, &Form::constant(BigRational::new(1.into(), 100.into())))
            }
            Expr::Symbol(name) => Ok(self.atom(format!("symbol {name}"), None, true)),
            Expr::Constant(constant) => Ok(self.constant(*constant)),
            Expr::Add(terms) => {
                let mut sum = Form::constant(BigRational::zero());
                for term in terms {
                    let term = self.form(term)?;
                    sum = self.sum(&sum, &term)?;
                }
                Ok(sum)
            }
            Expr::Mul(factors) => {
                let mut product = Form::constant(BigRational::one());
                for factor in factors {
                    let factor = self.form(factor)?;
                    product = self.product(&product, &factor)?;
                }
                Ok(product)
            }
            Expr::Pow(base, exponent) => {
                let (base, exponent) = (self.form(base)?, self.form(exponent)?);
                self.power(base, &exponent)
            }
            Expr::Call(function, arguments) => self.call(function, arguments),
            _ => Err(Unfit::NotScalar),
        }
    }

    fn constant(&mut self, constant: Constant) -> Form {
        match constant {
            Constant::I => {
                let square = Polynomial::constant(-BigRational::one());
                self.atom("i".to_owned(), Some((2, square)), true)
            }
            Constant::Pi => self.atom("pi".to_owned(), None, true),
            Constant::E => self.atom("e".to_owned(), None, true),
            Constant::Infinity => self.atom("infinity".to_owned(), None, false),
        }
    }

    /// The atom of this name, made when it is new.
    fn atom(
        &mut self,
        key: String,
        reduction: Option<(u32, Polynomial)>,
        independent: bool,
    ) -> Form {
        let known = self.atoms.iter().position(|atom| atom.key == key);
        let place = known.unwrap_or_else(|| {
            self.atoms.push(Atom { key, reduction, independent });
            self.atoms.len() - 1
        });
        Form { above: Polynomial::atom(place as u32), below: Polynomial::one() }
    }

    /// Counts work; fails when it becomes too much.
    fn charge(&mut self, units: usize) -> Result<(), Unfit> {
        self.work = self.work.saturating_add(u32::try_from(units).unwrap_or(u32::MAX));
        if self.work > MAX_WORK { Err(Unfit::TooLarge) } else { Ok(()) }
    }

    fn times(&mut self, a: &Polynomial, b: &Polynomial) -> Result<Polynomial, Unfit> {
        self.charge(a.weight().saturating_mul(b.weight()))?;
        let mut product = a.times(b);
        // each round lowers the power of one atom
        while let Some((monomial, atom)) = product.find(|atom, power| {
            let reduction = self.atoms[atom as usize].reduction.as_ref();
            reduction.is_some_and(|(limit, _)| power >= *limit)
        }) {
            let Some((limit, instead)) = self.atoms[atom as usize].reduction.clone() else { break };
            self.charge(instead.weight() + product.num_terms())?;
            product.lower(&monomial, atom, limit, &instead);
        }
        Ok(product)
    }

    fn sum(&mut self, a: &Form, b: &Form) -> Result<Form, Unfit> {
        if a.below == b.below {
            let fractions = a.above.weight_below().saturating_mul(b.above.weight_below());
            self.charge(a.above.num_terms() + b.above.num_terms() + fractions)?;
            return Ok(Form { above: a.above.plus(&b.above), below: a.below.clone() });
        }
        let left = self.times(&a.above, &b.below)?;
        let right = self.times(&b.above, &a.below)?;
        Ok(Form { above: left.plus(&right), below: self.times(&a.below, &b.below)? })
    }

    fn product(&mut self, a: &Form, b: &Form) -> Result<Form, Unfit> {
        let above = self.times(&a.above, &b.above)?;
        let below = self.times(&a.below, &b.below)?;
        match below.as_constant() {
            Some(constant) if constant.is_zero() => Err(Unfit::Undefined),
            Some(constant) => {
                Ok(Form { above: above.scaled(&constant.recip()), below: Polynomial::one() })
            }
            None => Ok(Form { above, below }),
        }
    }

    fn inverse(&mut self, form: Form) -> Result<Form, Unfit> {
        if form.above.is_zero() {
            return Err(Unfit::Undefined);
        }
        self.product(&Form { above: form.below, below: form.above }, &Form::constant(One::one()))
    }

    fn power(&mut self, base: Form, exponent: &Form) -> Result<Form, Unfit> {
        let opaque = format!("({})^({})", base.key(), exponent.key());
        let Some(exponent) = exponent.as_constant() else {
            return Ok(self.atom(opaque, None, false));
        };
        let (Some(power), Some(degree)) = (exponent.numer().to_i32(), exponent.denom().to_u32())
        else {
            return Ok(self.atom(opaque, None, false));
        };
        if base.above.is_zero() {
            return if power > 0 { Ok(base) } else { Err(Unfit::Undefined) };
        }
        let base = match degree {
            1 => base,
            _ => match self.root(&base, degree)? {
                Some(root) => root,
                None => return Ok(self.atom(opaque, None, false)),
            },
        };
        let base = if power < 0 { self.inverse(base)? } else { base };
        let power = power.unsigned_abs();
        if let Some(constant) = base.as_constant() {
            if constant.numer().bits().max(constant.denom().bits()) * u64::from(power) > MAX_BITS {
                return Ok(self.atom(opaque, None, false));
            }
            self.charge(1 + power as usize / 64)?;
            return Ok(Form::constant(num_traits::Pow::pow(&constant, power)));
        }
        if power > MAX_POWER {
            return Ok(self.atom(opaque, None, false));
        }
        let mut result = Form::constant(One::one());
        for _ in 0..power {
            result = self.product(&result, &base)?;
        }
        Ok(result)
    }

    fn call(&mut self, function: &Function, arguments: &[Expr]) -> Result<Form, Unfit> {
        if matches!(function, Function::Sum | Function::Product) {
            return Ok(self.atom(format!("{function:?}{arguments:?}"), None, false));
        }
        let mut forms = Vec::with_capacity(arguments.len());
        for argument in arguments {
            forms.push(self.form(argument)?);
        }
        let constants: Option<Vec<BigRational>> = forms.iter().map(Form::as_constant).collect();
        self.charge(1)?;
        if let Some(value) = constants.and_then(|constants| known_value(function, &constants)) {
            self.charge(value.numer().bits() as usize / 64)?;
            return Ok(Form::constant(value));
        }
        let keys: Vec<String> = forms.iter().map(Form::key).collect();
        Ok(self.atom(format!("{function:?}({})", keys.join("; ")), None, false))
    }
}

/// Functions whose value at fractions is a fraction.
fn known_value(function: &Function, arguments: &[BigRational]) -> Option<BigRational> {
    let whole = |value: &BigRational| value.is_integer().then(|| value.numer().to_u32())?;
    match (function, arguments) {
        (Function::Abs, [value]) => Some(value.abs()),
        (Function::Floor, [value]) => Some(value.floor()),
        (Function::Ceiling, [value]) => Some(value.ceil()),
        (Function::Factorial, [value]) => {
            let n = whole(value).filter(|n| *n <= MAX_FACTORIAL)?;
            Some(BigRational::from_integer((1..=n).map(BigInt::from).product()))
        }
        (Function::Binomial, [n, k]) => {
            let (n, k) = (whole(n).filter(|n| *n <= MAX_FACTORIAL)?, whole(k)?);
            let choose = |k: u32| (0..k).fold(BigInt::one(), |c, j| c * (n - j) / (j + 1));
            Some(BigRational::from_integer(if k > n {
                BigInt::zero()
            } else {
                choose(k.min(n - k))
            }))
        }
        (Function::Max, values) => values.iter().max().cloned(),
        (Function::Min, values) => values.iter().min().cloned(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    fn compared(a: &str, b: &str) -> Result<Comparison, Unfit> {
        let read = |text| parse(text).unwrap_or_else(|| panic!("{text} is a formula"));
        compare(&read(a), &read(b), &mut Budget::new())
    }

    #[test]
    fn arithmetic_does_not_change_a_form() {
        for (a, b) in [
            ("(x+1)^2", "x^2+2x+1"),
            (r"\frac{x^2-1}{x-1}", "x+1"),
            (r"\sqrt{8}", r"2\sqrt{2}"),
            (r"\frac{1}{\sqrt{6}}", r"\frac{\sqrt{6}}{6}"),
            (r"\sqrt{2}\sqrt{3}", r"\sqrt{6}"),
            (r"\sqrt{\frac{1}{2}}", r"\frac{\sqrt{2}}{2}"),
            (r"\sqrt[3]{54}", r"3\sqrt[3]{2}"),
            ("(1+i)^2", "2i"),
            (r"\sqrt{-4}", "2i"),
            (r"\frac{1}{1+\sqrt{2}}", r"\sqrt{2}-1"),
            (r"\frac{1}{x}+\frac{1}{y}", r"\frac{x+y}{xy}"),
            ("2^{100}", "4^{50}"),
            (r"\frac{1000!}{999!}", "1000"),
            (r"\binom{10}{3}", "120"),
            ("10^{10^{10}}", "10^{10^{10}}"),
            (r"\sin(x+1)", r"\sin(1+x)"),
        ] {
            assert_eq!(compared(a, b), Ok(Comparison::Same), "{a} | {b}");
        }
    }

    #[test]
    fn forms_tell_apart() {
        for (a, b) in [
            ("x+1", "x"),
            ("2^{100}", "2^{100}+1"),
            (r"\pi", "3.14159"),
            (r"\sqrt{2}", "1.41421356237309504880"),
            (r"\frac{a}{b}", r"\frac{b}{a}"),
            ("1+2i", "2+i"),
        ] {
            assert_eq!(compared(a, b), Ok(Comparison::Different), "{a} | {b}");
        }
        assert_eq!(compared(r"\sin^2 x", r"1-\cos^2 x"), Ok(Comparison::Unknown));
        assert_eq!(compared(r"\frac{1}{0}", "1"), Err(Unfit::Undefined));
        assert_eq!(compared("(a+b+c+d+e+f)^{24}", "1"), Err(Unfit::TooLarge));
    }
}
