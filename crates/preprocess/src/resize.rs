//! Bicubic resizing, bit for bit as Pillow's `Image.resize` does it.
//!
//! Two passes, the order of which Pillow 13 chooses by how much each side shrinks; each output value is a weighted sum
//! in 22-bit fixed point, rounded to 8 bits after each pass. When the image shrinks, the filter widens with it
//! (antialiasing). Whole-number sums do not depend on their order, so both passes are compiled for the widest vectors
//! that the processor has.

use pulp::{Arch, Simd, WithSimd};

use crate::image::RgbImage;

/// Fraction bits of a weight: 32, less 8 for the value, less 2 for weights beyond one and the sign.
const PRECISION: u32 = 22;
/// What is added before the fraction bits are dropped, so that a sum is rounded.
const HALF: i32 = 1 << (PRECISION - 1);
/// Neighbouring pixels of a row that are weighted together.
const STEP: usize = 4;
/// Values of a row that are summed in registers.
const BLOCK: usize = 32;
/// Reach of the bicubic filter at scale one.
const SUPPORT: f64 = 2.0;

/// Resizes to `width × height`. Sizes that are already right are left as they are.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let across = |image: &RgbImage| match image.width == width {
        true => image.clone(),
        false => Arch::new().dispatch(Pass::Columns(image, width)),
    };
    let down = |image: &RgbImage| match image.height == height {
        true => image.clone(),
        false => Arch::new().dispatch(Pass::Rows(image, height)),
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

/// One pass over an image, and the number of columns or rows that it makes. What it calls is inlined, so that all of
/// it is compiled for the vectors that are dispatched to.
enum Pass<'a> {
    Columns(&'a RgbImage, usize),
    Rows(&'a RgbImage, usize),
}

impl WithSimd for Pass<'_> {
    type Output = RgbImage;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _vectors: S) -> RgbImage {
        match self {
            Self::Columns(image, width) => resize_columns(image, width),
            Self::Rows(image, height) => resize_rows(image, height),
        }
    }
}

/// A weight for each channel of `STEP` pixels.
type WideWeights = [[i32; 4]; STEP];

#[inline(always)]
fn resize_columns(image: &RgbImage, width: usize) -> RgbImage {
    let columns = weights(image.width, width);
    let (steps, wide_weights) = widen(&columns);
    // Weights of zero reach beyond the end of the row.
    let mut row = vec![[0; 4]; image.width + steps * STEP];
    // A pixel is written with a fourth byte, which the next one overwrites.
    let mut pixels = vec![0; image.height * width * 3 + 1];
    for (number, input) in image.pixels.chunks_exact(image.width * 3).enumerate() {
        for (wide, pixel) in row.iter_mut().zip(input.chunks_exact(3)) {
            *wide = [pixel[0].into(), pixel[1].into(), pixel[2].into(), 0];
        }
        let output = &mut pixels[number * width * 3..][..width * 3 + 1];
        let wide_weights = wide_weights.chunks_exact(steps);
        for (place, (column, weights)) in columns.iter().zip(wide_weights).enumerate() {
            let sums = weighted_sum(&row[column.first..], weights);
            output[place * 3..place * 3 + 4].copy_from_slice(&sums.map(to_byte));
        }
    }
    pixels.pop();
    RgbImage { width, height: image.height, pixels }
}

/// Steps that every output takes, and for each output the weights of so many.
fn widen(weights: &[Weights]) -> (usize, Vec<WideWeights>) {
    let most = weights.iter().map(|one| one.values.len()).max().unwrap_or(0);
    let steps = most.div_ceil(STEP).max(1);
    let mut wide = vec![[[0; 4]; STEP]; weights.len() * steps];
    for (wide, one) in wide.chunks_exact_mut(steps).zip(weights) {
        for (wide, &weight) in wide.as_flattened_mut().iter_mut().zip(&one.values) {
            *wide = [weight; 4];
        }
    }
    (steps, wide)
}

#[inline(always)]
fn weighted_sum(pixels: &[[i32; 4]], weights: &[WideWeights]) -> [i32; 4] {
    let mut sums = [[0; 4]; STEP];
    for (pixels, weights) in pixels.as_chunks::<STEP>().0.iter().zip(weights) {
        let products = pixels.as_flattened().iter().zip(weights.as_flattened());
        for (sum, (&value, &weight)) in sums.as_flattened_mut().iter_mut().zip(products) {
            *sum += value * weight;
        }
    }
    std::array::from_fn(|channel| sums.iter().fold(HALF, |sum, part| sum + part[channel]))
}

#[inline(always)]
fn resize_rows(image: &RgbImage, height: usize) -> RgbImage {
    let stride = image.width * 3;
    let whole = stride - stride % BLOCK;
    let mut pixels = vec![0; height * stride];
    for (row, output) in weights(image.height, height).iter().zip(pixels.chunks_exact_mut(stride)) {
        let inputs = &image.pixels[row.first * stride..];
        let (blocks, rest) = output.split_at_mut(whole);
        for (number, block) in blocks.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            *block = sum_of_rows(&inputs[number * BLOCK..], stride, &row.values);
        }
        for (number, byte) in rest.iter_mut().enumerate() {
            [*byte] = sum_of_rows(&inputs[whole + number..], stride, &row.values);
        }
    }
    RgbImage { width: image.width, height, pixels }
}

/// The first `N` values of rows that lie `stride` apart, weighted.
#[inline(always)]
fn sum_of_rows<const N: usize>(inputs: &[u8], stride: usize, weights: &[i32]) -> [u8; N] {
    let mut sums = [HALF; N];
    for (row, &weight) in weights.iter().enumerate() {
        let input = &inputs[row * stride..][..N];
        for (sum, &value) in sums.iter_mut().zip(input) {
            *sum += i32::from(value) * weight;
        }
    }
    sums.map(to_byte)
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> RgbImage {
        let value = |i: usize| (i * 7919 % 251) as u8 ^ if i % 7 < 3 { 255 } else { 0 };
        RgbImage { width, height, pixels: (0..width * height * 3).map(value).collect() }
    }

    /// Both passes by each kind of vectors that this processor has, against plain arithmetic.
    #[test]
    fn vectors_agree_with_plain_arithmetic() {
        for (width, height, to) in [(1, 1, 1), (2, 3, 5), (17, 9, 31), (64, 50, 13), (301, 7, 448)]
        {
            let image = noise(width, height);
            for pass in [|image, to| Pass::Columns(image, to), |image, to| Pass::Rows(image, to)] {
                let plain = pass(&image, to).with_simd(pulp::Scalar::new());
                assert_eq!(
                    Arch::new().dispatch(pass(&image, to)),
                    plain,
                    "{width}x{height} to {to}"
                );
                #[cfg(target_arch = "x86_64")]
                if let Some(avx2) = pulp::x86::V3::try_new() {
                    assert_eq!(
                        Simd::vectorize(avx2, pass(&image, to)),
                        plain,
                        "{width}x{height} to {to}"
                    );
                }
            }
        }
    }
}
