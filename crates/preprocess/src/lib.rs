//! Turns an image and a question into token ids and image tiles or patches.
//!
//! ```text
//!                 ┌─ image ── resize ── tile ──────────────► pixels [tiles, 3, size, size]
//!                 │                  └─ patch ─────────────► patches [n, values]        (Qwen2.5-VL)
//! Sample ── conversation ── template ── tokenizer ─┬─ prompt ──► ids, image rows            (generation)
//!                                                  ├─ example ─► ids, loss mask, image rows (training)
//!                                                  └─ judged ──► shared ids, branches       (reward)
//! ```
//!
//! Tiles, pixels, rendered text and ids equal those of Pillow, torchvision and transformers exactly. (JPEG decoding
//! is the exception: decoders differ by a step or two of 255.)
//!
//! A model's settings and an image's size decide how many rows of the language model the image takes:
//!
//! ```
//! use preprocess::{ImageFile, ImageSettings, TiledImage};
//!
//! let config = serde_json::json!({
//!     "force_image_size": 448, "downsample_ratio": 0.5, "vision_config": {"patch_size": 14},
//!     "dynamic_image_size": true, "min_dynamic_patch": 1, "max_dynamic_patch": 12, "use_thumbnail": true,
//! });
//! let settings = ImageSettings::from_config(&config)?.expect("it has a vision part");
//! let image = TiledImage::new(ImageFile::grey(640, 480), &settings)?;
//! assert_eq!((image.num_tiles(), image.num_tokens()), (4 * 3 + 1, 13 * 256));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A sample becomes a prompt:
//!
//! ```no_run
//! use std::path::Path;
//!
//! let processor = preprocess::Processor::load(Path::new("model"))?;
//! let line = r#"{"messages":[{"role":"user","content":"<image>\nWhat is it?"}],"images":["a.png"]}"#;
//! let prompt = processor.prompt(&serde_json::from_str(line)?, Path::new("data"))?;
//! let pixels = prompt.images[0].pixel_values()?;
//! assert_eq!(prompt.image_rows.len(), prompt.images[0].num_tokens());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate does not hold weights, know a device, read data files, or run in threads of its own.

mod error;
mod files;
mod image;
mod resize;
mod settings;
mod tile;
mod patch;
mod model_image;
mod places;
mod tokenizer;
mod bpe;
mod language_files;
mod calendar;
mod json;
mod template;
mod conversation;
mod prompt;
mod example;
mod judged;
mod processor;

pub use bpe::tokenizer_json_from_gguf;
pub use conversation::{Conversation, IMAGE_TAG, Turn};
pub use error::{Error, Result};
pub use example::Example;
pub use image::{ImageFile, MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, RgbImage};
pub use judged::Judged;
pub use language_files::LanguageFiles;
pub use model_image::{ImageTokens, ModelImage, VisionSettings};
pub use patch::{PatchGrid, PatchSettings, PatchedImage};
pub use processor::{ImageInput, Processor};
pub use prompt::{IMAGE_CLOSE, IMAGE_OPEN, IMAGE_ROW, Prompt};
pub use resize::resize;
pub use settings::ImageSettings;
pub use template::ChatTemplate;
pub use tile::{Grid, TiledImage, choose_grid};
pub use tokenizer::{THOUGHT_MARKS, TextStream, Tokenizer, add_special_tokens};
