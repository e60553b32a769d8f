//! The picture of an expression: bitmaps enlarged into squares, operators as thick strokes.

use image::imageops::{FilterType, resize};
use image::{GrayImage, Luma};
use rand_chacha::ChaCha8Rng;

use super::expression::Operator;
use super::table::{Bitmap, SIDE};
use super::{DigitTask, OperatorPlace, Paper};
use crate::random::signed_unit;

/// Draws digits with the operators between them. The generator decides how each operator's strokes wobble.
pub(crate) fn draw(
    task: &DigitTask,
    digits: &[&Bitmap],
    operators: &[Operator],
    rng: &mut ChaCha8Rng,
) -> GrayImage {
    let tile = task.tile;
    let mut ink = GrayImage::new(tile * task.num_tiles(), tile);
    for (i, digit) in (0..).zip(digits) {
        match task.operator_place {
            OperatorPlace::OwnTile => paste(&mut ink, digit, [2 * i * tile, 0], tile),
            OperatorPlace::Margin => {
                paste(&mut ink, digit, [i * tile + tile / 4, tile / 8], tile - tile / 4)
            }
        }
    }
    for (i, &operator) in (0..).zip(operators) {
        let centre = match task.operator_place {
            OperatorPlace::OwnTile => ((2 * i + 1) * tile) as f32 + tile as f32 / 2.0,
            OperatorPlace::Margin => ((i + 1) * tile) as f32 + tile as f32 / 6.0,
        };
        let reach =
            tile as f32 * if task.operator_place == OperatorPlace::OwnTile { 0.28 } else { 0.12 };
        strokes(&mut ink, operator, [centre, tile as f32 / 2.0], reach, rng);
    }
    if task.paper == Paper::White {
        image::imageops::invert(&mut ink);
    }
    ink
}

/// Enlarges a bitmap to a square of `size` pixels at `[x, y]`.
fn paste(ink: &mut GrayImage, digit: &Bitmap, [x, y]: [u32; 2], size: u32) {
    let bitmap =
        GrayImage::from_raw(SIDE, SIDE, digit.pixels.clone()).expect("a bitmap has 28 × 28 pixels");
    let digit = resize(&bitmap, size, size, FilterType::Triangle);
    image::imageops::replace(ink, &digit, x.into(), y.into());
}

/// Draws an operator about `centre` whose strokes reach `reach` pixels from it, give or take a tenth; it is off centre by
/// up to a fifth of that, turned by up to 8 degrees, and a fifth to a third as thick as it is wide.
fn strokes(
    ink: &mut GrayImage,
    operator: Operator,
    centre: [f32; 2],
    reach: f32,
    rng: &mut ChaCha8Rng,
) {
    let [x, y] = centre.map(|c| c + 0.2 * reach * signed_unit(rng));
    let reach = reach * (1.0 + 0.1 * signed_unit(rng));
    let radius = reach * (0.26 + 0.06 * signed_unit(rng));
    let turn = 8.0 * signed_unit(rng);
    let angles: &[f32] = match operator {
        Operator::Plus => &[0.0, 90.0],
        Operator::Minus => &[0.0],
        Operator::Times => &[45.0, 135.0],
    };
    for angle in angles {
        let (sin, cos) = (angle + turn).to_radians().sin_cos();
        stroke(ink, [x, y], [cos * reach, sin * reach], radius);
    }
}

/// Draws a line with round ends from `centre − arm` to `centre + arm`, its edge smoothed over one pixel.
fn stroke(ink: &mut GrayImage, centre: [f32; 2], arm: [f32; 2], radius: f32) {
    let length = arm[0].hypot(arm[1]);
    for (column, row, pixel) in ink.enumerate_pixels_mut() {
        let [dx, dy] = [column as f32 + 0.5 - centre[0], row as f32 + 0.5 - centre[1]];
        let along = ((dx * arm[0] + dy * arm[1]) / length).clamp(-length, length);
        let distance = (dx - along * arm[0] / length).hypot(dy - along * arm[1] / length);
        let cover = (radius + 0.5 - distance).clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cover lies in 0..=1"
        )]
        let value = (cover * 255.0).round() as u8;
        *pixel = Luma([pixel.0[0].max(value)]);
    }
}
