//! A sample's turns as plain text, with its images in the order of their tags.

use schema::{Content, Message, Part, Role, Sample};

use crate::error::{Error, Result};

/// Stands for one image in the text of a turn.
pub const IMAGE_TAG: &str = "<image>";

/// One turn as plain text.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said, with one [`IMAGE_TAG`] for each image.
    pub text: String,
}

/// Turns in which the k-th [`IMAGE_TAG`] stands for the k-th image.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The turns, oldest first.
    pub turns: Vec<Turn>,
    /// Paths or data URLs.
    pub images: Vec<String>,
}

impl Conversation {
    /// Flattens content parts to text (an image becomes a tag and a newline, as InternVL's template writes it) and
    /// pairs tags with images. When no tag stands in the text, each listed image is put before the first user turn.
    ///
    /// # Errors
    ///
    /// When the number of tags differs from the number of images.
    pub fn from_sample(sample: &Sample) -> Result<Self> {
        Self::with_separator(sample, "\n")
    }

    /// As [`from_sample`](Self::from_sample), with `separator` in place of the newline: none in templates of
    /// Qwen's.
    pub(crate) fn with_separator(sample: &Sample, separator: &str) -> Result<Self> {
        let mut sources = Vec::new();
        let flatten = |message| flatten(message, separator, &mut sources);
        let mut turns: Vec<Turn> = sample.messages.iter().map(flatten).collect();
        let num_listed = sample.images.len();
        if sources.is_empty() && num_listed > 0 {
            prepend_tags(&mut turns, num_listed, separator)?;
            sources.resize(num_listed, None);
        }
        let tags = sources.iter().filter(|source| source.is_none()).count();
        if tags != num_listed {
            return Err(Error::ImageCount { tags, images: num_listed });
        }
        let mut listed = sample.images.iter();
        let images = sources
            .into_iter()
            .map(|source| source.or_else(|| listed.next().cloned()).expect("as many as tags"))
            .collect();
        Ok(Self { turns, images })
    }

    /// The turns that lead to an answer: all but a final assistant turn, which is a target and no part of the prompt.
    pub fn prompt_turns(&self) -> &[Turn] {
        match self.turns.split_last() {
            Some((last, rest)) if last.role == Role::Assistant => rest,
            _ => &self.turns,
        }
    }
}

/// A message as text. Each tag adds an entry to `sources`: the image itself, or `None` for the next of the list.
fn flatten(message: &Message, separator: &str, sources: &mut Vec<Option<String>>) -> Turn {
    let one;
    let parts = match &message.content {
        Content::Text(text) => {
            one = [Part::Text { text: text.clone() }];
            &one[..]
        }
        Content::Parts(parts) => parts,
    };
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text { text: piece } => {
                sources.extend(piece.matches(IMAGE_TAG).map(|_| None));
                text.push_str(piece);
            }
            Part::Image { image } => {
                sources.push(image.clone());
                text.extend([IMAGE_TAG, separator]);
            }
            Part::ImageUrl { image_url } => {
                sources.push(Some(image_url.url.clone()));
                text.extend([IMAGE_TAG, separator]);
            }
        }
    }
    Turn { role: message.role, text }
}

fn prepend_tags(turns: &mut [Turn], num_images: usize, separator: &str) -> Result<()> {
    let first = turns.iter_mut().find(|turn| turn.role == Role::User);
    let first = first.ok_or(Error::NoUserTurn { images: num_images })?;
    first.text.insert_str(0, &format!("{IMAGE_TAG}{separator}").repeat(num_images));
    Ok(())
}
