//! Dynamic tiling: an image becomes a grid of square tiles that keeps its shape, and a thumbnail.
//!
//! InternVL's `dynamic_preprocess`, with the same pixels as Pillow and `torchvision`'s `ToTensor` and `Normalize`.

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::image::{ImageFile, RgbImage};
use crate::resize::resize;
use crate::settings::ImageSettings;

/// Tiles across and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Tiles across.
    pub columns: usize,
    /// Tiles down.
    pub rows: usize,
}

/// An image with its place in the tile grid settled. The pixels stay encoded until they are asked for, so a caller
/// with a feature cache never decodes what it has seen.
#[derive(Clone, Debug)]
pub struct TiledImage {
    file: ImageFile,
    settings: ImageSettings,
    grid: Grid,
}

impl TiledImage {
    /// Lays a grid over `file`.
    pub fn new(file: ImageFile, settings: &ImageSettings) -> Self {
        let grid = choose_grid(file.width(), file.height(), settings);
        Self { file, settings: settings.clone(), grid }
    }

    /// The grid, thumbnail not counted.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Tiles, thumbnail included.
    pub fn num_tiles(&self) -> usize {
        let tiles = self.grid.columns * self.grid.rows;
        tiles + usize::from(self.has_thumbnail())
    }

    /// Rows of the language model's input that the image fills.
    pub fn num_tokens(&self) -> usize {
        self.num_tiles() * self.settings.tokens_per_tile
    }

    /// The encoded image.
    pub fn file(&self) -> &ImageFile {
        &self.file
    }

    /// How the image is cut and normalised.
    pub fn settings(&self) -> &ImageSettings {
        &self.settings
    }

    /// Equal for equal pixel values: a hash of the image's bytes and of everything that is done to them.
    pub fn key(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.file.sha256());
        hash.update(format!("{:?} {:?}", self.grid, self.settings));
        hash.finalize().into()
    }

    /// The same grid over a uniformly grey image, for the blind baseline.
    pub fn grey(&self) -> Self {
        let file = ImageFile::grey(self.file.width(), self.file.height());
        Self { file, settings: self.settings.clone(), grid: self.grid }
    }

    /// Tiles from left to right, then down, the thumbnail last; each of the settings' size.
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn tiles(&self) -> Result<Vec<RgbImage>> {
        let image = self.file.decode()?;
        let Grid { columns, rows } = self.grid;
        let size = self.settings.tile_size;
        let whole = resize(&image, size * columns, size * rows);
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
        let mut tiles: Vec<_> =
            places.map(|(column, row)| crop(&whole, column * size, row * size, size)).collect();
        if self.has_thumbnail() {
            tiles.push(resize(&image, size, size));
        }
        Ok(tiles)
    }

    /// Normalised pixels `[num_tiles, 3, size, size]`: `(value / 255 - mean) / std` in f32.
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn pixel_values(&self) -> Result<Vec<f32>> {
        let tiles = self.tiles()?;
        let size = self.settings.tile_size;
        let mut values = Vec::with_capacity(tiles.len() * 3 * size * size);
        for tile in &tiles {
            for channel in 0..3 {
                let scaled = scale(self.settings.mean[channel], self.settings.std[channel]);
                let bytes = tile.pixels.iter().skip(channel).step_by(3);
                values.extend(bytes.map(|&byte| scaled[usize::from(byte)]));
            }
        }
        Ok(values)
    }

    fn has_thumbnail(&self) -> bool {
        self.settings.thumbnail && self.grid.columns * self.grid.rows > 1
    }
}

/// The grid whose shape is nearest to the image's; between equally near ones the larger, if the image has at least
/// half its pixels.
pub fn choose_grid(width: usize, height: usize, settings: &ImageSettings) -> Grid {
    let aspect = width as f64 / height as f64;
    let tile_area = (settings.tile_size * settings.tile_size) as f64;
    let mut best = Grid { columns: 1, rows: 1 };
    let mut best_difference = f64::INFINITY;
    for grid in candidates(settings.min_tiles, settings.max_tiles) {
        let difference = (aspect - grid.columns as f64 / grid.rows as f64).abs();
        let is_filled =
            (width * height) as f64 > 0.5 * tile_area * grid.columns as f64 * grid.rows as f64;
        if difference < best_difference || (difference == best_difference && is_filled) {
            best = grid;
            best_difference = difference;
        }
    }
    best
}

/// Grids of `min` to `max` tiles, small ones first. The reference orders grids of equal area by the accident of a
/// hash table; no image can be equally near to two of them as long as `min` is 1.
fn candidates(min: usize, max: usize) -> Vec<Grid> {
    let rows_of = |columns| (1..=max / columns).map(move |rows| Grid { columns, rows });
    let mut grids: Vec<Grid> =
        (1..=max).flat_map(rows_of).filter(|grid| grid.columns * grid.rows >= min).collect();
    grids.sort_by_key(|grid| grid.columns * grid.rows);
    grids
}

fn crop(image: &RgbImage, left: usize, top: usize, size: usize) -> RgbImage {
    let rows = image.pixels.chunks_exact(image.width * 3).skip(top).take(size);
    let pixels = rows.flat_map(|row| &row[left * 3..(left + size) * 3]).copied().collect();
    RgbImage { width: size, height: size, pixels }
}

/// What each byte becomes.
fn scale(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
}
