//! Turns as clients send them, as the records that the model's processor takes.

use openai::{Content, ImageUrl, Message, Part, Role};
use preprocess::IMAGE_TAG;
use schema::Sample;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// A body of this form.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::invalid("body", format!("the body: {error}")))
}

/// A conversation that is to be answered: the assistant has not spoken last.
pub(crate) fn question(messages: &[Message]) -> Result<Sample, Refusal> {
    match messages.last() {
        Some(last) if last.role == Role::Assistant => {
            Err(refuse(messages.len() - 1, "the last turn is the assistant's own"))
        }
        _ => sample(messages),
    }
}

/// The conversation. Its images are data URLs: nothing else is looked up for a client.
pub(crate) fn sample(messages: &[Message]) -> Result<Sample, Refusal> {
    if messages.is_empty() {
        return Err(Refusal::invalid("messages", "there are no messages"));
    }
    let messages = messages.iter().enumerate().map(|(i, message)| turn(i, message));
    Ok(Sample { messages: messages.collect::<Result<_, _>>()?, ..Sample::default() })
}

fn turn(index: usize, message: &Message) -> Result<schema::Message, Refusal> {
    let role = match message.role {
        Role::System | Role::Developer => schema::Role::System,
        Role::User => schema::Role::User,
        Role::Assistant => schema::Role::Assistant,
        Role::Tool => return Err(refuse(index, "tools are not supported")),
    };
    let content = match &message.content {
        None => schema::Content::Text(String::new()),
        Some(Content::Text(text)) => schema::Content::Text(plain(text)),
        Some(Content::Parts(parts)) => {
            let parts = parts.iter().map(|part| self::part(index, part));
            schema::Content::Parts(parts.collect::<Result<_, _>>()?)
        }
    };
    Ok(schema::Message { role, content })
}

fn part(index: usize, part: &Part) -> Result<schema::Part, Refusal> {
    match part {
        Part::Text { text } => Ok(schema::Part::Text { text: plain(text) }),
        Part::ImageUrl { image_url: ImageUrl { url, .. } } if url.starts_with("data:") => {
            Ok(schema::Part::ImageUrl { image_url: schema::ImageUrl { url: url.clone() } })
        }
        Part::ImageUrl { .. } => {
            Err(refuse(index, "images are sent as data URLs (data:image/png;base64,…)"))
        }
    }
}

/// A client's text, in which a tag stands for no image: it is broken.
fn plain(text: &str) -> String {
    text.replace(IMAGE_TAG, "<image >")
}

fn refuse(index: usize, reason: &str) -> Refusal {
    Refusal::invalid("messages", format!("messages[{index}]: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn converted(messages: Value) -> Result<Sample, String> {
        let messages: Vec<Message> = serde_json::from_value(messages).unwrap();
        sample(&messages).map_err(|refusal| refusal.into_body().error.message)
    }

    #[test]
    fn turns_become_records() {
        let url = "data:image/png;base64,AA==";
        let found = converted(json!([
            { "role": "developer", "content": "Be right." },
            { "role": "user", "content": [
                { "type": "image_url", "image_url": { "url": url } }, { "type": "text", "text": "What?" },
            ]},
            { "role": "assistant", "content": null },
            { "role": "user", "content": "<image> is a tag." },
        ]));
        let want = json!({ "messages": [
            { "role": "system", "content": "Be right." },
            { "role": "user", "content": [
                { "type": "image_url", "image_url": { "url": url } }, { "type": "text", "text": "What?" },
            ]},
            { "role": "assistant", "content": "" },
            { "role": "user", "content": "<image > is a tag." },
        ]});
        assert_eq!(found.unwrap(), serde_json::from_value::<Sample>(want).unwrap());
    }

    #[test]
    fn what_the_assistant_said_last_is_no_question() {
        let [user, assistant] =
            [Role::User, Role::Assistant].map(|role| Message::text(role, "So?"));
        assert!(question(&[assistant.clone(), user.clone()]).is_ok());
        let message = question(&[user, assistant]).unwrap_err().into_body().error.message;
        assert_eq!(message, "messages[1]: the last turn is the assistant's own");
    }

    #[test]
    fn files_and_addresses_are_not_looked_up() {
        for url in ["/etc/passwd", "file:///etc/passwd", "http://localhost/a.png", "a.png", ""] {
            let part = json!({ "type": "image_url", "image_url": { "url": url } });
            let message = converted(json!([{ "role": "user", "content": [part] }])).unwrap_err();
            assert!(message.starts_with("messages[0]: images are sent as data URLs"), "{message}");
        }
        assert!(converted(json!([{ "role": "tool", "content": "7" }])).is_err());
        assert!(converted(json!([])).is_err());
    }
}
