//! Bicubic resizing, bit for bit as Pillow's `Image.resize` does it.
//!
//! Two passes, the order of which Pillow 13 chooses by how much each side shrinks; each output value is a weighted sum
//! in 22-bit fixed point, rounded to 8 bits after each pass. When the image shrinks, the filter widens with it
//! (antialiasing).

use crate::image::RgbImage;

/// Fraction bits of a weight: 32, less 8 for the value, less 2 for weights beyond one and the sign.
const PRECISION: u32 = 22;
/// Reach of the bicubic filter at scale one.
const SUPPORT: f64 = 2.0;

/// Resizes to `width × height`. Sizes that are already right are left as they are.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let across = |image: &RgbImage| match image.width == width {
        true => image.clone(),
        false => resize_columns(image, &weights(image.width, width)),
    };
    let down = |image: &RgbImage| match image.height == height {
        true => image.clone(),
        false => resize_rows(image, &weights(image.height, height)),
    };
    match rows_come_first(image, width, height) {
        true => across(&down(image)),
        false => down(&across(image)),
    }
}

/// Pillow 13 resizes rows first where that takes away more than twice as many rows as columns go; earlier releases never
/// do. The order shows in values that a pass clips at black or white.
fn rows_come_first(image: &RgbImage, width: usize, height: usize) -> bool {
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let rows = lost(image.height, height);
    rows > 0 && rows > 2 * lost(image.width, width)
}

/// The inputs of one output value: `values[k]` weighs input `first + k`.
struct Weights {
    first: usize,
    values: Vec<i32>,
}

fn weights(inputs: usize, outputs: usize) -> Vec<Weights> {
    let scale = inputs as f64 / outputs as f64;
    let filter_scale = scale.max(1.0);
    let support = SUPPORT * filter_scale;
    let one = |index: usize| {
        let center = (index as f64 + 0.5) * scale;
        // `as` saturates at zero and drops the fraction, like the reference's cast and clamp.
        let first = (center - support + 0.5) as usize;
        let last = ((center + support + 0.5) as usize).min(inputs);
        let at = |input: usize| bicubic((input as f64 - center + 0.5) * (1.0 / filter_scale));
        let values: Vec<f64> = (first..last).map(at).collect();
        let sum = values.iter().fold(0.0, |sum, value| sum + value);
        let values = values.iter().map(|value| fixed_point(value / sum)).collect();
        Weights { first, values }
    };
    (0..outputs).map(one).collect()
}

/// Keys' cubic with a = -1/2.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (scaled + 0.5_f64.copysign(weight)) as i32
}

fn resize_columns(image: &RgbImage, weights: &[Weights]) -> RgbImage {
    let mut pixels = Vec::with_capacity(image.height * weights.len() * 3);
    for row in image.pixels.chunks_exact(image.width * 3) {
        for column in weights {
            let mut sums = [1 << (PRECISION - 1); 3];
            let inputs = row[column.first * 3..].chunks_exact(3);
            for (pixel, &weight) in inputs.zip(&column.values) {
                for (sum, &value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(value) * weight;
                }
            }
            pixels.extend(sums.map(to_byte));
        }
    }
    RgbImage { width: weights.len(), height: image.height, pixels }
}

fn resize_rows(image: &RgbImage, weights: &[Weights]) -> RgbImage {
    let stride = image.width * 3;
    let mut pixels = Vec::with_capacity(weights.len() * stride);
    let mut sums = vec![0_i32; stride];
    for row in weights {
        sums.fill(1 << (PRECISION - 1));
        let inputs = image.pixels[row.first * stride..].chunks_exact(stride);
        for (input, &weight) in inputs.zip(&row.values) {
            for (sum, &value) in sums.iter_mut().zip(input) {
                *sum += i32::from(value) * weight;
            }
        }
        pixels.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    RgbImage { width: image.width, height: weights.len(), pixels }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
