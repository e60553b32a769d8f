//! Conversations of ours as the API takes them, images as data URLs.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::Sample;
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::wire::{ChatRequest, Content, Message, Part};

/// The largest image file that is sent, in bytes; servers take less.
const MAX_IMAGE_BYTES: u64 = 64 << 20;

const IMAGE_TAG: &str = "<image>";

/// The sample's turns; each image stands where its tag stood. Image paths are relative to `folder`.
///
/// # Errors
/// When an image file cannot be read.
pub fn messages(sample: &Sample, folder: &Path) -> Result<Vec<Message>, Error> {
    let mut listed = Listed { images: sample.images.iter(), folder };
    let turn = |message: &schema::Message| {
        let mut parts = Vec::new();
        match &message.content {
            schema::Content::Text(text) if !text.contains(IMAGE_TAG) => {
                return Ok(Message::text(message.role.into(), text.as_str()));
            }
            schema::Content::Text(text) => listed.spread(text, &mut parts)?,
            schema::Content::Parts(of) => {
                for part in of {
                    listed.add(part, &mut parts)?;
                }
            }
        }
        Ok(Message::parts(message.role.into(), parts))
    };
    sample.messages.iter().map(turn).collect()
}

/// Images whose turn has not come yet.
struct Listed<'a> {
    images: std::slice::Iter<'a, String>,
    folder: &'a Path,
}

impl Listed<'_> {
    fn add(&mut self, part: &schema::Part, parts: &mut Vec<Part>) -> Result<(), Error> {
        match part {
            schema::Part::Text { text } => self.spread(text, parts)?,
            schema::Part::Image { image: Some(own) } => {
                parts.push(Part::image(data_url(own, self.folder)?));
            }
            schema::Part::Image { image: None } => self.next(parts)?,
            schema::Part::ImageUrl { image_url } => parts.push(Part::image(image_url.url.as_str())),
        }
        Ok(())
    }

    /// Text in pieces, with the next listed image in place of each tag.
    fn spread(&mut self, text: &str, parts: &mut Vec<Part>) -> Result<(), Error> {
        for (index, piece) in text.split(IMAGE_TAG).enumerate() {
            if index > 0 {
                self.next(parts)?;
            }
            if !piece.trim().is_empty() {
                parts.push(Part::text(piece.trim_matches('\n')));
            }
        }
        Ok(())
    }

    fn next(&mut self, parts: &mut Vec<Part>) -> Result<(), Error> {
        if let Some(source) = self.images.next() {
            parts.push(Part::image(data_url(source, self.folder)?));
        }
        Ok(())
    }
}

/// An image as a `data:` URL: as given, or from its file.
///
/// # Errors
/// When the file cannot be read, is larger than an image is, or is none: what a data set names is sent to somebody else.
pub fn data_url(source: &str, folder: &Path) -> Result<String, Error> {
    if source.starts_with("data:") {
        return Ok(source.to_owned());
    }
    let path = folder.join(source);
    let read = image(&path).map_err(|source| Error::Image { path, source });
    let (kind, bytes) = read?;
    Ok(format!("data:image/{kind};base64,{}", STANDARD.encode(bytes)))
}

/// Kind and bytes of an image file.
fn image(path: &Path) -> io::Result<(&'static str, Vec<u8>)> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes)?;
    let refuse = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        return refuse(format!("larger than {MAX_IMAGE_BYTES} bytes"));
    }
    let kind = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "png",
        [0xFF, 0xD8, ..] => "jpeg",
        [b'G', b'I', b'F', ..] => "gif",
        [b'B', b'M', ..] => "bmp",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        _ => return refuse("not a PNG, JPEG, WebP, GIF or BMP image".to_owned()),
    };
    Ok((kind, bytes))
}

/// The request with `sha256:` and a hash in place of the bytes of each image: what was asked, without its megabytes.
pub(crate) fn without_image_bytes(mut request: ChatRequest) -> ChatRequest {
    for message in &mut request.messages {
        let Some(Content::Parts(parts)) = &mut message.content else { continue };
        for part in parts {
            if let Part::ImageUrl { image_url } = part
                && let Some(data) = image_url.url.strip_prefix("data:")
            {
                image_url.url = format!("sha256:{}", hash_of(data));
            }
        }
    }
    request
}

/// The hash of the bytes in a `data:` URL: that of the image's file, so that the two can be matched.
fn hash_of(data: &str) -> String {
    let (kind, data) = data.split_once(',').unwrap_or(("", data));
    let decoded = kind.ends_with(";base64").then(|| STANDARD.decode(data));
    let hash = match decoded {
        Some(Ok(bytes)) => Sha256::digest(bytes),
        _ => Sha256::digest(data),
    };
    stages::hex(&hash)
}
