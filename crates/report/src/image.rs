//! Image files as data URLs, so that the page needs no other file.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Error;

/// The `data:` URL of an image: given as one, or read from a file below `base`.
pub(crate) fn data_url(base: &Path, image: &str) -> Result<String, Error> {
    if image.starts_with("data:image/") {
        return Ok(image.to_owned());
    }
    let path = base.join(image);
    let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let kind = media_type(&bytes).ok_or(Error::NotAnImage { path })?;
    Ok(format!("data:{kind};base64,{}", STANDARD.encode(bytes)))
}

/// The media type by the first bytes: a file's name may lie.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'B', b'M', ..] => Some("image/bmp"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_the_type() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jpg"), b"\x89PNG\r\n").unwrap();
        std::fs::write(folder.path().join("b.png"), b"<svg onload=...>").unwrap();
        assert_eq!(data_url(folder.path(), "a.jpg").unwrap(), "data:image/png;base64,iVBORw0K");
        assert!(matches!(data_url(folder.path(), "b.png"), Err(Error::NotAnImage { .. })));
        assert!(matches!(data_url(folder.path(), "c.png"), Err(Error::Io { .. })));
    }
}
