//! What the golden cases of the recipes share: the tiny model, an adapter that has moved, gradients.

use std::path::{Path, PathBuf};

use engine::Parameters;
use serde_json::Value;
use tempfile::TempDir;
use tensor::Gradients;
use testkit::{Golden, assert_close_by_norm};

use crate::config::{Recipe, load};
use crate::policy::Policy;

/// Other crates' golden cases.
pub(crate) fn path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The golden losses of one algorithm, in a folder with the golden image.
pub(crate) struct Losses {
    pub(crate) folder: TempDir,
    pub(crate) tensors: Golden,
    pub(crate) json: Value,
}

impl Losses {
    pub(crate) fn of(algorithm: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = path("preprocess/tests/golden/internvl-six-b/image.png");
        std::fs::copy(image, folder.path().join("image.png")).unwrap();
        let file = path("recipes/tests/golden/losses.json");
        Self {
            folder,
            tensors: Golden::open(path("recipes/tests/golden/losses.safetensors")),
            json: testkit::json(file)[algorithm].clone(),
        }
    }

    /// The golden question.
    pub(crate) fn question() -> Value {
        testkit::json(path("model/tests/golden/internvl-six-b/reference.json"))["question"].clone()
    }

    /// A recipe over these lines.
    pub(crate) fn config<R: Recipe>(&self, lines: &[Value], keys: &[(&str, &str)]) -> R {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(self.folder.path().join("train.jsonl"), text).unwrap();
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let dataset = quoted(self.folder.path().join("train.jsonl"));
        let output = quoted(self.folder.path().join("out"));
        let model = quoted(path("model/tests/golden/internvl-six-b"));
        let required = [
            ("model_name_or_path", model.as_str()),
            ("dataset", &dataset),
            ("output_dir", &output),
            ("learning_rate", "1e-3"),
            ("save_steps", "1"),
        ];
        let keys: Vec<_> =
            required.iter().chain(keys).map(|&(k, v)| (k.into(), v.into())).collect();
        load(None, &keys).unwrap()
    }

    /// The adapter that has moved away from the checkpoint's.
    pub(crate) fn moved(&self, policy: &Policy) -> Parameters {
        let parameters = policy.parameters().unwrap();
        let of = |name: &str| self.tensors.f32(&format!("policy.{name}"));
        let moved = parameters.iter().map(|(n, v)| (n.to_owned(), v.shape().to_vec(), of(n)));
        Parameters::new(moved).unwrap()
    }

    /// The adapter's gradients under a name.
    pub(crate) fn check_gradients(&self, name: &str, gradients: &Gradients) {
        assert_eq!(gradients.len(), 6);
        for (parameter, gradient) in gradients.iter() {
            let want = self.tensors.f32(&format!("{name}.grad.{parameter}"));
            assert_close_by_norm(parameter, gradient.as_slice(), &want, 1e-3);
        }
    }
}
