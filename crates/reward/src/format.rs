//! Whether a completion has the form the recipe trains: a thought, then one boxed answer.

use std::borrow::Cow;

use crate::extract::last_boxed;

/// Who opens the thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The prompt ends in `<think>`, as in R1V's chat templates; the completion continues inside the thought.
    InPrompt,
    /// The completion begins with `<think>`.
    InCompletion,
}

impl Opening {
    /// The whole response: the completion with the opening that stands in its prompt.
    pub fn response(self, completion: &str) -> Cow<'_, str> {
        match self {
            Self::InPrompt => Cow::Owned(format!("<think>\n{completion}")),
            Self::InCompletion => Cow::Borrowed(completion),
        }
    }
}

/// What keeps a completion from being well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The response does not begin with `<think>`.
    NoThought,
    /// `<think>` occurs again.
    SecondThought,
    /// There is no `</think>`.
    NotClosed,
    /// `</think>` occurs again.
    ClosedTwice,
    /// Nothing follows the thought.
    NoAnswer,
    /// No `\boxed{…}` with something in it follows the thought.
    NoBox,
    /// More than one `\boxed` follows the thought.
    SeveralBoxes,
}

/// The first flaw of a completion, if any.
///
/// R1V2 (arXiv:2504.16656) says "DeepSeek R1-style chat template" and no more. This is the form
/// its siblings check: exactly one `<think>`, at the start, exactly one `</think>`, and one
/// boxed answer in the text after it.
pub fn format_flaw(completion: &str, opening: Opening) -> Option<Flaw> {
    let thought = match opening {
        Opening::InPrompt => completion,
        Opening::InCompletion => match completion.trim_start().strip_prefix("<think>") {
            Some(thought) => thought,
            None => return Some(Flaw::NoThought),
        },
    };
    if thought.contains("<think>") {
        return Some(Flaw::SecondThought);
    }
    let Some((_, answer)) = thought.split_once("</think>") else {
        return Some(Flaw::NotClosed);
    };
    if answer.contains("</think>") {
        return Some(Flaw::ClosedTwice);
    }
    if answer.trim().is_empty() {
        return Some(Flaw::NoAnswer);
    }
    match (last_boxed(answer), answer.matches("\\boxed").count()) {
        (_, 2..) => Some(Flaw::SeveralBoxes),
        (Some(content), _) if !content.trim().is_empty() => None,
        _ => Some(Flaw::NoBox),
    }
}

/// 1 for a well-formed completion, else 0.
pub fn format_reward(completion: &str, opening: Opening) -> f64 {
    f64::from(u8::from(format_flaw(completion, opening).is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A completion after a prompt that opened the thought, and its flaw.
    const CASES: &[(&str, Option<Flaw>)] = &[
        ("a\n</think>\n\n\\boxed{7}", None),
        ("</think>It is \\boxed{\\frac{1}{2}}, I think.", None),
        ("\\boxed{1} no\n</think>\n\\boxed{7}", None),
        ("a <think> b</think>\\boxed{7}", Some(Flaw::SecondThought)),
        ("a</think>\\boxed{7}<think>", Some(Flaw::SecondThought)),
        ("a \\boxed{7}", Some(Flaw::NotClosed)),
        ("", Some(Flaw::NotClosed)),
        ("a</think>b</think>\\boxed{7}", Some(Flaw::ClosedTwice)),
        ("a</think> \n", Some(Flaw::NoAnswer)),
        ("a</think>7", Some(Flaw::NoBox)),
        ("a</think>\\boxed{ }", Some(Flaw::NoBox)),
        ("a</think>\\boxed{7", Some(Flaw::NoBox)),
        ("a</think>\\boxed{7} or \\boxed{8}", Some(Flaw::SeveralBoxes)),
        ("a</think>\\boxed{7} or \\boxed{8", Some(Flaw::SeveralBoxes)),
    ];

    #[test]
    fn completions_of_an_opened_thought() {
        for &(completion, want) in CASES {
            assert_eq!(format_flaw(completion, Opening::InPrompt), want, "{completion:?}");
            assert_eq!(
                format_reward(completion, Opening::InPrompt),
                f64::from(u8::from(want.is_none()))
            );
        }
    }

    #[test]
    fn completions_that_open_it_themselves() {
        for &(completion, want) in CASES {
            let whole = Opening::InPrompt.response(completion);
            assert_eq!(format_flaw(&whole, Opening::InCompletion), want, "{completion:?}");
            assert_eq!(Opening::InCompletion.response(&whole), whole);
            if !completion.contains("<think>") {
                assert_eq!(format_flaw(completion, Opening::InCompletion), Some(Flaw::NoThought));
            }
        }
        assert_eq!(
            format_flaw("a <think></think>\\boxed{7}", Opening::InCompletion),
            Some(Flaw::NoThought)
        );
        assert_eq!(format_flaw("\n<think>\n</think>\\boxed{7}", Opening::InCompletion), None);
    }
}
