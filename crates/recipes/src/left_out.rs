//! Pairs of a file that cannot train, counted by why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data::{PairFlaw, PairReport, Preference, Preferences};
use preprocess::ModelImage;
use rayon::prelude::*;

use crate::Error;
use crate::mpo::{BadPairs, report_left_out};
use crate::run::Notice;

/// What is left out of a file, with what reading it has found already.
pub(crate) struct LeftOut {
    path: PathBuf,
    report: PairReport,
    min_score_gap: f64,
    num_ties: usize,
    num_long: usize,
}

impl LeftOut {
    /// Of a file whose pairs' scores have to differ by more than `min_score_gap`.
    pub(crate) fn of(file: &Preferences, min_score_gap: f64) -> Self {
        let (path, report) = (file.path.clone(), file.report.clone());
        Self { path, report, min_score_gap, num_ties: 0, num_long: 0 }
    }

    /// Whether the scores of a pair speak against it: they are too near, or the other way round.
    pub(crate) fn by_scores(&mut self, pair: &Preference, place: &str) -> bool {
        let Some(margin) = pair.margin().filter(|margin| *margin <= self.min_score_gap) else {
            return false;
        };
        match margin < -self.min_score_gap {
            true => self.add(PairFlaw::Inverted, place.to_owned()),
            false => self.num_ties += 1,
        }
        true
    }

    /// A pair of more tokens than are wanted.
    pub(crate) fn add_long(&mut self) {
        self.num_long += 1;
    }

    /// A pair with this flaw.
    pub(crate) fn add(&mut self, flaw: PairFlaw, place: String) {
        self.report.reject(flaw, place);
    }

    /// A pair that the model cannot be shown.
    pub(crate) fn add_failed(&mut self, error: &preprocess::Error, place: &str) {
        match error {
            preprocess::Error::TooLong { .. } => self.add_long(),
            error => self.add(PairFlaw::Unreadable, format!("{place}: {error}")),
        }
    }

    /// The pairs, each with its place, without those of damaged images. Only those are decoded that `is_new`: a plan
    /// decodes none, and a run none whose features it has.
    pub(crate) fn undamaged<T>(
        &mut self,
        mut pairs: Vec<(T, String)>,
        images: impl Fn(&T) -> &[ModelImage],
        is_new: &dyn Fn(&ModelImage) -> bool,
    ) -> Vec<(T, String)> {
        let all = pairs.iter().flat_map(|(pair, _)| images(pair));
        let distinct: BTreeMap<[u8; 32], &ModelImage> =
            all.filter(|image| is_new(image)).map(|image| (image.key(), image)).collect();
        let damage = |(key, image): ([u8; 32], &ModelImage)| Some((key, image.check().err()?));
        let damaged: BTreeMap<_, _> = distinct.into_par_iter().filter_map(damage).collect();
        if damaged.is_empty() {
            return pairs;
        }
        pairs.retain(|(pair, place)| {
            let error = images(pair).iter().find_map(|image| damaged.get(&image.key()));
            error.inspect(|error| self.add_failed(error, place)).is_none()
        });
        pairs
    }

    /// Says what was left out, or ends the run over it.
    ///
    /// # Errors
    /// Where `bad_pairs` is `stop` and there are some.
    pub(crate) fn tell(
        self,
        bad_pairs: BadPairs,
        max_length: usize,
        notices: &mut dyn FnMut(&Notice),
    ) -> Result<(), Error> {
        let Self { path, report, min_score_gap, num_ties, num_long } = self;
        report_left_out(&path, report, bad_pairs, notices)?;
        if num_ties > 0 {
            notices(&Notice::Ties { path, count: num_ties, min_score_gap });
        }
        if num_long > 0 {
            notices(&Notice::TooLong { count: num_long, max_length });
        }
        Ok(())
    }
}
