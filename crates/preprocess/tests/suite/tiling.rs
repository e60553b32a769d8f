//! The tile grid and what a folder's settings say.

use preprocess::{Grid, ImageFile, ImageSettings, TiledImage, choose_grid};
use serde_json::{Value, json};

fn config() -> Value {
    json!({
        "force_image_size": 448, "dynamic_image_size": true, "min_dynamic_patch": 1, "max_dynamic_patch": 12,
        "use_thumbnail": true, "downsample_ratio": 0.5, "vision_config": {"image_size": 448, "patch_size": 14},
    })
}

fn settings(max_tiles: usize) -> ImageSettings {
    let settings = ImageSettings::from_config(&config()).unwrap().unwrap();
    ImageSettings { max_tiles, ..settings }
}

/// Width and height; columns, rows and tiles (thumbnail included) for at most 12 and at most 6 tiles.
type Case = ((usize, usize), (usize, usize, usize), (usize, usize, usize));

const CASES: [Case; 18] = [
    ((448, 448), (1, 1, 1), (1, 1, 1)),
    ((896, 896), (2, 2, 5), (2, 2, 5)),
    ((633, 634), (1, 1, 1), (1, 1, 1)),
    ((634, 634), (2, 2, 5), (2, 2, 5)),
    ((640, 640), (2, 2, 5), (2, 2, 5)),
    ((1100, 1100), (3, 3, 10), (2, 2, 5)),
    ((1344, 1344), (3, 3, 10), (2, 2, 5)),
    ((2000, 2000), (3, 3, 10), (2, 2, 5)),
    ((640, 480), (4, 3, 13), (3, 2, 7)),
    ((800, 600), (4, 3, 13), (3, 2, 7)),
    ((1024, 768), (4, 3, 13), (3, 2, 7)),
    ((480, 640), (3, 4, 13), (2, 3, 7)),
    ((1920, 1080), (4, 2, 9), (2, 1, 3)),
    ((1080, 1920), (2, 4, 9), (1, 2, 3)),
    ((300, 200), (3, 2, 7), (3, 2, 7)),
    ((1200, 400), (3, 1, 4), (3, 1, 4)),
    ((1000, 100), (10, 1, 11), (6, 1, 7)),
    ((100, 1000), (1, 10, 11), (1, 6, 7)),
];

#[test]
fn grids_are_those_of_the_reference() {
    for ((width, height), at_most_12, at_most_6) in CASES {
        for (max_tiles, (columns, rows, num_tiles)) in [(12, at_most_12), (6, at_most_6)] {
            let settings = settings(max_tiles);
            let grid = Grid { columns, rows };
            assert_eq!(choose_grid(width, height, &settings), grid, "{width}x{height} {max_tiles}");
            let image = TiledImage::new(ImageFile::grey(width, height), &settings).unwrap();
            assert_eq!((image.num_tiles(), image.num_tokens()), (num_tiles, num_tiles * 256));
        }
    }
    assert_eq!(choose_grid(500, 333, &settings(12)), Grid { columns: 3, rows: 2 });
}

#[test]
fn the_least_number_of_tiles_is_kept() {
    let settings = ImageSettings { min_tiles: 4, ..settings(6) };
    assert_eq!(choose_grid(100, 100, &settings), Grid { columns: 2, rows: 2 });
}

#[test]
fn tiles_are_cut_row_by_row_with_the_thumbnail_last() {
    let settings = ImageSettings { tile_size: 2, ..settings(6) };
    let mut png = std::io::Cursor::new(Vec::new());
    let pixels = (0..4 * 6).flat_map(|index| [index * 10, index, 255 - index]).collect();
    let buffer = image::RgbImage::from_raw(4, 6, pixels).unwrap();
    buffer.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let file = ImageFile::from_bytes("grid", png.into_inner()).unwrap();
    let image = TiledImage::new(file, &settings).unwrap();
    assert_eq!(image.grid(), Grid { columns: 2, rows: 3 });
    let tiles = image.tiles().unwrap();
    let green: Vec<Vec<u8>> =
        tiles.iter().map(|tile| tile.pixels.iter().skip(1).step_by(3).copied().collect()).collect();
    assert_eq!(green[..2], [[0, 1, 4, 5], [2, 3, 6, 7]]);
    assert_eq!(green[5], [18, 19, 22, 23]);
    assert_eq!(green.len(), 7);
    let values = image.pixel_values().unwrap();
    assert_eq!(values.len(), 7 * 3 * 2 * 2);
    assert_eq!(values[4 + 1], (1.0 / 255.0 - 0.456) / 0.224, "tile 0, green, second pixel");
}

#[test]
fn keys_follow_what_changes_the_pixels() {
    let image = |width, settings: &ImageSettings| {
        TiledImage::new(ImageFile::grey(width, 40), settings).unwrap()
    };
    let key = image(40, &settings(6)).key();
    assert_eq!(key, image(40, &settings(6)).key());
    assert_ne!(key, image(41, &settings(6)).key());
    assert_ne!(key, image(40, &ImageSettings { mean: [0.5; 3], ..settings(6) }).key());
    assert_ne!(key, image(40, &ImageSettings { tile_size: 224, ..settings(6) }).key());
}

#[test]
fn shapes_that_are_hardly_images_are_refused() {
    for (width, height, expected) in [
        (201, 1, Some("201x1: a side over 200 times the other")),
        (200, 1, None),
        (1, 201, Some("1x201: a side over 200 times the other")),
        (65_535, 400, None),
        (65_536, 400, Some("65536x400: a side over 65535 pixels")),
        (8_000_000, 1, Some("8000000x1: a side over 65535 pixels")),
    ] {
        let image = TiledImage::new(ImageFile::grey(width, height), &settings(12));
        let error = image.err().map(|error| error.to_string());
        assert_eq!(error, expected.map(|reason| format!("image grey: {reason}")));
    }
}

#[test]
fn settings_without_tiling_mean_one_tile() {
    let mut config = config();
    config["dynamic_image_size"] = json!(false);
    config["force_image_size"] = Value::Null;
    config["vision_config"] = json!({"image_size": [224, 224], "patch_size": [14, 14]});
    let settings = ImageSettings::from_config(&config).unwrap().unwrap();
    assert_eq!((settings.tile_size, settings.tokens_per_tile), (224, 64));
    let image = TiledImage::new(ImageFile::grey(900, 300), &settings).unwrap();
    assert_eq!(image.num_tiles(), 1);
    assert_eq!(ImageSettings::from_config(&json!({"model_type": "llama"})), Ok(None));
}

#[test]
fn contradictory_settings_name_the_key() {
    for (key, value, expected) in [
        ("min_dynamic_patch", json!(13), "min_dynamic_patch is 13, but max_dynamic_patch is 12"),
        (
            "max_dynamic_patch",
            json!("12"),
            "max_dynamic_patch must be a positive integer, it is \"12\"",
        ),
        ("force_image_size", json!(450), "tiles of 450 pixels do not divide"),
        ("downsample_ratio", json!(2), "downsample_ratio"),
        ("use_thumbnail", Value::Null, "use_thumbnail must be true or false, it is null"),
        ("pad2square", json!(true), "pad2square is true"),
        ("vision_config", json!({"patch_size": [14, 16]}), "patch_size must be square"),
    ] {
        let mut config = config();
        config[key] = value;
        let reason = ImageSettings::from_config(&config).unwrap_err();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn mean_and_deviation_come_from_the_preprocessor_config() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config().to_string()).unwrap();
    let path = folder.path().join("preprocessor_config.json");
    std::fs::write(&path, r#"{"image_mean": [0.5, 0.25, 0.125]}"#).unwrap();
    let settings = ImageSettings::load(folder.path()).unwrap().unwrap();
    assert_eq!((settings.mean, settings.std), ([0.5, 0.25, 0.125], [0.229, 0.224, 0.225]));
    std::fs::write(&path, r#"{"image_std": [1]}"#).unwrap();
    let error = ImageSettings::load(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("preprocessor_config.json: image_std must be three numbers, it is [1]"),
        "{error}"
    );
}
