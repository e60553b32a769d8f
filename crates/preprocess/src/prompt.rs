//! A conversation's rendered text becomes ids, each image tag becoming the rows its tiles fill.

use crate::conversation::IMAGE_TAG;
use crate::error::{Error, Result};
use crate::model_image::{ImageTokens, ModelImage};

/// Opens an image in the text.
pub const IMAGE_OPEN: &str = "<img>";
/// Closes an image in the text.
pub const IMAGE_CLOSE: &str = "</img>";
/// One row that a projected visual token overwrites.
pub const IMAGE_ROW: &str = "<IMG_CONTEXT>";

/// What a model sees before it answers.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The rendered template, each image still one tag.
    pub text: String,
    /// Token ids, image rows included.
    pub ids: Vec<u32>,
    /// Positions in `ids` of the image rows, ascending: the tiles of all images in order fill them.
    pub image_rows: Vec<usize>,
    /// Time, row and column of each id, where the model places rows so.
    pub places: Option<Vec<[u32; 3]>>,
    /// The images in the order of their rows.
    pub images: Vec<ModelImage>,
}

impl Prompt {
    /// Whether the prompt ends inside an opened thought: the completion then lacks the opening `<think>`.
    pub fn opens_thought(&self) -> bool {
        opens_thought(&self.text)
    }

    /// The same prompt over grey images: the blind baseline.
    pub fn blind(&self) -> Self {
        let images = self.images.iter().map(ModelImage::grey).collect();
        Self { images, ..self.clone() }
    }
}

pub(crate) fn opens_thought(text: &str) -> bool {
    text.trim_end().ends_with("<think>")
}

/// Replaces image tags across pieces of text, from the first image to the last.
pub(crate) struct Expansion<'a> {
    images: std::slice::Iter<'a, ModelImage>,
    tokens: Option<ImageTokens>,
    num_tags: usize,
}

impl<'a> Expansion<'a> {
    /// `tokens` are those that stand for an image; a model without vision has none, and no images.
    pub(crate) fn new(images: &'a [ModelImage], tokens: Option<ImageTokens>) -> Self {
        Self { images: images.iter(), tokens, num_tags: 0 }
    }

    /// `text` with each tag replaced by the next image's tokens; tags beyond the last image stay.
    pub(crate) fn expand(&mut self, text: &str) -> String {
        let mut pieces = text.split(IMAGE_TAG);
        let mut expanded = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            self.num_tags += 1;
            match (self.images.next(), self.tokens) {
                (Some(image), Some(ImageTokens { open, row, close, .. })) => {
                    expanded.push_str(open);
                    expanded.push_str(&row.repeat(image.num_tokens()));
                    expanded.push_str(close);
                }
                _ => expanded.push_str(IMAGE_TAG),
            }
            expanded.push_str(piece);
        }
        expanded
    }

    /// Checks that every image had its tag.
    pub(crate) fn finish(self, num_images: usize) -> Result<()> {
        if self.num_tags == num_images {
            return Ok(());
        }
        let reason = format!(
            "it renders {} image tags where the conversation has {num_images}",
            self.num_tags
        );
        Err(Error::Template { reason })
    }
}
