//! Responses to one prompt, as a reward model reads them: the rows they share, then each one's own.
//!
//! ```text
//! rendered with response a   p p p p a a a e     e: what closes the assistant's turn
//! rendered with response b   p p p p b b e
//!                            └─────┘ shared      scored at the last token of each
//! ```

use schema::{Role, Sample};

use crate::conversation::Turn;
use crate::error::Result;
use crate::example::{answer_mark, with_answer};
use crate::model_image::ModelImage;
use crate::template::ChatTemplate;

/// A prompt with responses, every one of which ends where its value is read.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Ids that all rendered conversations begin with, image rows included.
    pub prefix: Vec<u32>,
    /// What follows in each: at least one id.
    pub branches: Vec<Vec<u32>>,
    /// Positions in `prefix` of the image rows, ascending.
    pub image_rows: Vec<usize>,
    /// Time, row and column of each row of the prefix, where the model places rows so.
    pub places: Option<Vec<[u32; 3]>>,
    /// The images in the order of their rows.
    pub images: Vec<ModelImage>,
}

impl Judged {
    /// Rows of the tree.
    pub fn num_rows(&self) -> usize {
        self.prefix.len() + self.branches.iter().map(Vec::len).sum::<usize>()
    }

    /// Tokens of the longest rendered conversation.
    pub fn longest(&self) -> usize {
        self.prefix.len() + self.branches.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// The sample without an answer that it ends in.
pub(crate) fn prompt_alone(sample: &Sample) -> Sample {
    let mut prompt = sample.clone();
    prompt.messages.pop_if(|last| last.role == Role::Assistant);
    prompt
}

/// The text of a whole conversation that ends in `response`, without a generation prompt. A template that
/// drops the thought from what the assistant says is given a mark in its place: what is judged must be
/// there whole.
pub(crate) fn rendered(template: &ChatTemplate, turns: &[Turn], response: &str) -> Result<String> {
    let with = |text: &str| {
        let mut turns = turns.to_vec();
        turns.push(Turn { role: Role::Assistant, text: text.to_owned() });
        template.render(&turns)
    };
    let text = with(response)?;
    match text.contains(response.trim()) {
        true => Ok(text),
        false => with_answer(&with(&answer_mark())?, response),
    }
}

/// Splits sequences into what they all begin with and what follows, of which each keeps one id at least.
pub(crate) fn split(mut sequences: Vec<Vec<u32>>) -> (Vec<u32>, Vec<Vec<u32>>) {
    let first = sequences.first().cloned().unwrap_or_default();
    let common = |other: &Vec<u32>| {
        let same = first.iter().zip(other).take_while(|(a, b)| a == b).count();
        same.min(other.len().saturating_sub(1))
    };
    let num_shared = sequences.iter().map(common).min().unwrap_or(0);
    for sequence in &mut sequences {
        sequence.drain(..num_shared);
    }
    (first[..num_shared].to_vec(), sequences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_branch_keeps_an_id() {
        let (prefix, branches) = split(vec![vec![1, 2, 3, 4], vec![1, 2, 5], vec![1, 2, 3, 4]]);
        assert_eq!((prefix, branches), (vec![1, 2], vec![vec![3, 4], vec![5], vec![3, 4]]));
        let (prefix, branches) = split(vec![vec![1, 2, 3], vec![1, 2]]);
        assert_eq!((prefix, branches), (vec![1], vec![vec![2, 3], vec![2]]));
        assert_eq!(split(vec![vec![7, 7], vec![7, 7]]), (vec![7], vec![vec![7], vec![7]]));
    }

    #[test]
    fn a_dropped_thought_is_put_back() {
        let source =
            "{% for m in messages %}[{{ m.content.split('</think>')[-1].strip() }}]{% endfor %}";
        let template = ChatTemplate::new(source, &[], 0).unwrap();
        let turns = [Turn { role: Role::User, text: "Why?".to_owned() }];
        let of = |response: &str| rendered(&template, &turns, response).unwrap();
        assert_eq!(of("so\n</think>\n\n7 "), "[Why?][so\n</think>\n\n7 ]");
        assert_eq!(of(" 7 "), "[Why?][7]");
    }
}
