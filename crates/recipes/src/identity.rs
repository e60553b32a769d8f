//! What a run learns from: a checkpoint's place among other pairs or questions means nothing.

use engine::{Run, TaskState};
use preprocess::ModelImage;
use sha2::{Digest, Sha256};

use crate::Error;

/// Names the pairs or questions of a run, in their order.
pub(crate) struct Identity {
    what: &'static str,
    hash: String,
}

impl Identity {
    /// Of `what` has these keys.
    pub(crate) fn of(what: &'static str, keys: impl Iterator<Item = String>) -> Self {
        let mut hash = Sha256::new();
        keys.for_each(|key| hash.update(key));
        Self { what, hash: stages::hex(&hash.finalize()[..16]) }
    }

    /// The name, in hexadecimal.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// Adds it to what a checkpoint keeps.
    pub(crate) fn save(&self, state: &mut TaskState) {
        state.value[self.what] = self.hash.clone().into();
    }

    /// Fails when the checkpoint that `run` goes on from was saved with others; one that names none is taken as it is.
    pub(crate) fn check(&self, run: &Run, saved: &TaskState) -> Result<(), Error> {
        let Self { what, hash } = self;
        let before = saved.value[*what].as_str().unwrap_or(hash);
        if before == hash {
            return Ok(());
        }
        let step = run.engine().steps_taken();
        Err(Error::Changed {
            checkpoint: run.checkpoints().folder().join(format!("checkpoint-{step}")),
            differences: format!("{what}: {before}, now {hash}"),
        })
    }
}

/// Names what the model reads of one of them: tokens of its parts, such as prompt, chosen and rejected, and the pictures.
pub(crate) fn key<const N: usize>(ids: [&[u32]; N], images: &[ModelImage]) -> String {
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
        let keys = [1, 2].map(|id| key([&[id], &[3], &[4, 5]], &[]));
        let of =
            |order: &[usize]| Identity::of("pairs", order.iter().map(|&at| keys[at].clone())).hash;
        assert_eq!(of(&[0, 1]), of(&[0, 1]));
        for other in [&[1, 0][..], &[0], &[0, 1, 1], &[]] {
            assert_ne!(of(&[0, 1]), of(other), "{other:?}");
        }
        // A token more of one is none less of the next.
        assert_ne!(keys[0], key([&[1, 3], &[], &[4, 5]], &[]));
    }
}
