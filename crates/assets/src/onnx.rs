//! The few ONNX protobuf messages that weights are stored in. Field numbers are those of `onnx.proto`.

use std::collections::HashMap;

use prost::Message;

/// A model file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ModelProto {
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
}

/// The graph of a model.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<TensorProto>,
}

/// An operation of a graph.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// A constant tensor of a graph.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    #[prost(string, tag = "8")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(crate) raw_data: Vec<u8>,
}

const FLOAT: i32 = 1;

/// The constants of a graph, by their own name and by the operation that uses them.
pub(crate) struct Constants {
    tensors: HashMap<String, TensorProto>,
    inputs: HashMap<String, Vec<String>>,
}

impl Constants {
    /// Reads a model file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let model = ModelProto::decode(bytes).map_err(|e| format!("no ONNX model: {e}"))?;
        let graph = model.graph.ok_or("an ONNX model without a graph")?;
        let tensors =
            graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let inputs = graph.node.into_iter().map(|node| (node.name, node.input)).collect();
        Ok(Self { tensors, inputs })
    }

    /// The little-endian floats of the constant `name`, which must have the shape `shape`.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<u8>, String> {
        let tensor = self
            .tensors
            .remove(name)
            .ok_or_else(|| format!("the graph has no constant {name:?}"))?;
        let has_shape = tensor.dims.len() == shape.len()
            && tensor
                .dims
                .iter()
                .zip(shape)
                .all(|(&found, &wanted)| usize::try_from(found) == Ok(wanted));
        if !has_shape {
            return Err(format!(
                "constant {name:?} has the shape {:?}, expected {shape:?}",
                tensor.dims
            ));
        }
        let bytes = 4 * shape.iter().product::<usize>();
        if tensor.data_type != FLOAT || tensor.raw_data.len() != bytes {
            let (kind, found) = (tensor.data_type, tensor.raw_data.len());
            return Err(format!(
                "constant {name:?} has {found} bytes of type {kind}, expected {bytes} of floats"
            ));
        }
        Ok(tensor.raw_data)
    }

    /// As [`take`](Self::take), for the constant that the operation `node` uses.
    pub(crate) fn take_input(&mut self, node: &str, shape: &[usize]) -> Result<Vec<u8>, String> {
        let inputs =
            self.inputs.get(node).ok_or_else(|| format!("the graph has no operation {node:?}"))?;
        let name = inputs.iter().find(|name| self.tensors.contains_key(*name)).cloned();
        self.take(&name.ok_or_else(|| format!("operation {node:?} uses no constant"))?, shape)
    }
}
