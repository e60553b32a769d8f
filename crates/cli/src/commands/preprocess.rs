//! `sightline preprocess`: an image becomes the pixel values that the encoder sees.

use std::collections::BTreeMap;
use std::path::Path;

use ::preprocess::{Grid, ImageFile, ModelImage, VisionSettings};
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
    /// Tiles, or patches, across and down.
    grid: [usize; 2],
    /// Shape of `pixel_values`.
    shape: Vec<usize>,
    /// Rows of the language model's input.
    num_tokens: usize,
}

/// Cuts and normalises one image.
pub(crate) fn run(args: &PreprocessArgs, context: &Context) -> Result<()> {
    let Some(settings) = VisionSettings::load(&args.model)? else {
        bail!("{}: the model takes no images", args.model.display());
    };
    let file = ImageFile::load(&args.image.to_string_lossy(), Path::new(""))?;
    let image = settings.image(file, 1)?;
    let values = image.pixel_values()?;
    let shape = image.shape();
    let (grid, name, numbers) = grid(&image);
    let pixels: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|&n| (n as i64).to_le_bytes()).collect();
    let tensors = BTreeMap::from([
        ("pixel_values", TensorView::new(Dtype::F32, shape.clone(), &pixels)?),
        (name, TensorView::new(Dtype::I64, vec![numbers.len()], &bytes)?),
    ]);
    let bytes = serialize(tensors, None).context("cannot serialise the pixel values")?;
    write_atomic(&args.output, &bytes)?;
    let output = args.output.display().to_string();
    let num_tokens = image.num_tokens();
    let result = Pixels { output, grid, shape, num_tokens };
    context.output.show(&result, |result| {
        let [columns, rows] = result.grid;
        let cut = match result.shape[..] {
            [tiles, _, height, width] => format!("{tiles} tiles of {width}x{height} pixels"),
            _ => format!("{} patches of {} values", result.shape[0], result.shape[1]),
        };
        format!(
            "{}: {cut} in a grid of {columns}x{rows}, {} tokens",
            result.output, result.num_tokens
        )
    })
}

/// Columns and rows; and the grid's name and numbers in the file, as each family's processor has it.
fn grid(image: &ModelImage) -> ([usize; 2], &'static str, Vec<usize>) {
    match image {
        ModelImage::Tiles(image) => {
            let Grid { columns, rows } = image.grid();
            ([columns, rows], "grid", vec![columns, rows])
        }
        ModelImage::Patches(image) => {
            let grid = image.grid();
            ([grid.columns, grid.rows], "image_grid_thw", vec![1, grid.rows, grid.columns])
        }
    }
}
