//! Small files, written by the tests that read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use benchmark::{
    Error, FrameSource, ImageStore, Item, Loaded, Marks, Reading, Scoring, Style, find_tasks, score,
};
use schema::Sample;
use tempfile::TempDir;

/// A folder of benchmarks, and one for what is made of them.
pub(crate) struct Folder {
    pub(crate) data: TempDir,
    pub(crate) made: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        Self { data: folder(), made: folder() }
    }

    /// Writes a file below the folder of benchmarks.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.data.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Reads a benchmark.
    pub(crate) fn try_load(&self, task: &str, style: Style) -> Result<Loaded, Error> {
        self.try_load_with(task, style, "no-such-ffmpeg")
    }

    /// Reads a benchmark whose videos a program takes apart.
    pub(crate) fn try_load_with(
        &self,
        task: &str,
        style: Style,
        ffmpeg: &str,
    ) -> Result<Loaded, Error> {
        let mut images = ImageStore::new(&self.made.path().join("images"))?;
        let frames = FrameSource {
            num_frames: 2,
            folder: self.made.path().join("frames"),
            ffmpeg: ffmpeg.into(),
        };
        let mut reading = Reading::new(style, &mut images, &frames, 42);
        find_tasks(task)?[0].load(self.data.path(), &mut reading, None)
    }

    /// Reads a benchmark all of whose rows can be asked.
    #[track_caller]
    pub(crate) fn items(&self, task: &str, style: Style) -> Vec<Item> {
        let loaded = self.try_load(task, style).unwrap_or_else(|error| panic!("{task}: {error}"));
        assert!(loaded.flaws.is_empty(), "{:?}", loaded.flaws);
        loaded.items
    }
}

/// An item without words, to be scored.
pub(crate) fn item(scoring: Scoring) -> Item {
    Item {
        id: "1".to_owned(),
        place: String::new(),
        subject: String::new(),
        cluster: String::new(),
        prompt: Sample::default(),
        images: Vec::new(),
        question: String::new(),
        gold: String::new(),
        scoring,
        kit: None,
        labels: BTreeMap::new(),
    }
}

/// A PNG of one colour, two pixels wide.
pub(crate) fn png(grey: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(2, 2, image::Luma([grey]));
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("memory takes an image");
    bytes.into_inner()
}

pub(crate) fn base64(grey: u8) -> String {
    STANDARD.encode(png(grey))
}

/// A table of VLMEvalKit's: the columns, and rows of cells.
pub(crate) fn tsv(columns: &[&str], rows: &[&[&str]]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    writer.write_record(columns).expect("a heading");
    rows.iter().for_each(|row| writer.write_record(*row).expect("a row"));
    writer.into_inner().expect("a table")
}

/// Scores of a response: strict, lenient, VLMEvalKit's.
#[track_caller]
pub(crate) fn scores(item: &Item, response: &str) -> (f64, f64, Option<f64>) {
    let Marks { strict, lenient, vlmevalkit, .. } = score(item, response, None).expect("a score");
    (strict, lenient, vlmevalkit)
}

/// Whether a path is that of a file.
#[track_caller]
pub(crate) fn assert_file(path: &Path) {
    assert!(path.is_file(), "{}", path.display());
}
