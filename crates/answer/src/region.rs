//! Parts of the real line with numeric ends, and whether they are what a relation allows.

use crate::evaluate::value_with;
use crate::expr::{Chain, Relation};

/// Points that are tried between two ends.
const PROBES: u32 = 24;

/// Regions of more spans are not probed.
const MAX_SPANS: usize = 24;

/// From one number to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    /// Lower end; may be −∞.
    pub(crate) low: f64,
    /// Upper end; may be ∞.
    pub(crate) high: f64,
    /// Whether the lower end is left out.
    pub(crate) low_open: bool,
    /// Whether the upper end is left out.
    pub(crate) high_open: bool,
}

/// Spans from left to right, none touching another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Region(Vec<Span>);

impl Span {
    /// One number.
    pub(crate) fn point(at: f64) -> Self {
        Self { low: at, high: at, low_open: false, high_open: false }
    }

    fn is_empty(&self) -> bool {
        let closed = !self.low_open && !self.high_open;
        !(self.low < self.high || (same(self.low, self.high) && closed))
    }

    fn contains(&self, at: f64) -> bool {
        let above = if same(at, self.low) { !self.low_open } else { at > self.low };
        let below = if same(at, self.high) { !self.high_open } else { at < self.high };
        above && below
    }
}

impl Region {
    /// The union of spans.
    pub(crate) fn new(mut spans: Vec<Span>) -> Self {
        for span in &mut spans {
            span.low_open |= span.low.is_infinite();
            span.high_open |= span.high.is_infinite();
        }
        spans.retain(|span| !span.is_empty());
        spans.sort_by(|a, b| a.low.total_cmp(&b.low).then(a.low_open.cmp(&b.low_open)));
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if touches(last, &span) => {
                    if same(last.high, span.high) {
                        last.high_open &= span.high_open;
                    } else if span.high > last.high {
                        (last.high, last.high_open) = (span.high, span.high_open);
                    }
                    if same(last.low, span.low) {
                        last.low_open &= span.low_open;
                    }
                }
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// The whole line.
    pub(crate) fn all() -> Self {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        Self(vec![Span { low, high, low_open: true, high_open: true }])
    }

    /// What is in either.
    pub(crate) fn or(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&other.0).copied().collect())
    }

    /// What is in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.complement().or(&other.complement()).complement()
    }

    /// What is left of the line.
    pub(crate) fn complement(&self) -> Self {
        let mut spans = Vec::with_capacity(self.0.len() + 1);
        let (mut low, mut low_open) = (f64::NEG_INFINITY, true);
        for span in &self.0 {
            spans.push(Span { low, low_open, high: span.low, high_open: !span.low_open });
            (low, low_open) = (span.high, !span.high_open);
        }
        spans.push(Span { low, low_open, high: f64::INFINITY, high_open: true });
        Self::new(spans)
    }

    /// Whether two regions are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Span, &Span)| {
            same(a.low, b.low)
                && same(a.high, b.high)
                && (a.low_open, a.high_open) == (b.low_open, b.high_open)
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(alike)
    }

    /// Whether a relation in one unknown holds here and nowhere else, as far as probing at the ends,
    /// between them and beyond them can tell.
    pub(crate) fn solves(&self, relation: &Chain, unknown: &str) -> bool {
        if self.0.len() > MAX_SPANS {
            return false;
        }
        let mut ends: Vec<f64> = self.0.iter().flat_map(|span| [span.low, span.high]).collect();
        ends.retain(|end| end.is_finite());
        ends.dedup_by(|a, b| same(*a, *b));
        let reach = ends.iter().fold(10f64, |reach, end| reach.max(2.0 * end.abs()));
        let first = ends.first().map_or(0.0, |first| first - reach);
        let last = ends.last().map_or(0.0, |last| last + reach);
        let mut stops = vec![first];
        stops.extend(&ends);
        stops.push(last);
        let between = stops.windows(2).flat_map(|pair| {
            let (low, width) = (pair[0], pair[1] - pair[0]);
            (1..=PROBES).map(move |probe| low + width * f64::from(probe) / f64::from(PROBES + 1))
        });
        let probes: Vec<f64> = ends.iter().copied().chain(between).collect();
        probes.into_iter().all(|at| {
            let inside = self.0.iter().any(|span| span.contains(at));
            holds(relation, unknown, at) == inside
        })
    }
}

/// Whether two spans, the first not to the right of the second, leave nothing between them.
fn touches(left: &Span, right: &Span) -> bool {
    if same(left.high, right.low) {
        return !left.high_open || !right.low_open;
    }
    right.low < left.high
}

fn same(a: f64, b: f64) -> bool {
    a == b || ((a - b).is_finite() && (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3))
}

/// Whether a relation holds for one value of its unknown.
fn holds(relation: &Chain, unknown: &str, at: f64) -> bool {
    relation.links().all(|(left, relation, right)| {
        let sides = (value_with(left, unknown, at), value_with(right, unknown, at));
        let (Some(left), Some(right)) = sides else { return false };
        match relation {
            Relation::Equal => same(left, right),
            Relation::NotEqual => !same(left, right),
            Relation::Less => left < right && !same(left, right),
            Relation::LessEqual => left < right || same(left, right),
            Relation::Greater => left > right && !same(left, right),
            Relation::GreaterEqual => left > right || same(left, right),
        }
    })
}
