//! Dynamic tiling: an image becomes a grid of square tiles that keeps its shape, and a thumbnail.
//!
//! InternVL's `dynamic_preprocess`, with the same pixels as Pillow and `torchvision`'s `ToTensor` and `Normalize`.

use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::image::{ImageFile, RgbImage};
use crate::resize::resize;
use crate::settings::{ImageSettings, normalised};

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
    ///
    /// # Errors
    ///
    /// When one side is more than 200 times the other, or more than 65,535 pixels long.
    pub fn new(file: ImageFile, settings: &ImageSettings) -> Result<Self> {
        file.check_shape()?;
        let grid = choose_grid(file.width(), file.height(), settings);
        Ok(Self { file, settings: settings.clone(), grid })
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
        let size = self.settings.tile_size;
        let resized = self.resized()?;
        Ok(resized
            .iter()
            .flat_map(|image| tile_places(image, size).map(|place| crop(image, place, size)))
            .collect())
    }

    /// Normalised pixels `[num_tiles, 3, size, size]`: `(value / 255 - mean) / std` in f32.
    ///
    /// # Errors
    ///
    /// When the image is truncated or damaged.
    pub fn pixel_values(&self) -> Result<Vec<f32>> {
        let ImageSettings { tile_size: size, mean, std, .. } = self.settings;
        let scales = normalised(mean, std);
        let mut values = Vec::with_capacity(self.num_tiles() * 3 * size * size);
        for image in self.resized()? {
            for place in tile_places(&image, size) {
                for (channel, scale) in scales.iter().enumerate() {
                    for row in tile_rows(&image, place, size) {
                        let pixels = row.chunks_exact(3);
                        values.extend(pixels.map(|pixel| scale[usize::from(pixel[channel])]));
                    }
                }
            }
        }
        Ok(values)
    }

    /// The image as large as its grid, and the thumbnail where there is one.
    fn resized(&self) -> Result<Vec<RgbImage>> {
        let image = self.file.decode()?;
        let Grid { columns, rows } = self.grid;
        let size = self.settings.tile_size;
        let mut resized = vec![resize(&image, size * columns, size * rows)];
        if self.has_thumbnail() {
            resized.push(resize(&image, size, size));
        }
        Ok(resized)
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

/// Left and top of the tiles that an image is cut into, from left to right, then down.
fn tile_places(image: &RgbImage, size: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (columns, rows) = (image.width / size, image.height / size);
    (0..rows).flat_map(move |row| (0..columns).map(move |column| (column * size, row * size)))
}

/// The rows of one tile.
fn tile_rows(image: &RgbImage, place: (usize, usize), size: usize) -> impl Iterator<Item = &[u8]> {
    let (left, top) = place;
    let rows = image.pixels.chunks_exact(image.width * 3).skip(top).take(size);
    rows.map(move |row| &row[left * 3..(left + size) * 3])
}

fn crop(image: &RgbImage, place: (usize, usize), size: usize) -> RgbImage {
    let pixels = tile_rows(image, place, size).flatten().copied().collect();
    RgbImage { width: size, height: size, pixels }
}
