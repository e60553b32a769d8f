//! A made graph with one layer, in the exporter's form, converted and damaged.

use prost::Message;
use safetensors::SafeTensors;

use super::*;
use crate::onnx::{GraphProto, ModelProto, NodeProto, TensorProto};

const TINY: Geometry = Geometry { hidden: 2, num_layers: 1, num_heads: 1, patch: 2, grid: 2 };

fn constant(name: &str, shape: &[usize]) -> TensorProto {
    let len: usize = shape.iter().product();
    let raw_data = (0..len).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let dims = shape.iter().map(|&d| d as i64).collect();
    TensorProto { dims, data_type: 1, name: name.to_owned(), raw_data }
}

fn graph() -> GraphProto {
    let mut graph = GraphProto::default();
    graph.initializer.push(constant(CLASS_POSITION, &[1, 1, 2]));
    graph.initializer.push(constant(GRID_POSITION, &[1, 4, 2]));
    for (name, shape) in plain_parameters(2, 1, 2) {
        graph.initializer.push(constant(&format!("backbone.{name}"), &shape));
    }
    for (i, (name, [rows, columns])) in linear_layers(2, 1).into_iter().enumerate() {
        let weight = format!("onnx::MatMul_{i}");
        graph.initializer.push(constant(&weight, &[columns, rows]));
        let (name, input) =
            (format!("/backbone/{}/MatMul", path_of(&name)), vec!["activation".to_owned(), weight]);
        graph.node.push(NodeProto { input, name });
    }
    graph
}

fn encoded(graph: GraphProto) -> Vec<u8> {
    ModelProto { graph: Some(graph) }.encode_to_vec()
}

#[test]
fn node_names_are_the_exporters() {
    let name = &linear_layers(384, 12)[11 * 6 + 3].0;
    assert_eq!(path_of(name), "encoder/layer.11/attention/output/dense");
}

#[test]
fn converts_to_a_hugging_face_folder() {
    let folder = tempfile::tempdir().unwrap();
    convert(&encoded(graph()), TINY, folder.path()).unwrap();
    let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.len(), 2 + 5 + 6 + 2 * 6);
    let floats = |name: &str| -> (Vec<usize>, Vec<f32>) {
        let view = tensors.tensor(name).unwrap();
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    };
    let (shape, positions) = floats("embeddings.position_embeddings");
    assert_eq!((shape, positions), (vec![1, 5, 2], vec![0., 1., 0., 1., 2., 3., 4., 5., 6., 7.]));
    // [in 2, out 8] counted row by row becomes [out 8, in 2].
    let (shape, fc1) = floats("encoder.layer.0.mlp.fc1.weight");
    assert_eq!((shape, &fc1[..4]), (vec![8, 2], &[0., 8., 1., 9.][..]));
    assert_eq!(floats("embeddings.mask_token"), (vec![1, 2], vec![0.0; 2]));

    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!((&config["model_type"], &config["image_size"]), (&json!("dinov2"), &json!(4)));
    assert!(folder.path().join("preprocessor_config.json").is_file());
}

#[test]
fn graphs_that_lack_something() {
    let refused = |change: fn(&mut GraphProto), reason: &str| {
        let mut graph = graph();
        change(&mut graph);
        let folder = tempfile::tempdir().unwrap();
        let error = convert(&encoded(graph), TINY, folder.path()).unwrap_err();
        assert!(error.contains(reason), "{error:?} does not say {reason:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    };
    refused(|g| drop(g.initializer.remove(0)), "no constant \"onnx::Concat_1957\"");
    refused(|g| drop(g.node.pop()), "no operation \"/backbone/encoder/layer.0/mlp/fc2/MatMul\"");
    refused(|g| g.node[0].input.truncate(1), "query/MatMul\" uses no constant");
    refused(|g| g.initializer[1].dims = vec![1, 2, 4], "shape [1, 2, 4], expected [1, 4, 2]");
    refused(|g| g.initializer[1].dims = vec![1, -4, 2], "shape [1, -4, 2]");
    refused(|g| g.initializer[1].data_type = 10, "32 bytes of type 10, expected 32 of floats");
    refused(|g| g.initializer[1].raw_data.truncate(31), "31 bytes of type 1");
}

#[test]
fn truncated_at_every_offset() {
    let bytes = encoded(graph());
    let folder = tempfile::tempdir().unwrap();
    for len in 0..bytes.len() {
        assert!(convert(&bytes[..len], TINY, folder.path()).is_err(), "{len} bytes were accepted");
    }
}
