//! How clear an image is, from its pixels alone.

use preprocess::RgbImage;
use serde::{Deserialize, Serialize};

/// What the pixels of an image tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clarity {
    /// Variance of the Laplacian of the grey values from 0 to 255; low where nothing is sharp.
    pub laplacian_variance: f64,
    /// The shorter side, in pixels.
    pub short_side: usize,
}

impl Clarity {
    /// Looks at an image.
    pub fn of(image: &RgbImage) -> Self {
        let short_side = image.width.min(image.height);
        Self { laplacian_variance: laplacian_variance(&grey(image), image.width), short_side }
    }

    /// The less clear of both in each respect: a question needs all its images.
    pub fn worse(self, other: Self) -> Self {
        Self {
            laplacian_variance: self.laplacian_variance.min(other.laplacian_variance),
            short_side: self.short_side.min(other.short_side),
        }
    }

    /// From 1 to 5: the mean of the levels that sharpness and size reach.
    pub fn score(self, blur_levels: &[f64; 4], side_levels: &[f64; 4]) -> f64 {
        let level = |value: f64, levels: &[f64; 4]| {
            1.0 + levels.iter().filter(|&&level| value >= level).count() as f64
        };
        let sharp = level(self.laplacian_variance, blur_levels);
        (sharp + level(self.short_side as f64, side_levels)) / 2.0
    }
}

/// Luma by ITU-R 601, as OpenCV and Pillow have it.
fn grey(image: &RgbImage) -> Vec<f64> {
    let luma = |rgb: &[u8]| {
        0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2])
    };
    image.pixels.chunks_exact(3).map(luma).collect()
}

/// Variance of the four-neighbour Laplacian over the pixels that have four neighbours; zero when there are none.
fn laplacian_variance(grey: &[f64], width: usize) -> f64 {
    let height = grey.len() / width.max(1);
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let around = grey[at - 1] + grey[at + 1] + grey[at - width] + grey[at + width];
            let value = around - 4.0 * grey[at];
            // Welford's update.
            count += 1.0;
            let step = value - mean;
            mean += step / count;
            squares += step * (value - mean);
        }
    }
    if count > 0.0 { squares / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, value: impl Fn(usize, usize) -> u8) -> RgbImage {
        let at = |index: usize| [value(index % width, index / width); 3];
        RgbImage { width, height, pixels: (0..width * height).flat_map(at).collect() }
    }

    #[test]
    fn sharp_edges_vary_and_flat_images_do_not() {
        let board = image(16, 16, |x, y| if (x + y) % 2 == 0 { 255 } else { 0 });
        let clarity = Clarity::of(&board);
        // Every value of the Laplacian is 1020 or -1020, half of each.
        assert!((clarity.laplacian_variance - 1020.0 * 1020.0).abs() < 1e-6);
        assert_eq!(clarity.short_side, 16);
        assert_eq!(Clarity::of(&image(9, 16, |_, _| 77)).laplacian_variance, 0.0);
        let ramp = Clarity::of(&image(16, 16, |x, _| x as u8 * 10));
        assert!(ramp.laplacian_variance < 1e-9, "a ramp has no curvature");
        for (width, height) in [(1, 1), (2, 7), (7, 2)] {
            assert_eq!(Clarity::of(&image(width, height, |x, _| x as u8)).laplacian_variance, 0.0);
        }
    }

    #[test]
    fn levels_are_counted() {
        let (blur, side) = ([10.0, 50.0, 100.0, 300.0], [112.0, 224.0, 336.0, 448.0]);
        let of = |laplacian_variance, short_side| {
            Clarity { laplacian_variance, short_side }.score(&blur, &side)
        };
        assert_eq!(
            [of(0.0, 10), of(10.0, 111), of(100.0, 224), of(1e4, 448)],
            [1.0, 1.5, 3.5, 5.0]
        );
        let [a, b] = [(5.0, 300), (80.0, 20)]
            .map(|(laplacian_variance, short_side)| Clarity { laplacian_variance, short_side });
        assert_eq!(a.worse(b), Clarity { laplacian_variance: 5.0, short_side: 20 });
    }
}
