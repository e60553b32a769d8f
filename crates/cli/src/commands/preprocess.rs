//! `sightline preprocess`: an image becomes the pixel values that the encoder sees.

use std::collections::BTreeMap;
use std::path::Path;

use ::preprocess::{Grid, ImageFile, ImageSettings, TiledImage};
use anyhow::{Context as _, Result, bail};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use serde::Serialize;

use crate::Context;
use crate::args::PreprocessArgs;
use crate::output::write_atomic;

/// What was written.
#[derive(Serialize)]
struct Pixels {
    output: String,
    /// Tiles across and down.
    grid: [usize; 2],
    /// Shape of `pixel_values`.
    shape: [usize; 4],
    /// Rows of the language model's input.
    num_tokens: usize,
}

/// Tiles and normalises one image.
pub(crate) fn run(args: &PreprocessArgs, context: &Context) -> Result<()> {
    let Some(settings) = ImageSettings::load(&args.model)? else {
        bail!("{}: the model takes no images", args.model.display());
    };
    let file = ImageFile::load(&args.image.to_string_lossy(), Path::new(""))?;
    let image = TiledImage::new(file, &settings);
    let values = image.pixel_values()?;
    let Grid { columns, rows } = image.grid();
    let side = settings.tile_size;
    let shape = [image.num_tiles(), 3, side, side];
    let pixels: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let grid: Vec<u8> = [columns, rows].iter().flat_map(|&n| (n as i64).to_le_bytes()).collect();
    let tensors = BTreeMap::from([
        ("pixel_values", TensorView::new(Dtype::F32, shape.to_vec(), &pixels)?),
        ("grid", TensorView::new(Dtype::I64, vec![2], &grid)?),
    ]);
    let bytes = serialize(tensors, None).context("cannot serialise the pixel values")?;
    write_atomic(&args.output, &bytes)?;
    let output = args.output.display().to_string();
    let num_tokens = image.num_tokens();
    let result = Pixels { output, grid: [columns, rows], shape, num_tokens };
    context.output.show(&result, |result| {
        let [tiles, _, height, width] = result.shape;
        format!(
            "{}: {tiles} tiles of {width}x{height} pixels in a grid of {columns}x{rows}, {} tokens",
            result.output, result.num_tokens
        )
    })
}
