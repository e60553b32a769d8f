//! What is asked of a judge, as a type.

use std::path::Path;

use schema::{Content, Message, Part, Role, Sample};
use serde::Serialize;
use serde::de::DeserializeOwned;

const IMAGE_TAG: &str = "<image>";

/// A question with a verdict of one form.
pub trait Question {
    /// What the judge finds.
    type Verdict: Clone + Serialize + DeserializeOwned;

    /// Name and version of the prompt; the version rises with any change of its words.
    const VERSION: &'static str;

    /// The form of a reply, as an example that the judge is shown.
    const FORM: &'static str;

    /// The turns that ask it.
    fn prompt(&self) -> Sample;

    /// The folder that image paths of the prompt are relative to.
    fn folder(&self) -> &Path {
        Path::new("")
    }

    /// The verdict that a reply holds.
    ///
    /// # Errors
    /// What keeps it from being exactly in the form, in words that tell the judge how to mend it.
    fn read(&self, reply: &str) -> Result<Self::Verdict, String>;

    /// The verdict where no model is asked.
    fn by_rule(&self) -> Option<Self::Verdict>;

    /// Whether the rule's verdict is as good as a judge's, so that none is asked.
    fn rule_suffices(&self) -> bool {
        false
    }
}

/// A prompt of one instruction and one turn of the user's, so that every chat template takes it: the conversation in
/// `quoted`, its images in place, and then `text`.
pub fn quoting(system: &str, quoted: &Sample, text: &str) -> Sample {
    let mut images = Quoted { listed: quoted.images.iter(), shown: vec![] };
    let mut user = String::new();
    for message in &quoted.messages {
        if quoted.messages.len() > 1 {
            user += &format!("[{}]\n", message.role.as_str());
        }
        user += &format!("{}\n\n", images.spell(&message.content));
    }
    two_turns(system, user + text, images.shown)
}

/// A prompt of one instruction and one turn of the user's.
pub(crate) fn two_turns(system: &str, user: String, images: Vec<String>) -> Sample {
    let turn = |role, text| Message { role, content: Content::Text(text) };
    let messages = vec![turn(Role::System, system.to_owned()), turn(Role::User, user)];
    Sample { messages, images, ..Sample::default() }
}

/// Images of a conversation in the order in which they are shown.
struct Quoted<'a> {
    listed: std::slice::Iter<'a, String>,
    shown: Vec<String>,
}

impl Quoted<'_> {
    /// Content as text with a tag for each image.
    fn spell(&mut self, content: &Content) -> String {
        match content {
            Content::Text(text) => self.list(text),
            Content::Parts(parts) => {
                let pieces: Vec<String> = parts.iter().map(|part| self.part(part)).collect();
                pieces.join("\n")
            }
        }
    }

    fn part(&mut self, part: &Part) -> String {
        match part {
            Part::Text { text } => return self.list(text),
            Part::Image { image: None } => return self.list(IMAGE_TAG),
            Part::Image { image: Some(image) } => self.shown.push(image.clone()),
            Part::ImageUrl { image_url } => self.shown.push(image_url.url.clone()),
        }
        IMAGE_TAG.to_owned()
    }

    /// Takes an image from the list for each tag.
    fn list(&mut self, text: &str) -> String {
        let num_tags = text.matches(IMAGE_TAG).count();
        self.shown.extend(self.listed.by_ref().take(num_tags).cloned());
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_becomes_one_turn_with_its_images_in_order() {
        let quoted = r#"{
            "messages": [
                {"role": "system", "content": "Be right."},
                {"role": "user", "content": [
                    {"type": "image", "image": "own.png"},
                    {"type": "text", "text": "and <image>"},
                    {"type": "image_url", "image_url": {"url": "data:,x"}}
                ]}
            ],
            "images": ["listed.png"]
        }"#;
        let sample = quoting("Judge.", &serde_json::from_str(quoted).unwrap(), "Well?");
        let user = "[system]\nBe right.\n\n[user]\n<image>\nand <image>\n<image>\n\nWell?";
        assert_eq!(sample.messages[1].content, Content::Text(user.to_owned()));
        assert_eq!(sample.images, ["own.png", "listed.png", "data:,x"]);
        let one = r#"{"messages": [{"role": "user", "content": "Hi"}]}"#;
        let sample = quoting("Judge.", &serde_json::from_str(one).unwrap(), "Well?");
        assert_eq!(sample.messages[1].content, Content::Text("Hi\n\nWell?".to_owned()));
    }
}
