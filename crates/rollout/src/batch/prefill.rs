//! Shows prompts to the model: several short ones in one pass, a long one in several passes.

use std::ops::Range;

use model::layout::Layout;
use model::pack::ImageSlot;
use model::vlm::stack;
use tensor::{Span, Tensor, ops};

use super::{Batch, Group, PREFILL_ROWS, axes, position, present};
use crate::Error;

/// Consecutive tokens of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    prompt: usize,
    tokens: Range<usize>,
    is_last: bool,
}

impl Batch<'_> {
    /// Writes the prompts into their cache rows; the hidden state of each prompt's last token, in
    /// order.
    pub(super) fn extend_by_prompts(&mut self, prompts: &[usize]) -> Result<Tensor, Error> {
        let length = |&prompt: &usize| (prompt, self.groups[&prompt].prompt.ids.len());
        let lengths: Vec<_> = prompts.iter().map(length).collect();
        let mut ends = Vec::new();
        for pass in passes(&lengths, self.opening.len(), PREFILL_ROWS) {
            let (x, layout) = self.rows_of(&pass)?;
            let hidden = self.vlm.llm.extend(x, &layout, &mut self.cache);
            let rows: Vec<usize> = (0..pass.len()).filter(|&i| pass[i].is_last).collect();
            ends.push(ops::gather_rows(&hidden, &rows));
        }
        Ok(stack(&ends.iter().collect::<Vec<_>>()))
    }

    /// Writes what all prompts open with, which is how `prompt` does.
    pub(super) fn extend_by_opening(&mut self, prompt: usize) -> Result<(), Error> {
        let first = self.opening.start;
        for pass in passes(&[(prompt, self.opening.len())], 0, PREFILL_ROWS) {
            let tokens = &pass[0].tokens;
            let x = self.embed(prompt, tokens)?;
            let layout = Layout {
                positions: tokens.clone().map(position).collect(),
                slots: tokens.clone().map(|token| first + token).collect(),
                spans: vec![Span {
                    queries: 0..tokens.len(),
                    past: Vec::new(),
                    own: first..first + tokens.end,
                    causal: true,
                }],
                outputs: Some(vec![tokens.len() - 1]),
                ..Layout::default()
            };
            self.vlm.llm.extend(x, &layout, &mut self.cache);
        }
        Ok(())
    }

    /// Embeddings and layout of a pass. The last row of each piece is answered for.
    fn rows_of(&self, pass: &[Piece]) -> Result<(Tensor, Layout), Error> {
        let mut embedded = Vec::with_capacity(pass.len());
        let mut layout = Layout::default();
        let opening = &self.opening;
        let (mut outputs, mut places) = (Vec::with_capacity(pass.len()), Vec::new());
        for Piece { prompt, tokens, .. } in pass {
            embedded.push(self.embed(*prompt, tokens)?);
            let group = &self.groups[prompt];
            let cached = group.rows.start;
            let first = layout.positions.len();
            layout.positions.extend(tokens.clone().map(position));
            places.extend(tokens.clone().map(|token| group.prompt.place(token)));
            layout.slots.extend(tokens.clone().map(|token| cached + token - opening.len()));
            layout.spans.push(Span {
                queries: first..first + tokens.len(),
                past: present([opening]),
                own: cached..cached + tokens.end - opening.len(),
                causal: true,
            });
            outputs.push(first + tokens.len() - 1);
        }
        layout.outputs = Some(outputs);
        layout.axes = axes(&layout.positions, &places);
        Ok((stack(&embedded.iter().collect::<Vec<_>>()), layout))
    }

    /// Embeddings of a piece, with those image features projected that it shows.
    fn embed(&self, prompt: usize, tokens: &Range<usize>) -> Result<Tensor, Error> {
        let Group { prompt, slots, .. } = &self.groups[&prompt];
        let shown: Vec<_> = slots.iter().filter(|slot| tokens.contains(&slot.row)).collect();
        let ids = &prompt.ids[tokens.clone()];
        let features = prompt.features.as_ref().filter(|_| !shown.is_empty());
        let Some(features) = features else { return Ok(self.vlm.embed(ids, &[], None)?) };
        let rows: Vec<usize> = shown.iter().map(|slot| slot.feature).collect();
        let projected = self.vlm.project(&ops::gather_rows(features, &rows));
        let local = |(feature, slot): (usize, &&ImageSlot)| ImageSlot {
            row: slot.row - tokens.start,
            feature,
        };
        let slots: Vec<_> = shown.iter().enumerate().map(local).collect();
        Ok(self.vlm.embed(ids, &slots, Some(&projected))?)
    }
}

/// Passes of at most `max_rows` over prompts of the given (index, length), of which the first
/// `opening` tokens are known. A prompt is cut at multiples of `max_rows` and nowhere else, so that
/// its neighbours do not change its numbers.
fn passes(prompts: &[(usize, usize)], opening: usize, max_rows: usize) -> Vec<Vec<Piece>> {
    let mut passes: Vec<Vec<Piece>> = Vec::new();
    let mut num_rows = max_rows;
    for &(prompt, length) in prompts {
        for start in (0..length).step_by(max_rows) {
            let (start, end) = (start.max(opening), (start + max_rows).min(length));
            if start >= end {
                continue;
            }
            let piece = Piece { prompt, tokens: start..end, is_last: end == length };
            match passes.last_mut().filter(|_| num_rows + piece.tokens.len() <= max_rows) {
                Some(pass) => {
                    num_rows += piece.tokens.len();
                    pass.push(piece);
                }
                None => {
                    num_rows = piece.tokens.len();
                    passes.push(vec![piece]);
                }
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prompts_share_a_pass_and_long_ones_are_cut_at_fixed_places() {
        let piece = |prompt, tokens: Range<usize>, is_last| Piece { prompt, tokens, is_last };
        assert_eq!(
            passes(&[(4, 3), (5, 4), (6, 2), (7, 17), (8, 6)], 0, 8),
            [
                vec![piece(4, 0..3, true), piece(5, 0..4, true)],
                vec![piece(6, 0..2, true)],
                vec![piece(7, 0..8, false)],
                vec![piece(7, 8..16, false)],
                vec![piece(7, 16..17, true), piece(8, 0..6, true)],
            ]
        );
        assert_eq!(
            passes(&[(0, 12), (1, 23)], 9, 8),
            [
                vec![piece(0, 9..12, true)],
                vec![piece(1, 9..16, false)],
                vec![piece(1, 16..23, true)]
            ]
        );
    }
}
