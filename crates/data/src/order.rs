//! In which order training sees the samples.

use crate::random::{shuffle, stream};

/// An endless sequence of sample indices, epoch after epoch, each epoch a permutation given by (seed, epoch) alone.
///
/// A run is resumed by [`seek`](Self::seek)ing to the [`position`](Self::position) it had reached.
#[derive(Clone, Debug)]
pub struct Order {
    len: usize,
    seed: Option<u64>,
    position: u64,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// `len` samples, shuffled anew in each epoch.
    pub fn shuffled(len: usize, seed: u64) -> Self {
        Self { len, seed: Some(seed), position: 0, epoch: None }
    }

    /// `len` samples in the file's order in each epoch.
    pub fn sequential(len: usize) -> Self {
        Self { len, seed: None, position: 0, epoch: None }
    }

    /// Samples handed out since the start of epoch 0.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Continues as if `position` samples had been handed out.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
    }

    /// The order of one epoch.
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<_> = (0..self.len).collect();
        if let Some(seed) = self.seed {
            shuffle(&mut stream(seed, epoch), &mut indices);
        }
        indices
    }
}

impl Iterator for Order {
    type Item = usize;

    /// The next index; `None` only when there are no samples.
    fn next(&mut self) -> Option<usize> {
        let epoch = self.position.checked_div(self.len as u64)?;
        let within = usize::try_from(self.position % self.len as u64).expect("below len");
        if self.epoch.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            self.epoch = Some((epoch, self.epoch(epoch)));
        }
        self.position += 1;
        self.epoch.as_ref().map(|(_, indices)| indices[within])
    }
}
