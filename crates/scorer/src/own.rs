//! A reward of the user's own: what it is asked and what it may answer, over HTTP or line by line.
//!
//! ```text
//! {"messages": […], "images": […], "answer": "7", …, "completions": ["…", "…"]}   ─►   {"rewards": [1.0, 0.0]}
//! ```
//!
//! The question is the data set's line with all its columns, less the assistant's turn. Images are absolute paths for a
//! program on this machine, data URLs for a server.

use std::path::Path;

use openai::data_url;
use reward::Asked;
use schema::{Content, Part, Sample};
use serde_json::{Value, json};

use crate::Error;

/// How a question's images are named to who is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ImagesAs {
    Paths,
    DataUrls,
}

/// One question with its completions.
///
/// # Errors
/// When an image that is to be sent cannot be read.
pub(crate) fn question(
    asked: &Asked<'_>,
    completions: &[&str],
    images: ImagesAs,
) -> Result<Value, Error> {
    let sample = with_images(asked.prompt.clone(), asked.folder, images)?;
    let mut question = serde_json::to_value(sample).expect("plain text and numbers");
    question["completions"] = json!(completions);
    Ok(question)
}

fn with_images(mut sample: Sample, folder: &Path, images: ImagesAs) -> Result<Sample, Error> {
    let name = |image: &mut String| -> Result<(), Error> {
        *image = match images {
            ImagesAs::DataUrls => data_url(image, folder)?,
            ImagesAs::Paths if image.starts_with("data:") => return Ok(()),
            ImagesAs::Paths => {
                let path = folder.join(&*image);
                std::path::absolute(&path).unwrap_or(path).display().to_string()
            }
        };
        Ok(())
    };
    sample.images.iter_mut().try_for_each(name)?;
    for message in &mut sample.messages {
        let Content::Parts(parts) = &mut message.content else { continue };
        for part in parts {
            if let Part::Image { image: Some(image) } = part {
                name(image)?;
            }
        }
    }
    Ok(sample)
}

/// The rewards of a reply; how many there must be is for [`reward::Scorer::scores`] to say.
pub(crate) fn rewards(reply: &Value) -> Result<Vec<f64>, String> {
    if let Some(error) = reply.get("error") {
        return Err(format!("it says: {error}"));
    }
    let rewards = reply["rewards"].as_array().ok_or("`rewards` is no list")?;
    let number = |(index, value): (usize, &Value)| {
        value.as_f64().ok_or_else(|| format!("`rewards[{index}]` is {value}, no number"))
    };
    rewards.iter().enumerate().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_numbers_or_an_error() {
        assert_eq!(rewards(&json!({"rewards": [1, -0.5]})), Ok(vec![1.0, -0.5]));
        for (reply, words) in [
            (json!({"rewards": [1, null]}), "`rewards[1]` is null"),
            (json!({"rewards": 1}), "`rewards` is no list"),
            (json!([1]), "`rewards` is no list"),
            (json!({"error": "no such image"}), "it says: \"no such image\""),
        ] {
            let error = rewards(&reply).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
