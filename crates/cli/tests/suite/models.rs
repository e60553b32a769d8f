//! The tiny models of other crates' tests, and variations of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

/// A template that opens no thought.
const PLAIN_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n\
    {{ message['content'] }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A folder of the `model` crate's tests.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(name)
}

/// The assembled model: InternViT-6B's variant, adapter, Qwen2.
pub(crate) fn vlm() -> PathBuf {
    golden("internvl-six-b")
}

/// The image of the assembled model's reference.
pub(crate) fn image() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../preprocess/tests/golden");
    folder.join("internvl-six-b/image.png")
}

/// Copies the files of a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a test folder");
    for entry in fs::read_dir(from).expect("a test folder") {
        let path = entry.expect("a test file").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a test file");
    }
}

/// The assembled model in a folder of its own, to be changed.
pub(crate) fn vlm_copy(folder: &Path) -> PathBuf {
    let to = folder.join("vlm");
    copy(&vlm(), &to);
    to
}

/// The same with a template that opens no thought.
pub(crate) fn plain_vlm(folder: &Path) -> PathBuf {
    let to = vlm_copy(folder);
    fs::write(to.join("chat_template.jinja"), PLAIN_TEMPLATE).expect("a test file");
    to
}

/// Changes a JSON file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = testkit::json(path);
    change(&mut value);
    fs::write(path, value.to_string()).expect("a test file");
}

/// The tensors of a shard, f32 each.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// Changes a safetensors file.
pub(crate) fn edit_tensors(path: &Path, change: impl FnOnce(&mut Tensors)) {
    let bytes = fs::read(path).expect("a test file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a test file");
    let mut tensors: Tensors = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, data))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), data).expect("a whole tensor"))
    });
    serialize_to_file(views, None, path).expect("a test file");
}

/// A language model of the `model` crate's tests with a tokenizer of single characters.
pub(crate) fn language_model(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join(name);
    copy(&golden(name), &to);
    fs::remove_file(to.join("reference.safetensors")).expect("a test file");
    let special = ["<unk>", "<|im_start|>", "<|im_end|>"];
    let characters = (' '..='~').chain(['\n']).map(String::from);
    let vocab: serde_json::Map<String, Value> = special
        .map(str::to_owned)
        .into_iter()
        .chain(characters)
        .zip(0..)
        .map(|(token, id)| (token, json!(id)))
        .collect();
    let added: Vec<Value> = special.iter().zip(0..).map(|(token, id)| added(token, id)).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": []},
    });
    let config = json!({"eos_token": "<|im_end|>", "chat_template": PLAIN_TEMPLATE});
    fs::write(to.join("tokenizer.json"), tokenizer.to_string()).expect("a test file");
    fs::write(to.join("tokenizer_config.json"), config.to_string()).expect("a test file");
    to
}

fn added(token: &str, id: usize) -> Value {
    json!({
        "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
    })
}
