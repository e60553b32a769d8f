//! The questions of a data set, each with its known answer.

use std::path::Path;

use schema::{Role, Sample};

use crate::Error;
use crate::sieve::{Flaw, Kept, Needs, Quarantined, Sieved, text_of};

/// A question with a known answer.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its line in the file, from 1.
    pub line: usize,
    /// The author's name for it, or its line.
    pub id: String,
    /// The turns up to the question.
    pub prompt: Sample,
    /// The known answer.
    pub gold: String,
    /// Names its content, images included: equal for equal items, wherever they stand.
    pub hash: String,
}

impl Item {
    /// The image sources of the prompt, in the order in which they are shown.
    pub fn images(&self) -> Vec<&str> {
        self.prompt.image_sources().collect()
    }

    /// The question as text.
    pub fn question(&self) -> String {
        let texts = self.prompt.messages.iter().filter(|m| m.role == Role::User);
        texts.map(|message| text_of(&message.content)).collect::<Vec<_>>().join("\n")
    }

    /// A number that the item's draws are counted by.
    pub fn stream(&self) -> u64 {
        u64::from_str_radix(&self.hash[..16], 16).expect("a hash is hexadecimal")
    }

    /// The item as one that is not used.
    pub(crate) fn quarantined(&self, flaw: Flaw, reason: String) -> Quarantined {
        Quarantined { line: self.line, id: Some(self.id.clone()), flaw, reason }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// What is used.
    pub items: Vec<Item>,
    /// What is not.
    pub quarantined: Vec<Quarantined>,
    /// Lines that are not blank.
    pub num_lines: usize,
}

impl Items {
    /// Reads a file, or its first `limit` lines.
    ///
    /// # Errors
    /// When the file cannot be read; bad lines are no error.
    pub fn read(path: &Path, limit: Option<usize>) -> Result<Self, Error> {
        let Sieved { kept, quarantined, num_lines } = Sieved::read(path, limit, Needs::Answer)?;
        let item = |Kept { line, id, prompt, gold, hash, .. }| {
            Some(Item { line, id, prompt, gold: gold?, hash })
        };
        Ok(Self { items: kept.into_iter().filter_map(item).collect(), quarantined, num_lines })
    }
}
