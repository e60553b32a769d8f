//! A completion's thought told apart from its answer, while it comes.

use std::mem::take;

use preprocess::THOUGHT_MARKS;

const OPEN: &str = THOUGHT_MARKS[0];
const CLOSE: &str = THOUGHT_MARKS[1];

/// What is new of a completion.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) thought: String,
    pub(crate) content: String,
}

impl Piece {
    pub(crate) fn is_empty(&self) -> bool {
        self.thought.is_empty() && self.content.is_empty()
    }

    /// Content and thought as replies have them: a thought comes without content.
    pub(crate) fn into_fields(self) -> (Option<String>, Option<String>) {
        let Self { thought, content } = self;
        let content = (thought.is_empty() || !content.is_empty()).then_some(content);
        (content, Some(thought).filter(|thought| !thought.is_empty()))
    }

    /// Appends what came later.
    pub(crate) fn extend(&mut self, later: &Self) {
        self.thought.push_str(&later.thought);
        self.content.push_str(&later.content);
    }
}

/// Tells the thought of one completion from what follows it; white space around the tags belongs to neither. A text that
/// opens with no thought is all answer.
#[derive(Debug)]
pub(crate) struct Splitter {
    state: State,
    /// What may yet belong to a tag, or to the white space around it.
    pending: String,
}

#[derive(Debug)]
enum State {
    /// No more than a part of the tag has come.
    Begun,
    /// The tag has come, and no more than white space after it.
    Opened,
    Thought,
    /// The thought has ended, and no more than white space has come after it.
    Closed,
    Content,
}

impl Splitter {
    /// One that calls everything an answer where thoughts are not to be told apart.
    pub(crate) fn new(separates: bool) -> Self {
        let state = if separates { State::Begun } else { State::Content };
        Self { state, pending: String::new() }
    }

    /// What is certain, now that `text` has come.
    pub(crate) fn push(&mut self, text: &str) -> Piece {
        self.pending.push_str(text);
        let mut piece = Piece::default();
        while let Some(next) = self.advance(&mut piece) {
            self.state = next;
        }
        piece
    }

    /// What is left of a completion that has ended.
    pub(crate) fn finish(&mut self) -> Piece {
        let rest = take(&mut self.pending);
        match self.state {
            State::Begun | State::Content => Piece { content: rest, ..Piece::default() },
            State::Opened | State::Thought | State::Closed => {
                Piece { thought: rest.trim_end().to_owned(), ..Piece::default() }
            }
        }
    }

    /// Moves what is certain to `piece`; the state that the rest is to be read in, if it can be read yet.
    fn advance(&mut self, piece: &mut Piece) -> Option<State> {
        match self.state {
            State::Begun => {
                let begun = self.pending.trim_start();
                if let Some(rest) = begun.strip_prefix(OPEN) {
                    self.pending = rest.to_owned();
                    return Some(State::Opened);
                }
                (!OPEN.starts_with(begun)).then_some(State::Content)
            }
            State::Opened => self.after_space(State::Thought),
            State::Thought => match self.pending.split_once(CLOSE) {
                Some((thought, rest)) => {
                    piece.thought.push_str(thought.trim_end());
                    self.pending = rest.to_owned();
                    Some(State::Closed)
                }
                None => {
                    let certain = without_close(&self.pending);
                    piece.thought.extend(self.pending.drain(..certain));
                    None
                }
            },
            State::Closed => self.after_space(State::Content),
            State::Content => {
                piece.content.push_str(&take(&mut self.pending));
                None
            }
        }
    }

    fn after_space(&mut self, next: State) -> Option<State> {
        self.pending = self.pending.trim_start().to_owned();
        (!self.pending.is_empty()).then_some(next)
    }
}

/// Bytes of a thought that its end cannot take back.
fn without_close(text: &str) -> usize {
    let begun = (1..CLOSE.len()).rev().find(|&length| text.ends_with(&CLOSE[..length]));
    text[..text.len() - begun.unwrap_or(0)].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str], separates: bool) -> (String, String) {
        let mut splitter = Splitter::new(separates);
        let mut all: Vec<Piece> = pieces.iter().map(|text| splitter.push(text)).collect();
        all.push(splitter.finish());
        all.into_iter().fold(Default::default(), |(thought, content), piece| {
            (thought + &piece.thought, content + &piece.content)
        })
    }

    #[test]
    fn a_text_is_split_alike_however_it_comes() {
        for (text, thought, content) in [
            ("<think>\n3 + 4 = 7\n</think>\n\n\\boxed{7}", "3 + 4 = 7", "\\boxed{7}"),
            ("\n<think>a </ b\n\n</think>c</think> d", "a </ b", "c</think> d"),
            ("<think></think>7", "", "7"),
            ("<think>\n3 + 4 </thin", "3 + 4 </thin", ""),
            ("<think>\n3 \n", "3", ""),
            ("<think>ÿ</think>\n", "ÿ", ""),
            ("  No thought: <think>", "", "  No thought: <think>"),
            ("<thi", "", "<thi"),
            ("", "", ""),
        ] {
            let chars: Vec<String> = text.chars().map(String::from).collect();
            for length in 1..=chars.len().max(1) {
                let pieces: Vec<String> = chars.chunks(length).map(<[_]>::concat).collect();
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                let found = split(&pieces, true);
                assert_eq!(found, (thought.to_owned(), content.to_owned()), "{pieces:?}");
                assert_eq!(split(&pieces, false), (String::new(), text.to_owned()), "{pieces:?}");
            }
        }
    }

    #[test]
    fn nothing_certain_waits() {
        let mut splitter = Splitter::new(true);
        let thought = |text: &str| Piece { thought: text.to_owned(), ..Piece::default() };
        assert_eq!(splitter.push("<think>\nfour"), thought("four"));
        assert_eq!(splitter.push(" and <"), thought(" and"));
        assert_eq!(splitter.push("/th"), Piece::default());
        assert_eq!(splitter.push("ree"), thought(" </three"));
    }
}
