//! Polynomials in several atoms.

use std::collections::BTreeMap;
use std::fmt;

use num_rational::BigRational;
use num_traits::{One, Zero};

/// Powers of atoms, by atom; none is zero.
pub(super) type Monomial = Vec<(u32, u32)>;

/// Monomials with their coefficients; none is zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Polynomial(BTreeMap<Monomial, BigRational>);

impl Polynomial {
    pub(super) fn constant(value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(Monomial::new(), value);
        }
        Self(terms)
    }

    pub(super) fn one() -> Self {
        Self::constant(BigRational::one())
    }

    pub(super) fn atom(atom: u32) -> Self {
        Self(BTreeMap::from([(vec![(atom, 1)], BigRational::one())]))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn num_terms(&self) -> usize {
        self.0.len()
    }

    /// What a product with this costs: terms, large coefficients counting for more.
    pub(super) fn weight(&self) -> usize {
        let bits = |value: &BigRational| (value.numer().bits() + value.denom().bits()) as usize;
        self.0.values().map(|value| 1 + bits(value) / 256).sum()
    }

    /// What a sum with this costs beside its terms: large denominators, whose divisors are sought.
    pub(super) fn weight_below(&self) -> usize {
        self.0.values().map(|value| value.denom().bits() as usize / 256).sum()
    }

    pub(super) fn as_constant(&self) -> Option<BigRational> {
        match self.0.len() {
            0 => Some(BigRational::zero()),
            1 => self.0.get(&Monomial::new()).cloned(),
            _ => None,
        }
    }

    /// Every atom that occurs.
    pub(super) fn atoms(&self) -> impl Iterator<Item = u32> {
        self.0.keys().flatten().map(|(atom, _)| *atom)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (monomial, coefficient) in &other.0 {
            sum.add(monomial.clone(), coefficient.clone());
        }
        sum
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        self.plus(&other.scaled(&-BigRational::one()))
    }

    pub(super) fn scaled(&self, factor: &BigRational) -> Self {
        if factor.is_zero() {
            return Self(BTreeMap::new());
        }
        Self(self.0.iter().map(|(monomial, value)| (monomial.clone(), value * factor)).collect())
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = Self(BTreeMap::new());
        for (a, x) in &self.0 {
            for (b, y) in &other.0 {
                product.add(joined(a, b), x * y);
            }
        }
        product
    }

    /// A monomial with an atom in it, and a power of it, that the test holds for.
    pub(super) fn find(&self, test: impl Fn(u32, u32) -> bool) -> Option<(Monomial, u32)> {
        self.0.keys().find_map(|monomial| {
            let found = monomial.iter().find(|(atom, power)| test(*atom, *power));
            found.map(|(atom, _)| (monomial.clone(), *atom))
        })
    }

    /// In one monomial, puts `instead` for a power of an atom.
    pub(super) fn lower(&mut self, monomial: &Monomial, atom: u32, power: u32, instead: &Self) {
        let Some(coefficient) = self.0.remove(monomial) else { return };
        let lowered = monomial.iter().map(|(a, p)| (*a, if *a == atom { p - power } else { *p }));
        let lowered: Monomial = lowered.filter(|(_, power)| *power > 0).collect();
        for (other, value) in &instead.0 {
            self.add(joined(&lowered, other), value * &coefficient);
        }
    }

    /// The constant c with `self = c · other`.
    pub(super) fn ratio(&self, other: &Self) -> Option<BigRational> {
        let (monomial, coefficient) = self.0.first_key_value()?;
        let ratio = coefficient / other.0.get(monomial)?;
        (*self == other.scaled(&ratio)).then_some(ratio)
    }

    fn add(&mut self, monomial: Monomial, coefficient: BigRational) {
        let entry = self.0.entry(monomial);
        match entry {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(coefficient);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                *entry.get_mut() += coefficient;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (monomial, coefficient) in &self.0 {
            write!(f, "+{coefficient}")?;
            for (atom, power) in monomial {
                write!(f, "*{atom}^{power}")?;
            }
        }
        Ok(())
    }
}

/// The product of two monomials.
fn joined(a: &Monomial, b: &Monomial) -> Monomial {
    let mut joined = a.clone();
    for (atom, power) in b {
        match joined.binary_search_by_key(atom, |(atom, _)| *atom) {
            Ok(place) => joined[place].1 += power,
            Err(place) => joined.insert(place, (*atom, *power)),
        }
    }
    joined
}
