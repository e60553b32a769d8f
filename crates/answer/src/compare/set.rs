//! Sets, tuples and intervals.

use super::Comparer;
use super::number::rough;
use crate::evaluate::real;
use crate::expr::{Chain, Expr, Function, Interval, NumberSet, Relation, SetOperator};
use crate::region::{Region, Span};

impl Comparer {
    /// Two answers of which at least one is a collection; the other may be its only element.
    pub(super) fn collections(&mut self, gold: &Expr, prediction: &Expr) -> bool {
        match (gold, prediction) {
            (Expr::Interval(a), Expr::Interval(b)) => return self.intervals(a, b),
            (Expr::Interval(a), Expr::Set(b) | Expr::Tuple(b)) => {
                let is_pair = a.low_open && a.high_open && b.len() == 2;
                if is_pair {
                    return self.in_order(&[a.low.clone(), a.high.clone()], b);
                }
            }
            (Expr::Set(a) | Expr::Tuple(a), Expr::Interval(b)) => {
                let is_pair = b.low_open && b.high_open && a.len() == 2;
                let ends = [b.low.clone(), b.high.clone()];
                if is_pair {
                    return match gold {
                        Expr::Tuple(_) => self.in_order(a, &ends),
                        _ => self.sets(a, &ends),
                    };
                }
            }
            (Expr::Set(a), Expr::Set(b) | Expr::Tuple(b)) => return self.sets(a, b),
            (Expr::Tuple(a), Expr::Tuple(b) | Expr::Set(b)) => return self.in_order(a, b),
            (Expr::Set(a), b) if !b.is_collection() => {
                return self.any_order(a, std::slice::from_ref(b));
            }
            (a, Expr::Set(b)) if !a.is_collection() => {
                return self.any_order(std::slice::from_ref(a), b);
            }
            _ => {}
        }
        if let (Some(a), Some(b)) = (region(gold), region(prediction)) {
            return a.is_same(&b);
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        united(gold, &mut a);
        united(prediction, &mut b);
        a.len() > 1 && self.any_order(&a, &b)
    }

    fn intervals(&mut self, a: &Interval, b: &Interval) -> bool {
        (a.low_open, a.high_open) == (b.low_open, b.high_open)
            && self.equal(&a.low, &b.low)
            && self.equal(&a.high, &b.high)
    }

    fn in_order(&mut self, gold: &[Expr], prediction: &[Expr]) -> bool {
        gold.len() == prediction.len() && gold.iter().zip(prediction).all(|(a, b)| self.equal(a, b))
    }

    /// Elements in any order, unless the gold answer names them and the prediction does not: then their
    /// order, as given or by name, says which is which.
    fn sets(&mut self, gold: &[Expr], prediction: &[Expr]) -> bool {
        let is_equation = |expr: &Expr| matches!(expr, Expr::Chain(_));
        if !are_named(gold) || prediction.iter().any(is_equation) {
            return self.any_order(gold, prediction);
        }
        self.in_order(gold, prediction) || self.in_order(&by_name(gold), prediction)
    }

    /// Each element of one has its own equal in the other; elements that repeat count once.
    fn any_order(&mut self, gold: &[Expr], prediction: &[Expr]) -> bool {
        let (gold, prediction) = (distinct(gold), distinct(prediction));
        if gold.len() != prediction.len() {
            return false;
        }
        let mut free: Vec<&Expr> = prediction;
        gold.into_iter().all(|a| {
            let found = free.iter().position(|b| !apart(a, b) && self.equal(a, b));
            found.map(|place| free.remove(place)).is_some()
        })
    }

    /// Whether the solutions of a relation in one unknown are this set.
    pub(super) fn region_of_relation(&mut self, gold: &Chain, prediction: &Expr) -> bool {
        let mut unknowns = Vec::new();
        gold.first.unknowns(&mut unknowns);
        gold.rest.iter().for_each(|(_, expr)| expr.unknowns(&mut unknowns));
        let Some((first, others)) = unknowns.split_first() else { return false };
        if others.iter().any(|other| other != first) {
            return false;
        }
        if let Some(interval) = interval_of(gold) {
            return self.collections(&interval, prediction);
        }
        let name = match first {
            Expr::Symbol(name) => name.clone(),
            Expr::Call(Function::Named(name), arguments) => {
                crate::evaluate::called(name, arguments)
            }
            _ => return false,
        };
        region(prediction).is_some_and(|region| region.solves(gold, &name))
    }
}

/// `a < x ≤ b` and `x > a` as intervals.
fn interval_of(chain: &Chain) -> Option<Expr> {
    use Relation::{Greater, GreaterEqual, Less, LessEqual};
    let is_unknown =
        |expr: &Expr| matches!(expr, Expr::Symbol(_) | Expr::Call(Function::Named(_), _));
    let infinity = || Expr::Constant(crate::expr::Constant::Infinity);
    let (mut low, mut high) = ((infinity().negated(), true), (infinity(), true));
    for (left, relation, right) in chain.links() {
        let (end, relation) = match (is_unknown(left), is_unknown(right)) {
            (true, false) => (right, relation),
            (false, true) => (left, relation.flipped()),
            _ => return None,
        };
        let mut unknowns = Vec::new();
        end.unknowns(&mut unknowns);
        if !unknowns.is_empty() {
            return None;
        }
        match relation {
            Less | LessEqual => high = (end.clone(), relation == Less),
            Greater | GreaterEqual => low = (end.clone(), relation == Greater),
            Relation::Equal | Relation::NotEqual => return None,
        }
    }
    Some(Expr::Interval(Box::new(Interval {
        low: low.0,
        high: high.0,
        low_open: low.1,
        high_open: high.1,
    })))
}

/// Whether elements are values of different names: `a = 1, b = 2`.
fn are_named(elements: &[Expr]) -> bool {
    let name = |element: &Expr| match element {
        Expr::Chain(chain) if super::is_assignment(chain) => Some(chain.first.clone()),
        _ => None,
    };
    let Some(names) = elements.iter().map(name).collect::<Option<Vec<Expr>>>() else {
        return false;
    };
    distinct(&names).len() == names.len()
}

/// Named elements sorted by their names.
fn by_name(elements: &[Expr]) -> Vec<Expr> {
    let mut sorted = elements.to_vec();
    sorted.sort_by_key(|element| match element {
        Expr::Chain(chain) => chain.first.letter().map(str::to_owned),
        _ => None,
    });
    sorted
}

/// Whether two elements are numbers that are nowhere near each other.
fn apart(a: &Expr, b: &Expr) -> bool {
    match (rough(a), rough(b)) {
        (Some(a), Some(b)) => (a - b).abs() > 1e-3 * (1.0 + a.abs()),
        _ => false,
    }
}

fn distinct(elements: &[Expr]) -> Vec<&Expr> {
    let mut distinct: Vec<&Expr> = Vec::with_capacity(elements.len());
    for element in elements {
        if !distinct.contains(&element) {
            distinct.push(element);
        }
    }
    distinct
}

/// The parts of a union.
fn united(expr: &Expr, parts: &mut Vec<Expr>) {
    match expr {
        Expr::SetOperation(SetOperator::Union, pair) => {
            united(&pair.0, parts);
            united(&pair.1, parts);
        }
        Expr::Set(elements) => parts.extend(elements.iter().map(|e| Expr::Set(vec![e.clone()]))),
        other => parts.push(other.clone()),
    }
}

/// The part of the real line that a set is, where its ends are numbers.
fn region(expr: &Expr) -> Option<Region> {
    match expr {
        Expr::Interval(interval) => {
            let (low, high) = (real(&interval.low)?, real(&interval.high)?);
            let span =
                Span { low, high, low_open: interval.low_open, high_open: interval.high_open };
            Some(Region::new(vec![span]))
        }
        Expr::Set(elements) => {
            let point = |element: &Expr| match element {
                Expr::Chain(chain) if chain.is_equation() => Some(Span::point(real(chain.last())?)),
                _ => Some(Span::point(real(element)?)),
            };
            Some(Region::new(elements.iter().map(point).collect::<Option<_>>()?))
        }
        Expr::NumberSet(NumberSet::Reals) => Some(Region::all()),
        Expr::SetOperation(operator, pair) => {
            let (a, b) = (region(&pair.0)?, region(&pair.1)?);
            Some(match operator {
                SetOperator::Union => a.or(&b),
                SetOperator::Intersection => a.and(&b),
                SetOperator::Difference => a.and(&b.complement()),
            })
        }
        _ => None,
    }
}
