//! Decoding and resizing equal Pillow bit for bit; damage is an error.

use std::path::Path;

use crate::common::{golden_json, text};
use base64::Engine;
use preprocess::{ImageFile, RgbImage, resize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The same pixels as `pattern` in `golden/generate.py`.
fn pattern(width: usize, height: usize, kind: &str) -> RgbImage {
    let value = |x: usize, y: usize, c: usize| {
        let value = (x * 7 + y * 13 + c * 29 + x * y) % 256;
        match kind {
            "harsh" => u8::from(value % 5 < 2) * 255,
            _ => value as u8,
        }
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels = places.flat_map(|(x, y)| [0, 1, 2].map(|c| value(x, y, c))).collect();
    RgbImage { width, height, pixels }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn size(value: &Value) -> (usize, usize) {
    let side = |index: usize| value[index].as_u64().unwrap() as usize;
    (side(0), side(1))
}

fn decode_base64(case: &Value) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text(&case["base64"])).unwrap()
}

#[test]
fn resizing_equals_pillow() {
    for case in golden_json("pillow.json")["resize"].as_array().unwrap() {
        let ((width, height), to) = (size(&case["from"]), size(&case["to"]));
        let image = resize(&pattern(width, height, text(&case["kind"])), to.0, to.1);
        assert_eq!((image.width, image.height), to);
        assert_eq!(digest(&image.pixels), text(&case["sha256"]), "{case}");
    }
}

#[test]
fn decoding_equals_pillow() {
    for case in golden_json("pillow.json")["images"].as_array().unwrap() {
        let file = ImageFile::from_bytes(text(&case["name"]), decode_base64(case)).unwrap();
        assert_eq!((file.width(), file.height()), size(&case["size"]));
        let image = file.decode().unwrap();
        assert_eq!((image.width, image.height), size(&case["size"]));
        assert_eq!(digest(&image.pixels), text(&case["sha256"]), "{}", file.name());
    }
}

#[test]
fn a_data_url_is_an_image_and_equal_bytes_have_equal_hashes() {
    let golden = golden_json("pillow.json");
    let case = &golden["images"][0];
    let url = format!("data:image/png;base64,{}", text(&case["base64"]));
    let file = ImageFile::load(&url, Path::new("nowhere")).unwrap();
    assert_eq!(digest(&file.decode().unwrap().pixels), text(&case["sha256"]));
    let same = ImageFile::from_bytes("other name", decode_base64(case)).unwrap();
    assert_eq!(file.sha256(), same.sha256());
    assert!(file.name().len() < 100, "{}", file.name());
}

#[test]
fn sixteen_bit_images_keep_their_high_bytes() {
    let samples: Vec<u16> = (0..12).map(|value| value * 5_000).collect();
    let high: Vec<u8> = samples.iter().map(|value| (value >> 8) as u8).collect();
    let rgb = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(2, 2, samples.clone()).unwrap();
    let grey = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(4, 3, samples).unwrap();
    for (image, expected) in [
        (image::DynamicImage::from(rgb), high.clone()),
        (grey.into(), high.iter().flat_map(|&value| [value; 3]).collect()),
    ] {
        let mut png = std::io::Cursor::new(Vec::new());
        image.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let file = ImageFile::from_bytes("16.png", png.into_inner()).unwrap();
        assert_eq!(file.decode().unwrap().pixels, expected);
    }
}

/// Every encoder's output, cut anywhere: an error, or nothing is lost (the cut took only the end marker).
#[test]
fn truncated_images_are_errors() {
    let golden = golden_json("pillow.json");
    let mut files: Vec<(String, Vec<u8>)> = golden["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (text(&case["name"]).to_owned(), decode_base64(case)))
        .collect();
    let rgb = pattern(40, 30, "smooth");
    let mut jpeg = std::io::Cursor::new(Vec::new());
    let buffer = image::RgbImage::from_raw(40, 30, rgb.pixels).unwrap();
    buffer.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    files.push(("rgb.jpg".to_owned(), jpeg.into_inner()));
    for (name, bytes) in files {
        let whole = ImageFile::from_bytes(name.as_str(), bytes.clone()).unwrap().decode().unwrap();
        for length in 0..bytes.len() {
            let cut = ImageFile::from_bytes(name.as_str(), bytes[..length].to_vec());
            match cut.and_then(|file| file.decode()) {
                Ok(image) => assert!(image == whole, "{name} cut to {length} of {}", bytes.len()),
                Err(error) => assert!(error.to_string().contains(&name), "{error}"),
            }
        }
    }
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text.png"), "not an image").unwrap();
    let huge =
        [&b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"[..], &[0, 128, 0, 0].repeat(2), &[1, 0, 24, 0]];
    std::fs::write(folder.path().join("huge.bmp"), [huge.concat(), vec![0; 24]].concat()).unwrap();
    for (reference, expected) in [
        ("absent.png", "absent.png: No such file"),
        ("text.png", "text.png: not a PNG"),
        ("huge.bmp", "huge.bmp: 32768x32768 pixels"),
        ("https://example.org/a.png", "not fetched"),
        ("data:image/png,abc", "a data URL must be"),
        ("data:image/png;base64,*", "Invalid"),
    ] {
        let error = ImageFile::load(reference, folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{reference}: {error}");
    }
}
