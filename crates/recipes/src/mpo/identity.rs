//! Which pairs a run learns from: a checkpoint's place among others means nothing.

use engine::{Run, TaskState};
use preprocess::ModelImage;
use sha2::{Digest, Sha256};

use crate::Error;

/// Where a checkpoint's state names its pairs.
const PAIRS: &str = "pairs";

/// Names the pairs of a run, in their order.
pub(crate) struct Identity(String);

impl Identity {
    /// Of pairs with these keys.
    pub(crate) fn of(keys: impl Iterator<Item = String>) -> Self {
        let mut hash = Sha256::new();
        keys.for_each(|key| hash.update(key));
        Self(stages::hex(&hash.finalize()[..16]))
    }

    /// Adds it to what a checkpoint keeps.
    pub(crate) fn save(&self, state: &mut TaskState) {
        state.value[PAIRS] = self.0.clone().into();
    }

    /// Fails when the checkpoint that `run` goes on from was saved with other pairs; one that names none is taken as it
    /// is.
    pub(crate) fn check(&self, run: &Run, saved: &TaskState) -> Result<(), Error> {
        let before = saved.value[PAIRS].as_str().unwrap_or(&self.0);
        if before == self.0 {
            return Ok(());
        }
        let step = run.engine().steps_taken();
        Err(Error::Changed {
            checkpoint: run.checkpoints().folder().join(format!("checkpoint-{step}")),
            differences: format!("{PAIRS}: {before}, now {}", self.0),
        })
    }
}

/// Names what the model reads of a pair: the tokens of prompt, chosen and rejected, and the pictures.
pub(crate) fn pair_key(ids: [&[u32]; 3], images: &[ModelImage]) -> String {
    let mut hash = Sha256::new();
    for ids in ids {
        hash.update((ids.len() as u64).to_le_bytes());
        ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
    }
    images.iter().for_each(|image| hash.update(image.key()));
    stages::hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_named_by_content_and_order() {
        let keys = [1, 2].map(|id| pair_key([&[id], &[3], &[4, 5]], &[]));
        let of = |order: &[usize]| Identity::of(order.iter().map(|&at| keys[at].clone())).0;
        assert_eq!(of(&[0, 1]), of(&[0, 1]));
        for other in [&[1, 0][..], &[0], &[0, 1, 1], &[]] {
            assert_ne!(of(&[0, 1]), of(other), "{other:?}");
        }
        // A token more of one is none less of the next.
        assert_ne!(keys[0], pair_key([&[1, 3], &[], &[4, 5]], &[]));
    }
}
