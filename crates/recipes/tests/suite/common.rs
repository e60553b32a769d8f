//! A tiny model, pictures made by hand, and a recipe's run in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use engine::Event;
use model::vlm::{Trainable, Vlm};
use model::weights::Stored;
use preprocess::Processor;
use recipes::config::{Recipe, load};
use recipes::run::{Notice, WEIGHTS_FILE, Watch};
use recipes::sft::sft;
use serde_json::{Value, json};
use tempfile::TempDir;
use tensor::DType;
use testkit::Golden;

/// Other crates' golden cases; the checkpoint is too large to keep twice.
pub(crate) fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The folder of the tiny model.
pub(crate) fn model() -> PathBuf {
    golden("model/tests/golden/internvl-six-b")
}

pub(crate) fn reference() -> Value {
    testkit::json(model().join("reference.json"))
}

pub(crate) fn vlm() -> Vlm {
    Vlm::load(&model(), DType::F32).unwrap()
}

/// Name and values of what trains under a setting.
pub(crate) fn values(vlm: &Vlm, trainable: Trainable) -> BTreeMap<String, Vec<f32>> {
    vlm.parameters(trainable).into_iter().map(|p| (p.name, p.values)).collect()
}

/// A run's place: data, output and keys.
pub(crate) struct Place {
    pub folder: TempDir,
    keys: Vec<(String, String)>,
}

impl Place {
    /// With data of these lines, and pictures 0 to 3 as `0.bmp` to `3.bmp`.
    pub(crate) fn new(lines: &[Value]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), keys: Vec::new() };
        for number in 0..4 {
            fs::write(place.path(&format!("{number}.bmp")), picture(number)).unwrap();
        }
        fs::copy(
            golden("preprocess/tests/golden/internvl-six-b/image.png"),
            place.path("image.png"),
        )
        .unwrap();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(place.path("train.jsonl"), text).unwrap();
        let (dataset, output) = (place.path("train.jsonl"), place.path("out"));
        place
            .with("model_name_or_path", quoted(&model()))
            .with("dataset", quoted(&dataset))
            .with("output_dir", quoted(&output))
            .with("save_steps", 1000)
            .with("learning_rate", 1e-3)
            .with("per_device_train_batch_size", 2)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a key.
    pub(crate) fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.keys.push((key.to_owned(), value.to_string()));
        self
    }

    /// Sets several keys.
    pub(crate) fn set(&mut self, keys: &[(&str, &str)]) {
        self.keys.extend(keys.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
    }

    /// The recipe of these keys, and others.
    pub(crate) fn config<R: Recipe>(&self, keys: &[(&str, &str)]) -> R {
        self.try_config(keys).unwrap()
    }

    pub(crate) fn try_config<R: Recipe>(&self, keys: &[(&str, &str)]) -> Result<R, recipes::Error> {
        let others = keys.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        load(None, &self.keys.iter().cloned().chain(others).collect::<Vec<_>>())
    }

    /// Writes the keys as `keys.toml`, for another process.
    pub(crate) fn write_keys(&self) {
        let keys: BTreeMap<&str, &str> =
            self.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let line = |(key, value): (&str, &str)| {
            let is_value = format!("v = {value}").parse::<toml::Table>().is_ok();
            if is_value { format!("{key} = {value}\n") } else { format!("{key} = {value:?}\n") }
        };
        let text: String = keys.into_iter().map(line).collect();
        fs::write(self.path("keys.toml"), text).unwrap();
    }

    /// Lines of `metrics.jsonl`.
    pub(crate) fn metrics(&self) -> Vec<BTreeMap<String, f64>> {
        lines(&self.path("out/metrics.jsonl"))
    }

    /// What `checkpoint-<step>` holds.
    pub(crate) fn trained(&self, step: u64) -> BTreeMap<String, Vec<f32>> {
        let file = Golden::open(self.path(&format!("out/checkpoint-{step}")).join(WEIGHTS_FILE));
        file.names().into_iter().map(|name| (name.clone(), file.f32(&name))).collect()
    }
}

/// A path as TOML text.
pub(crate) fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// The objects of a JSONL file.
pub(crate) fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A question about one of the pictures, or about none, with what is answered.
pub(crate) fn sample(picture: Option<usize>, question: &str, answer: &str) -> Value {
    let images: Vec<String> = picture.iter().map(|number| format!("{number}.bmp")).collect();
    let tag = if images.is_empty() { "" } else { "<image>\n" };
    json!({
        "messages": [
            {"role": "user", "content": format!("{tag}{question}")},
            {"role": "assistant", "content": format!("</think>\n\n\\boxed{{{answer}}}")},
        ],
        "images": images,
        "answer": answer,
    })
}

/// The golden case's sample.
pub(crate) fn golden_sample() -> Value {
    let reference = reference();
    let answer = reference["answer"].as_str().unwrap().strip_suffix("<|im_end|>").unwrap();
    json!({
        "messages": [
            {"role": "user", "content": reference["question"]},
            {"role": "assistant", "content": answer},
        ],
        "images": ["image.png"],
        "answer": "21",
    })
}

/// Samples of different pictures and lengths.
pub(crate) fn samples() -> Vec<Value> {
    let questions =
        ["Sum?", "What is the sum of the two numbers?", "Why?", "And how many squares?"];
    let answers = ["7", "First 17 then 4", "12", "3 3 3"];
    (0..4).map(|i| sample(Some(i), questions[i], answers[i])).collect()
}

/// Tokens of each of [`samples`].
pub(crate) fn lengths() -> Vec<usize> {
    let place = Place::new(&samples());
    let processor = Processor::load(&model()).unwrap();
    let length = |sample: Value| {
        let sample = serde_json::from_value(sample).unwrap();
        processor.example(&sample, place.folder.path()).unwrap().ids.len()
    };
    samples().into_iter().map(length).collect()
}

/// A model that was taught to answer "Sum?" by 3 as often as by 4, whatever the picture.
pub(crate) fn taught() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let answers = ["3", "4"];
            let lines: Vec<Value> =
                (0..8).map(|i| sample(Some(i / 2), "Sum?", answers[i % 2])).collect();
            let place = Place::new(&lines)
                .with("trainable", "adapter+llm")
                .with("learning_rate", 3e-3)
                .with("per_device_train_batch_size", 8)
                .with("max_steps", 120);
            let policy = sft(&place.config(&[]), Watch::nobody()).unwrap();
            let folder = tempfile::tempdir().unwrap();
            policy.vlm.save(folder.path(), Stored::F32).unwrap();
            folder
        })
        .path()
}

/// A picture of one tile, as a BMP file: 56 x 56, 24 bits.
fn picture(number: usize) -> Vec<u8> {
    const SIDE: u32 = 56;
    let num_bytes = SIDE * SIDE * 3;
    let mut file = b"BM".to_vec();
    for value in [54 + num_bytes, 0, 54, 40, SIDE, SIDE] {
        file.extend(value.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    let shade = |i: u32| (i * 7 * (number as u32 + 1) + i / 200 * 31) as u8;
    file.extend((0..num_bytes).map(shade));
    file
}

/// What those who watch a run see, as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn watch(&self) -> Watch {
        let (events, notices) = (self.clone(), self.clone());
        Watch {
            events: Box::new(move |event: &Event<'_>| {
                events.push(match event {
                    Event::Resumed { step, .. } => format!("resumed {step}"),
                    Event::SetAside { .. } => "set aside".to_owned(),
                    Event::Step(report) => format!("step {}", report.step),
                    Event::Saved { step, .. } => format!("saved {step}"),
                });
            }),
            notices: Box::new(move |notice: &Notice| notices.push(format!("{notice:?}"))),
        }
    }

    fn push(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// Lines that begin with `prefix`.
    pub(crate) fn lines(&self, prefix: &str) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with(prefix)).cloned().collect()
    }
}
