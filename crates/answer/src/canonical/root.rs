//! Roots: of numbers by their primes, of polynomials as atoms that know their power.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::polynomial::Polynomial;
use super::{Form, Unfit, Workspace};

/// Higher roots are not taken apart.
const MAX_DEGREE: u32 = 12;

/// Larger primes are left in one piece.
const MAX_PRIME: u32 = 1000;

/// Larger radicands are not taken apart.
const MAX_BITS: u64 = 256;

impl Workspace {
    /// The principal root; `None` when it is not to be taken apart.
    pub(super) fn root(&mut self, base: &Form, degree: u32) -> Result<Option<Form>, Unfit> {
        if degree > MAX_DEGREE {
            return Ok(None);
        }
        let Some(value) = base.as_constant() else {
            return Ok(self.root_of_polynomial(base, degree));
        };
        if value.numer().bits() + value.denom().bits() * u64::from(degree) > MAX_BITS {
            return Ok(None);
        }
        if value.is_negative() {
            if degree != 2 {
                return Ok(None);
            }
            let root = self.root_of_number(&-value, 2)?;
            let i = self.constant(crate::expr::Constant::I);
            return self.product(&root, &i).map(Some);
        }
        self.root_of_number(&value, degree).map(Some)
    }

    fn root_of_polynomial(&mut self, base: &Form, degree: u32) -> Option<Form> {
        let radicand = base.as_polynomial()?;
        let key = format!("root {degree} of {radicand}");
        Some(self.atom(key, Some((degree, radicand)), false))
    }

    /// (a/b)^(1/n) = (a b^(n-1))^(1/n) / b, the radicand prime by prime.
    fn root_of_number(&mut self, value: &BigRational, degree: u32) -> Result<Form, Unfit> {
        let below = value.denom();
        let mut radicand = value.numer() * num_traits::Pow::pow(below, degree - 1);
        if radicand.is_zero() {
            return Ok(Form::constant(BigRational::zero()));
        }
        let mut outside = BigRational::new(BigInt::one(), below.clone());
        let mut inside: Vec<(BigInt, u32)> = Vec::new();
        let mut prime = 2u32;
        while prime <= MAX_PRIME && !radicand.is_one() {
            let factor = BigInt::from(prime);
            let mut power = 0;
            loop {
                let (quotient, rest) = radicand.div_rem(&factor);
                if !rest.is_zero() {
                    break;
                }
                radicand = quotient;
                power += 1;
            }
            outside *=
                num_traits::Pow::pow(&BigRational::from_integer(factor.clone()), power / degree);
            inside.push((factor, power % degree));
            prime += if prime == 2 { 1 } else { 2 };
        }
        self.charge(100)?;
        let whole = radicand.nth_root(degree);
        if num_traits::Pow::pow(&whole, degree) == radicand {
            outside *= BigRational::from_integer(whole);
        } else {
            inside.push((radicand, 1));
        }
        let mut form = Form::constant(outside);
        for (base, power) in inside.into_iter().filter(|(_, power)| *power > 0) {
            let itself = Polynomial::constant(BigRational::from_integer(base.clone()));
            let key = format!("root {degree} of +{base}");
            let atom = self.atom(key, Some((degree, itself)), degree == 2);
            for _ in 0..power {
                form = self.product(&form, &atom)?;
            }
        }
        Ok(form)
    }
}
