//! The form of replies: one JSON object and nothing else.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A grade from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Score(u8);

impl Score {
    /// The nearest grade.
    pub fn clamped(value: i64) -> Self {
        Self(value.clamp(1, 5) as u8)
    }

    /// The grade as a number.
    pub fn value(self) -> f64 {
        f64::from(self.0)
    }
}

impl TryFrom<u8> for Score {
    type Error = String;

    fn try_from(value: u8) -> Result<Self, String> {
        match value {
            1..=5 => Ok(Self(value)),
            _ => Err(format!("a score is {value}, expected a whole number from 1 to 5")),
        }
    }
}

impl From<Score> for u8 {
    fn from(score: Score) -> Self {
        score.0
    }
}

/// The object that a reply is. A thought before it and a fence around it are allowed, words are not.
///
/// # Errors
/// Where and how it departs from that.
pub fn read_json<T: DeserializeOwned>(reply: &str) -> Result<T, String> {
    let text = reward::after_thought(reply).ok_or("the thought is not closed")?.trim();
    let text = unfenced(text);
    if !text.starts_with('{') {
        return Err("it does not begin with a JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The inside of a Markdown fence around the whole text.
fn unfenced(text: &str) -> &str {
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inside.map_or(text, |inside| inside.strip_prefix("json").unwrap_or(inside).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        score: Score,
    }

    #[test]
    fn only_the_object_is_read() {
        let read = |reply: &str| read_json::<One>(reply).map(|one| one.score.value());
        for good in [
            r#"{"score": 4}"#,
            " {\"score\":4}\n",
            "```json\n{\"score\": 4}\n```",
            "```\n{\"score\": 4}\n```",
            "<think>\nFour, {\"score\": 1}?\n</think>\n{\"score\": 4}",
        ] {
            assert_eq!(read(good), Ok(4.0), "{good}");
        }
        for (bad, want) in [
            ("The score is 4.", "does not begin"),
            ("Here: {\"score\": 4}", "does not begin"),
            ("{\"score\": 4} I hope this helps", "trailing"),
            ("{\"score\": 4", "EOF"),
            ("{\"score\": 6}", "from 1 to 5"),
            ("{\"score\": 3.5}", "3.5"),
            ("{\"score\": \"4\"}", "string"),
            ("{\"score\": 4, \"why\": 1}", "unknown field"),
            ("{}", "missing field"),
            ("<think>{\"score\": 4}", "not closed"),
            ("", "does not begin"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(want), "{bad}: {error}");
        }
    }
}
