//! The reference policy's log-probs: computed once, before the first step, and kept with the run.
//!
//! ```text
//! output_dir/reference/<policy>.jsonl      a line for each pair: its key, log π_0 of both responses
//! ```
//!
//! Policy and pairs are named by hashes of what they are, so a resume finds what is still true and
//! computes what is not there. Each pair is a pass of its own: its numbers do not depend on which
//! others were left to compute.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pairs::Pairs;
use crate::Error;
use crate::policy::Policy;
use crate::run::Notice;

/// Pairs between two waits for the disk.
const SYNC_EVERY: usize = 64;

/// `log π_0` of both responses of a pair, summed over their tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reference {
    pub chosen: f64,
    pub rejected: f64,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    pair: String,
    chosen: f64,
    rejected: f64,
}

/// The log-probs of all pairs under `policy` as it is now.
pub(super) fn reference(
    policy: &mut Policy,
    pairs: &Pairs,
    output_dir: &Path,
    notices: &mut dyn FnMut(&Notice),
) -> Result<Vec<Reference>, Error> {
    let mut store = Store::open(&output_dir.join("reference"), &policy_key(policy)?)?;
    let total = pairs.len();
    let mut references = Vec::with_capacity(total);
    for index in 0..total {
        let key = pairs.pairs[index].key();
        let known = store.known.get(&key).copied();
        references.push(match known {
            Some(reference) => reference,
            None => {
                let place = &pairs.places[index];
                let new = compute(policy, pairs, index).map_err(Error::of_sample(place))?;
                store.add(key, new)?;
                notices(&Notice::Reference { done: index + 1, total });
                new
            }
        });
    }
    store.sync()?;
    Ok(references)
}

fn compute(policy: &mut Policy, pairs: &Pairs, index: usize) -> Result<Reference, Error> {
    let (pack, input) = pairs.pack(&[index], policy)?;
    let scored = policy.vlm.log_probs(&pack, input.borrow(), 1.0)?;
    let [chosen, rejected] =
        [0, 1].map(|branch: usize| sum(&scored.log_prob[pack.sequences[branch].clone()]));
    Ok(Reference { chosen, rejected })
}

/// `log π(y|x)` from the log-probs of its tokens.
pub(super) fn sum(log_probs: &[f32]) -> f64 {
    log_probs.iter().copied().map(f64::from).sum()
}

/// Names the policy: its weights as they are held, trained and frozen.
fn policy_key(policy: &Policy) -> Result<String, Error> {
    let mut hash = Sha256::new();
    hash.update(policy.vlm.encoder_hash());
    for (name, part) in policy.vlm.llm.parts() {
        hash.update(name);
        hash.update(bytemuck::cast_slice::<f32, u8>(&part.values()));
    }
    for (name, values) in policy.parameters()?.iter() {
        hash.update(name);
        hash.update(bytemuck::cast_slice::<f32, u8>(values.as_slice()));
    }
    Ok(stages::hex(&hash.finalize()[..16]))
}

/// The file of one policy.
struct Store {
    path: PathBuf,
    file: File,
    known: HashMap<String, Reference>,
    num_unsynced: usize,
}

impl Store {
    /// What the file holds; a line that a kill has torn, and what follows it, is dropped.
    fn open(folder: &Path, key: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{key}.jsonl"));
        let open = || -> std::io::Result<_> {
            std::fs::create_dir_all(folder)?;
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let (mut known, mut length) = (HashMap::new(), 0);
            for text in std::fs::read(&path)?.split_inclusive(|&byte| byte == b'\n') {
                let Ok(line) = serde_json::from_slice::<Line>(text) else { break };
                if !text.ends_with(b"\n") {
                    break;
                }
                length += text.len() as u64;
                let Line { pair, chosen, rejected } = line;
                known.insert(pair, Reference { chosen, rejected });
            }
            file.set_len(length)?;
            Ok((file, known))
        };
        match open() {
            Ok((file, known)) => Ok(Self { path, file, known, num_unsynced: 0 }),
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    fn add(&mut self, pair: String, reference: Reference) -> Result<(), Error> {
        let Reference { chosen, rejected } = reference;
        let line = serde_json::to_string(&Line { pair: pair.clone(), chosen, rejected });
        let text = line.expect("plain text and numbers") + "\n";
        self.known.insert(pair, reference);
        self.file.write_all(text.as_bytes()).map_err(self.io())?;
        self.num_unsynced += 1;
        if self.num_unsynced < SYNC_EVERY { Ok(()) } else { self.sync() }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.num_unsynced = 0;
        self.file.sync_data().map_err(self.io())
    }

    fn io(&self) -> impl FnOnce(std::io::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Io { path, source }
    }
}
