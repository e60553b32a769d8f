//! Lines that hold no pair, and pairs that teach nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::Error;

/// Why nothing can be learned from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PairFlaw {
    /// It cannot be read: no UTF-8, no JSON, or columns of other types.
    Line,
    /// It lacks a prompt or a response.
    NoPair,
    /// Its text and its images do not fit together.
    Images,
    /// Both responses are the same, white space around them aside.
    Identical,
    /// The chosen response is empty.
    EmptyChosen,
    /// The rejected response is empty.
    EmptyRejected,
    /// An image file that the pair names does not exist.
    MissingImage,
    /// An image cannot be opened, or the model cannot be shown the pair.
    Unreadable,
    /// A score is NaN or infinite, or only one of the two is known.
    Score,
    /// The rejected response scores higher.
    Inverted,
}

impl fmt::Display for PairFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "the line cannot be read",
            Self::NoPair => "the line holds no pair",
            Self::Images => "text and images do not fit together",
            Self::Identical => "chosen and rejected are the same",
            Self::EmptyChosen => "the chosen response is empty",
            Self::EmptyRejected => "the rejected response is empty",
            Self::MissingImage => "an image file does not exist",
            Self::Unreadable => "the model cannot be shown it",
            Self::Score => "a score is missing or not finite",
            Self::Inverted => "the rejected response scores higher",
        })
    }
}

/// How often a flaw was found, and where first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How often.
    pub count: usize,
    /// File and line of the first, and what is wrong where that can be said more closely.
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

    /// Counts a pair that is left out, and that was never counted as kept.
    pub(super) fn leave_out(&mut self, flaw: PairFlaw, place: String) {
        let found = self.left_out.entry(flaw).or_insert(Found { count: 0, first: place });
        found.count += 1;
    }

    /// Counts a line that `error` says to hold no pair.
    pub(super) fn leave_out_line(&mut self, error: &Error) {
        let flaw = match error {
            Error::Pair { fault, .. } => fault.flaw(),
            _ => PairFlaw::Line,
        };
        self.leave_out(flaw, error.to_string());
    }

    /// Counts a kept pair as left out after all; `place` may say more than file and line.
    pub fn reject(&mut self, flaw: PairFlaw, place: String) {
        self.num_kept = self.num_kept.saturating_sub(1);
        self.leave_out(flaw, place);
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
