//! Where tokens stand for a language model with M-RoPE: time, row and column.
//!
//! ```text
//!  text 0 0 0 │ 1 1 1     image of 2 x 3 tokens: time 2; rows 2, 3; columns 2, 3, 4     │ text 5 5 5
//! ```
//!
//! Qwen2-VL, arXiv:2409.12191, section 2.1: a text token stands at one number on each axis, one further
//! than the largest before; an image's tokens at its start, plus their row and column.

use crate::model_image::ModelImage;

/// Places of all rows: those in `image_rows` (ascending) are of `images`, one after the other.
pub(crate) fn places(
    num_rows: usize,
    image_rows: &[usize],
    images: &[ModelImage],
) -> Vec<[u32; 3]> {
    let mut places = Vec::with_capacity(num_rows);
    let mut image_rows = image_rows.iter().copied();
    let (mut next, mut next_image) = (0, image_rows.next());
    let mut images = images.iter();
    while places.len() < num_rows {
        let image = next_image.filter(|&row| row == places.len()).and_then(|_| images.next());
        let Some(image) = image else {
            places.push([next; 3]);
            next += 1;
            continue;
        };
        let [rows, columns] = token_grid(image);
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        places.extend(cells.map(|(row, column)| [next, next + row, next + column]));
        next += rows.max(columns);
        next_image = image_rows.nth(image.num_tokens() - 1);
    }
    places
}

/// Rows and columns of an image's tokens; tiles, which have no place for M-RoPE, stand in a row.
fn token_grid(image: &ModelImage) -> [u32; 2] {
    let grid = match image {
        ModelImage::Patches(image) => image.token_grid(),
        ModelImage::Tiles(image) => [1, image.num_tokens()],
    };
    grid.map(|side| u32::try_from(side).expect("an image has fewer than 2^32 tokens"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::image::ImageFile;
    use crate::patch::{PatchSettings, PatchedImage};

    fn image(width: usize, height: usize) -> ModelImage {
        let folder = std::path::Path::new("nowhere");
        let settings = PatchSettings::load(folder, &json!({"vision_config": {}})).unwrap();
        let image = PatchedImage::new(ImageFile::grey(width, height), &settings).unwrap();
        ModelImage::Patches(image)
    }

    #[test]
    fn text_goes_on_after_the_longer_side() {
        // Two tokens, 2 x 3 image tokens, a token, 3 x 2 image tokens, a token.
        let images = [image(84, 56), image(56, 84)];
        let rows = [2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14];
        let places = places(16, &rows, &images);
        assert_eq!(places[..3], [[0; 3], [1; 3], [2, 2, 2]]);
        assert_eq!(places[3..9], [[2, 2, 3], [2, 2, 4], [2, 3, 2], [2, 3, 3], [2, 3, 4], [5; 3]]);
        assert_eq!(places[9..11], [[6, 6, 6], [6, 6, 7]]);
        assert_eq!(places[13..], [[6, 8, 6], [6, 8, 7], [9; 3]]);
    }

    #[test]
    fn images_may_touch() {
        let images = [image(56, 56), image(56, 56)];
        let places = places(8, &[0, 1, 2, 3, 4, 5, 6, 7], &images);
        assert_eq!(places[3..5], [[0, 1, 1], [2, 2, 2]]);
    }
}
