//! Photographs read from a folder, tiled and normalised.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use preprocess::{ImageFile, VisionSettings};
use rayon::prelude::*;

use crate::Work;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder of the model whose preprocessing is used.
    #[arg(long)]
    model: PathBuf,
    /// Folder of photographs.
    #[arg(long)]
    folder: PathBuf,
}

pub(crate) struct Images {
    settings: VisionSettings,
    files: Vec<PathBuf>,
}

impl Images {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let settings = VisionSettings::load(&args.model)?.context("the model has no images")?;
        let entries = std::fs::read_dir(&args.folder)?;
        let mut files = entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        Ok(Self { settings, files })
    }
}

impl Work for Images {
    /// Tiles in all, and the mean of their values.
    fn round(&mut self) -> Result<Vec<f64>> {
        let one = |path: &PathBuf| -> Result<(f64, f64)> {
            let file = ImageFile::load(&path.to_string_lossy(), Path::new(""))?;
            let values = self.settings.image(file, 1)?;
            let pixels = values.pixel_values()?;
            Ok((values.num_tiles() as f64, sum(&pixels) / pixels.len() as f64))
        };
        let all = self.files.par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let num = all.len() as f64;
        let sums = all.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Ok(vec![sums.0, sums.1 / num])
    }
}

/// In eight sums, as vectors have it: one after the other would take longer than the work that is measured.
fn sum(values: &[f32]) -> f64 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        for (sum, &value) in sums.iter_mut().zip(eight) {
            *sum += f64::from(value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&value| f64::from(value)).sum::<f64>()
}
