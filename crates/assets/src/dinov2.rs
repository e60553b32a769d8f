//! A DINOv2 encoder taken out of an ONNX graph into a Hugging Face folder.
//!
//! The exporter kept the names of parameters that are used as they are, folded the transposition into each linear layer's
//! weight (so that it lost its name and is found by the operation that uses it), and cut the position table in two.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::onnx::Constants;

/// The sizes of an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) hidden: usize,
    pub(crate) num_layers: usize,
    pub(crate) num_heads: usize,
    pub(crate) patch: usize,
    /// Patches on one side of the image the position table is made for.
    pub(crate) grid: usize,
}

impl Geometry {
    /// DINOv2-small.
    pub(crate) const SMALL: Self =
        Self { hidden: 384, num_layers: 12, num_heads: 6, patch: 14, grid: 37 };
}

/// Position table of the class row and of the patches, as the exporter numbered them.
const CLASS_POSITION: &str = "onnx::Concat_1957";
const GRID_POSITION: &str = "onnx::Reshape_1962";

/// Writes `config.json`, `preprocessor_config.json` and `model.safetensors` into `folder`.
pub(crate) fn convert(onnx: &[u8], geometry: Geometry, folder: &Path) -> Result<(), String> {
    let tensors = tensors(&mut Constants::parse(onnx)?, geometry)?;
    let view = |(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape, bytes)?));
    let views = tensors.iter().map(|t| view((&t.name, t.shape.clone(), &t.bytes)));
    let views = views
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| e.to_string())?;
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let path = folder.join("model.safetensors");
    safetensors::serialize_to_file(views, Some(format), &path)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    write_json(&folder.join("config.json"), &config(geometry))?;
    write_json(&folder.join("preprocessor_config.json"), &preprocessing())
}

struct Tensor {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn tensors(graph: &mut Constants, geometry: Geometry) -> Result<Vec<Tensor>, String> {
    let Geometry { hidden, num_layers, patch, grid, .. } = geometry;
    let mut tensors = Vec::new();
    let mut push = |name: String, shape: &[usize], bytes| {
        tensors.push(Tensor { name, shape: shape.to_vec(), bytes })
    };

    let mut positions = graph.take(CLASS_POSITION, &[1, 1, hidden])?;
    positions.extend(graph.take(GRID_POSITION, &[1, grid * grid, hidden])?);
    push("embeddings.position_embeddings".to_owned(), &[1, 1 + grid * grid, hidden], positions);
    // Only pre-training masks patches; readers expect the parameter all the same.
    push("embeddings.mask_token".to_owned(), &[1, hidden], vec![0; 4 * hidden]);

    for (name, shape) in plain_parameters(hidden, num_layers, patch) {
        let bytes = graph.take(&format!("backbone.{name}"), &shape)?;
        push(name, &shape, bytes);
    }
    for (name, [rows, columns]) in linear_layers(hidden, num_layers) {
        let node = format!("/backbone/{}/MatMul", path_of(&name));
        let bytes = transpose(&graph.take_input(&node, &[columns, rows])?, columns);
        push(format!("{name}.weight"), &[rows, columns], bytes);
    }
    Ok(tensors)
}

/// Parameters that kept their names: name and shape.
fn plain_parameters(hidden: usize, num_layers: usize, patch: usize) -> Vec<(String, Vec<usize>)> {
    let mut parameters = vec![
        ("embeddings.cls_token".to_owned(), vec![1, 1, hidden]),
        ("embeddings.patch_embeddings.projection.weight".to_owned(), vec![hidden, 3, patch, patch]),
        ("embeddings.patch_embeddings.projection.bias".to_owned(), vec![hidden]),
        ("layernorm.weight".to_owned(), vec![hidden]),
        ("layernorm.bias".to_owned(), vec![hidden]),
    ];
    for layer in 0..num_layers {
        for part in ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"] {
            parameters.push((format!("encoder.layer.{layer}.{part}"), vec![hidden]));
        }
        for part in ["layer_scale1.lambda1", "layer_scale2.lambda1"] {
            parameters.push((format!("encoder.layer.{layer}.{part}"), vec![hidden]));
        }
    }
    let biases = linear_layers(hidden, num_layers)
        .into_iter()
        .map(|(name, [rows, _])| (name + ".bias", vec![rows]));
    parameters.extend(biases);
    parameters
}

/// Linear layers: name, and `[out, in]`.
fn linear_layers(hidden: usize, num_layers: usize) -> Vec<(String, [usize; 2])> {
    let parts = [
        ("attention.attention.query", [hidden, hidden]),
        ("attention.attention.key", [hidden, hidden]),
        ("attention.attention.value", [hidden, hidden]),
        ("attention.output.dense", [hidden, hidden]),
        ("mlp.fc1", [4 * hidden, hidden]),
        ("mlp.fc2", [hidden, 4 * hidden]),
    ];
    let in_layer =
        |layer| parts.map(|(part, shape)| (format!("encoder.layer.{layer}.{part}"), shape));
    (0..num_layers).flat_map(in_layer).collect()
}

/// `encoder.layer.0.mlp.fc1` as the exporter writes it: `encoder/layer.0/mlp/fc1`.
fn path_of(name: &str) -> String {
    name.replace('.', "/").replace("layer/", "layer.")
}

/// Turns `[in, out]` into `[out, in]`, for 4-byte elements; `rows` counts the first dimension.
fn transpose(bytes: &[u8], rows: usize) -> Vec<u8> {
    let elements: &[[u8; 4]] = bytemuck::cast_slice(bytes);
    let columns = elements.len() / rows;
    (0..columns).flat_map(|c| (0..rows).flat_map(move |r| elements[r * columns + c])).collect()
}

fn config(geometry: Geometry) -> serde_json::Value {
    json!({
        "architectures": ["Dinov2Model"],
        "model_type": "dinov2",
        "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": 0.0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": geometry.hidden,
        "image_size": geometry.grid * geometry.patch,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-6,
        "layerscale_value": 1.0,
        "mlp_ratio": 4,
        "num_attention_heads": geometry.num_heads,
        "num_channels": 3,
        "num_hidden_layers": geometry.num_layers,
        "patch_size": geometry.patch,
        "qkv_bias": true,
        "torch_dtype": "float32",
        "use_swiglu_ffn": false,
    })
}

fn preprocessing() -> serde_json::Value {
    json!({
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": {"shortest_edge": 256},
        "resample": 3,
        "do_center_crop": true,
        "crop_size": {"height": 224, "width": 224},
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    })
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), String> {
    let text = format!("{value:#}\n");
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests;
