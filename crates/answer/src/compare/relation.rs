//! Equations and inequalities.

use num_traits::{Signed, Zero};

use super::Comparer;
use crate::canonical::ratio;
use crate::expr::{Chain, Expr, Relation};

impl Comparer {
    /// Whether two chains say the same: every link of one is a link of the other.
    pub(super) fn relations(&mut self, gold: &Chain, prediction: &Chain) -> bool {
        let mut free: Vec<_> = prediction.links().collect();
        if gold.rest.len() != free.len() {
            return false;
        }
        gold.links().all(|a| {
            let found = free.iter().position(|b| self.links(a, *b));
            found.map(|place| free.remove(place)).is_some()
        })
    }

    /// Whether two relations say the same, sides exchanged or not, multiplied or not.
    fn links(&mut self, a: (&Expr, Relation, &Expr), b: (&Expr, Relation, &Expr)) -> bool {
        let direct = a.1 == b.1;
        let flipped = a.1 == b.1.flipped();
        if !direct && !flipped {
            return false;
        }
        if (direct && self.sides((a.0, a.2), (b.0, b.2)))
            || (flipped && self.sides((a.0, a.2), (b.2, b.0)))
        {
            return true;
        }
        if [a.0, a.2, b.0, b.2].iter().any(|side| side.is_collection()) {
            return false;
        }
        let left = a.0.clone().minus(a.2.clone());
        let right = b.0.clone().minus(b.2.clone());
        if let Some(ratio) = ratio(&left, &right, &mut self.budget) {
            let symmetric = direct && flipped;
            return !ratio.is_zero() && (symmetric || ratio.is_positive() == direct);
        }
        (direct && self.scalars(&left, &right))
            || (flipped && self.scalars(&left, &right.negated()))
    }

    fn sides(&mut self, a: (&Expr, &Expr), b: (&Expr, &Expr)) -> bool {
        // under one name, two numbers are not the interval between them
        let is_interval = |expr: &Expr| matches!(expr, Expr::Interval(_));
        let alike = is_interval(a.1) == is_interval(b.1);
        same_side(a.0, b.0) && (a.1 == b.1 || (alike && self.equal(a.1, b.1)))
    }
}

/// Whether two left sides are the same; in mere names, case says nothing.
fn same_side(a: &Expr, b: &Expr) -> bool {
    let names = super::letters(a).zip(super::letters(b));
    a == b || names.is_some_and(|(a, b)| a.eq_ignore_ascii_case(&b))
}
