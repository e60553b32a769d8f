//! Pairs that parse and yet teach nothing.

use std::collections::BTreeMap;
use std::fmt;

/// Why nothing can be learned from a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PairFlaw {
    /// Both responses are the same, white space around them aside.
    Identical,
    /// The chosen response is empty.
    EmptyChosen,
    /// The rejected response is empty.
    EmptyRejected,
    /// An image file that the pair names does not exist.
    MissingImage,
    /// A score is NaN or infinite.
    Score,
}

impl fmt::Display for PairFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identical => "chosen and rejected are the same",
            Self::EmptyChosen => "the chosen response is empty",
            Self::EmptyRejected => "the rejected response is empty",
            Self::MissingImage => "an image file does not exist",
            Self::Score => "a score is not finite",
        })
    }
}

/// How often a flaw was found, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How often.
    pub count: usize,
    /// File and line of the first.
    pub first: String,
}

/// What became of the pairs of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairReport {
    /// Pairs that can be learned from.
    pub num_kept: usize,
    /// Pairs left out, by the first flaw of each.
    pub left_out: BTreeMap<PairFlaw, Found>,
}

impl PairReport {
    /// How many pairs were left out.
    pub fn num_left_out(&self) -> usize {
        self.left_out.values().map(|found| found.count).sum()
    }

    /// Counts a pair that is left out.
    pub(super) fn leave_out(&mut self, flaw: PairFlaw, place: String) {
        let found = self.left_out.entry(flaw).or_insert(Found { count: 0, first: place });
        found.count += 1;
    }
}

/// One line: how many were kept, and how many not for each reason, with the place of the first.
impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pairs kept, {} left out", self.num_kept, self.num_left_out())?;
        for (index, (flaw, Found { count, first })) in self.left_out.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{flaw} ({count}, first at {first})")?;
        }
        Ok(())
    }
}
