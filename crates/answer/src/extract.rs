//! Where in a text its answer stands, by the rules of Math-Verify's extractors.
//!
//! Candidates come in order of how firmly the text announces them; among those announced alike, the
//! last in the text comes first, and of those that end together the longest. The first that can be
//! read is the answer.

mod environment;
mod numeral;

use crate::Extraction;
use crate::boxed::Boxes;
use environment::{Environments, Group};
use numeral::Numeral;

/// Candidates of one rank; more are not tried.
const MAX_CANDIDATES: usize = 24;

/// Only so much of the end of a text is searched.
const MAX_TEXT: usize = 1 << 16;

/// Characters between "answer" and what it announces.
const REACH: usize = 50;

/// Characters between "answer" and the equals sign before what it announces.
const FAR_REACH: usize = 100;

/// A place in a text that may hold the answer.
#[derive(Clone, Debug)]
pub(crate) enum Candidate<'a> {
    /// Formulas that belong together: `$1$, $2$ and $3$`.
    Formulas(Vec<Formula<'a>>),
    /// A number or an expression without LaTeX.
    Numeral(Numeral<'a>),
}

/// A formula as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Formula<'a> {
    /// What stands between its delimiters.
    pub(crate) text: &'a str,
    /// Which of its boxes count.
    pub(crate) boxes: Boxes,
    /// Whether a percent sign follows.
    pub(crate) percent: bool,
}

/// A candidate with its place, for sorting.
struct Placed<'a> {
    start: usize,
    end: usize,
    candidate: Candidate<'a>,
}

/// What announces an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rank {
    /// "final answer is …. I hope"
    Hoped,
    /// "final answer … is …"
    Final,
    Boxed,
    /// "answer: …"
    Colon,
    /// "answer …"
    Word,
    /// Nothing.
    Bare,
}

/// Tries candidates, firmest first, until `read` takes one. With
/// [`Extraction::Response`] only the first is tried.
pub(crate) fn first<'a, T>(
    text: &'a str,
    extraction: Extraction,
    mut read: impl FnMut(&Candidate<'a>) -> Option<T>,
) -> Option<T> {
    let text = &text[text.ceil_char_boundary(text.len().saturating_sub(MAX_TEXT))..];
    let search = Search { text, environments: Environments::new(text), words: announcements(text) };
    let ranks: &[&[Rank]] = match extraction {
        Extraction::Bare => &[
            &[Rank::Hoped],
            &[Rank::Final, Rank::Boxed],
            &[Rank::Colon],
            &[Rank::Word],
            &[Rank::Bare],
        ],
        Extraction::Response => {
            &[&[Rank::Hoped, Rank::Boxed], &[Rank::Final], &[Rank::Colon], &[Rank::Word]]
        }
    };
    for alike in ranks {
        let mut found: Vec<Placed<'a>> = Vec::new();
        for rank in *alike {
            search.formulas(*rank, &mut found);
            if extraction == Extraction::Bare {
                search.numerals(*rank, &mut found);
            }
        }
        found.sort_by(|a, b| b.end.cmp(&a.end).then(a.start.cmp(&b.start)));
        if extraction == Extraction::Response {
            if let Some(placed) = found.first() {
                return read(&placed.candidate);
            }
            continue;
        }
        let answer = found.iter().take(MAX_CANDIDATES).find_map(|placed| read(&placed.candidate));
        if answer.is_some() {
            return answer;
        }
    }
    None
}

/// The length of the number or the arithmetic that a text begins with.
pub(crate) fn numeral_at_start(text: &str) -> Option<usize> {
    numeral::at(text, 0).map(|(_, end)| end)
}

struct Search<'a> {
    text: &'a str,
    environments: Environments<'a>,
    /// Where "answer" stands, from left to right.
    words: Vec<usize>,
}

impl<'a> Search<'a> {
    fn formulas(&self, rank: Rank, found: &mut Vec<Placed<'a>>) {
        let mut add = |start: usize, group: Group<'a>| {
            let candidate = Candidate::Formulas(group.formulas);
            found.push(Placed { start, end: group.end, candidate });
        };
        match rank {
            Rank::Bare => {
                let mut at = 0;
                while let Some((start, group)) = self.environments.next_group(at) {
                    at = group.end;
                    add(start, group);
                }
            }
            Rank::Boxed => {
                for (start, group) in self.environments.boxed() {
                    add(start, group);
                }
            }
            Rank::Hoped | Rank::Final => {
                for (start, at) in self.final_answers(rank) {
                    let at = at + leading_space(&self.text[at..]);
                    let Some(group) = self.environments.group_at(at) else { continue };
                    if rank == Rank::Final || is_hoped(&self.text[group.end..]) {
                        add(start, group);
                    }
                }
            }
            Rank::Colon | Rank::Word => {
                for (start, at) in self.answers(rank) {
                    let group = self
                        .positions(at, REACH, false)
                        .find_map(|at| self.environments.group_at(at));
                    if let Some(group) = group {
                        add(start, group);
                    }
                }
            }
        }
    }

    fn numerals(&self, rank: Rank, found: &mut Vec<Placed<'a>>) {
        let mut add = |start: usize, (numeral, end): (Numeral<'a>, usize)| {
            found.push(Placed { start, end, candidate: Candidate::Numeral(numeral) });
        };
        match rank {
            Rank::Bare => {
                for (start, end, numeral) in numeral::all(self.text) {
                    add(start, (numeral, end));
                }
            }
            Rank::Hoped | Rank::Final => {
                for (start, at) in self.final_answers(rank) {
                    let Some(numeral) = numeral::at(self.text, at) else { continue };
                    if rank == Rank::Final || is_hoped(&self.text[numeral.1..]) {
                        add(start, numeral);
                    }
                }
            }
            Rank::Colon | Rank::Word => {
                for (start, at) in self.answers(rank) {
                    if let Some(numeral) = self.announced_numeral(at) {
                        add(start, numeral);
                    }
                }
            }
            Rank::Boxed => {}
        }
    }

    /// The number after the last equals sign near an announcement, else the first number near it.
    fn announced_numeral(&self, at: usize) -> Option<(Numeral<'a>, usize)> {
        let is_last =
            |(_, end): &(Numeral<'a>, usize)| !self.text[*end..].trim_start().starts_with('=');
        let equals: Vec<usize> = self
            .positions(at, FAR_REACH, true)
            .filter(|at| self.text[*at..].starts_with('='))
            .collect();
        let after_equals =
            equals.into_iter().rev().find_map(|at| numeral::at(self.text, at + 1).filter(is_last));
        after_equals.or_else(|| {
            self.positions(at, REACH, true)
                .find_map(|at| numeral::at(self.text, at).filter(is_last))
        })
    }

    /// Places up to `reach` characters after `at`, on the same line if so wanted.
    fn positions(&self, at: usize, reach: usize, line: bool) -> impl Iterator<Item = usize> + '_ {
        let after = &self.text[at..];
        let places = after.char_indices().map(|(place, _)| place).chain([after.len()]);
        let end = if line { after.find('\n').unwrap_or(after.len()) } else { after.len() };
        places.take(reach + 1).take_while(move |place| *place <= end).map(move |place| at + place)
    }

    /// Where "answer" or "answer:" stands, and where what follows begins.
    fn answers(&self, rank: Rank) -> impl Iterator<Item = (usize, usize)> + '_ {
        // of very many, only the last can matter
        let last = self.words.len().saturating_sub(4 * MAX_CANDIDATES);
        self.words[last..].iter().filter_map(move |start| {
            let end = start + "answer".len();
            match rank {
                Rank::Colon => self.text[end..].starts_with(':').then_some((*start, end + 1)),
                _ => Some((*start, end)),
            }
        })
    }

    /// Where "final answer is" stands, words between allowed for [`Rank::Final`], and where what
    /// follows begins.
    fn final_answers(&self, rank: Rank) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.answers(Rank::Word).filter_map(move |(start, end)| {
            let start = start.checked_sub("final ".len())?;
            if !self.text.get(start..)?.get(.."final ".len())?.eq_ignore_ascii_case("final ") {
                return None;
            }
            let reach = if rank == Rank::Hoped { 0 } else { FAR_REACH };
            let is = self.positions(end, reach, false).find_map(|at| {
                let rest = &self.text[at..];
                let word = rest.trim_start();
                let spaces = rest.len() - word.len();
                let is = word.get(..2).is_some_and(|is| is.eq_ignore_ascii_case("is"));
                (spaces > 0 && is).then_some(at + spaces + 2)
            })?;
            Some((start, is + usize::from(self.text[is..].starts_with(':'))))
        })
    }
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Whether a text goes on with "I hope".
fn is_hoped(text: &str) -> bool {
    let text = text.strip_prefix('.').unwrap_or(text);
    text.trim_start().starts_with("I hope")
}

/// Where "answer" stands in any case.
fn announcements(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let is_answer = |at: &usize| {
        bytes.get(*at..*at + 6).is_some_and(|word| word.eq_ignore_ascii_case(b"answer"))
    };
    (0..bytes.len()).filter(|at| matches!(bytes[*at], b'a' | b'A')).filter(is_answer).collect()
}
