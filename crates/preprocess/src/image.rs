//! Image files: bounded reading, decoding, and conversion to RGB as Pillow's `convert("RGB")` does it.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The largest encoded image that is read, in bytes.
pub const MAX_IMAGE_BYTES: u64 = 128 << 20;
/// The largest image that is decoded, in pixels; Pillow refuses beyond the same number.
pub const MAX_IMAGE_PIXELS: u64 = 178_956_970;
/// The longest side of an image that is cut, in pixels: that of JPEG.
const MAX_SIDE: usize = 65_535;
/// The most that one side may exceed the other, as Qwen's processor has it.
const MAX_ASPECT: usize = 200;

/// An encoded image in memory. Its header was read, its pixels were not.
#[derive(Clone, Debug)]
pub struct ImageFile {
    name: String,
    width: usize,
    height: usize,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Encoded(ImageFormat, Arc<[u8]>),
    Uniform(u8),
}

/// Decoded pixels, 8 bits each: `[height, width, 3]`, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height × width × 3` values.
    pub pixels: Vec<u8>,
}

impl ImageFile {
    /// Reads an image from `reference`: a path (relative to `base`) or a base64 `data:` URL.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than [`MAX_IMAGE_BYTES`] or [`MAX_IMAGE_PIXELS`], or is of no known format.
    pub fn load(reference: &str, base: &Path) -> Result<Self> {
        if reference.starts_with("data:") {
            return Self::from_bytes(short_name(reference), data_url(reference)?);
        }
        if reference.starts_with("http://") || reference.starts_with("https://") {
            let reason = "web addresses are not fetched, give a path or a data URL".to_owned();
            return Err(Error::Image { name: reference.to_owned(), reason });
        }
        let path = base.join(reference.strip_prefix("file://").unwrap_or(reference));
        Self::from_bytes(path.display().to_string(), read_bounded(&path)?)
    }

    /// Takes the bytes of an encoded image; `name` appears in errors.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`], but for reading.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self> {
        let name = name.into();
        let refuse = |reason: String| Error::Image { name: name.clone(), reason };
        let reader = ImageReader::new(Cursor::new(&bytes))
            .with_guessed_format()
            .expect("reading from memory does not fail");
        let format = reader
            .format()
            .ok_or_else(|| refuse("not a PNG, JPEG, WebP, GIF or BMP image".to_owned()))?;
        let (width, height) = reader.into_dimensions().map_err(|e| refuse(e.to_string()))?;
        let num_pixels = u64::from(width) * u64::from(height);
        if num_pixels == 0 || num_pixels > MAX_IMAGE_PIXELS {
            return Err(refuse(format!(
                "{width}x{height} pixels, the limit is {MAX_IMAGE_PIXELS} pixels and at least one"
            )));
        }
        let (width, height) = (width as usize, height as usize);
        Ok(Self { name, width, height, content: Content::Encoded(format, bytes.into()) })
    }

    /// A uniformly grey image: the blind baseline's stand-in.
    pub fn grey(width: usize, height: usize) -> Self {
        Self { name: "grey".to_owned(), width, height, content: Content::Uniform(128) }
    }

    /// The path, or a short form of the data URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns, by the header.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows, by the header.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Refuses a shape that no model can look at, and whose resizing would take more memory than the image.
    pub(crate) fn check_shape(&self) -> Result<()> {
        let (width, height) = (self.width, self.height);
        let refuse = |what: String| {
            let reason = format!("{width}x{height}: a side over {what}");
            Err(Error::Image { name: self.name.clone(), reason })
        };
        if width.max(height) > MAX_SIDE {
            return refuse(format!("{MAX_SIDE} pixels"));
        }
        if width.max(height) > MAX_ASPECT * width.min(height) {
            return refuse(format!("{MAX_ASPECT} times the other"));
        }
        Ok(())
    }

    /// SHA-256 of the encoded bytes: equal for equal images.
    pub fn sha256(&self) -> [u8; 32] {
        match &self.content {
            Content::Encoded(_, bytes) => Sha256::digest(bytes).into(),
            Content::Uniform(value) => {
                let text = format!("uniform {value} {}x{}", self.width, self.height);
                Sha256::digest(text).into()
            }
        }
    }

    /// Decodes the pixels, the first frame of an animation, ignoring orientation tags as Pillow does.
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn decode(&self) -> Result<RgbImage> {
        let (width, height) = (self.width, self.height);
        match &self.content {
            Content::Encoded(format, bytes) => decode(*format, bytes)
                .map_err(|reason| Error::Image { name: self.name.clone(), reason }),
            Content::Uniform(value) => {
                Ok(RgbImage { width, height, pixels: vec![*value; width * height * 3] })
            }
        }
    }
}

fn decode(format: ImageFormat, bytes: &[u8]) -> std::result::Result<RgbImage, String> {
    let is_complete = match format {
        ImageFormat::Jpeg => jpeg_is_complete(bytes),
        ImageFormat::WebP => webp_is_complete(bytes),
        _ => true,
    };
    if !is_complete {
        return Err(format!("truncated: no end after {} bytes", bytes.len()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_IMAGE_PIXELS * 8);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|e| e.to_string())?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    Ok(RgbImage { width, height, pixels: to_rgb(decoded) })
}

/// The first characters of a data URL: enough to find it, not enough to flood a terminal.
fn short_name(url: &str) -> String {
    let head: String = url.chars().take(40).collect();
    if head.len() < url.len() { format!("{head}… ({} characters)", url.len()) } else { head }
}

fn data_url(url: &str) -> Result<Vec<u8>> {
    let refuse = |reason: String| Error::Image { name: short_name(url), reason };
    let (_, payload) = url
        .split_once(',')
        .filter(|(head, _)| head.ends_with(";base64"))
        .ok_or_else(|| refuse("a data URL must be data:<type>;base64,<data>".to_owned()))?;
    if payload.len() as u64 / 4 * 3 > MAX_IMAGE_BYTES {
        return Err(refuse(format!("larger than {MAX_IMAGE_BYTES} bytes")));
    }
    let engine = base64::engine::general_purpose::STANDARD;
    engine.decode(payload.trim()).map_err(|e| refuse(e.to_string()))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        let reason = format!("larger than {MAX_IMAGE_BYTES} bytes");
        return Err(Error::Image { name: path.display().to_string(), reason });
    }
    Ok(bytes)
}

/// Whether an end marker follows the last scan. The decoder fills a missing tail with grey; Pillow refuses, and so
/// do we. Inside a scan the byte FF is never followed by DA or D9, so a search from the end finds the true markers.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let last = |marker| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// Whether the file is as long as its header says, but for the padding; the decoder forgives a short tail.
fn webp_is_complete(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| bytes.len() as u64 + 1 >= u64::from(length) + 8)
}

/// Drops alpha, repeats grey, and keeps the high byte of 16-bit values.
///
/// Pillow does the same but for 16-bit grey, which it clips at 255: that would turn most such images white.
fn to_rgb(decoded: DynamicImage) -> Vec<u8> {
    match decoded {
        DynamicImage::ImageLuma8(grey) => repeat(&grey, 1),
        DynamicImage::ImageLumaA8(grey) => repeat(&grey, 2),
        DynamicImage::ImageRgb8(rgb) => rgb.into_raw(),
        DynamicImage::ImageRgba8(rgba) => first_three(&rgba),
        DynamicImage::ImageLuma16(grey) => repeat(&high_bytes(&grey), 1),
        DynamicImage::ImageLumaA16(grey) => repeat(&high_bytes(&grey), 2),
        DynamicImage::ImageRgb16(rgb) => high_bytes(&rgb),
        DynamicImage::ImageRgba16(rgba) => first_three(&high_bytes(&rgba)),
        other => other.into_rgb8().into_raw(),
    }
}

fn repeat(pixels: &[u8], channels: usize) -> Vec<u8> {
    pixels.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect()
}

fn first_three(rgba: &[u8]) -> Vec<u8> {
    rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

fn high_bytes(samples: &[u16]) -> Vec<u8> {
    samples.iter().map(|sample| sample.to_be_bytes()[0]).collect()
}
