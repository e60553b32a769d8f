//! The values under training: f32 masters by checkpoint name.

use std::collections::BTreeMap;

use tensor::{Gradients, Tensor};

use crate::Error;

/// The trainable parameters, in the order of their names.
///
/// Names are those of the checkpoint (`mlp1.1.weight`), so what is saved can be loaded as it is.
#[derive(Clone, Debug)]
pub struct Parameters {
    values: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// Takes name, shape and row-major values of each parameter, in any order.
    ///
    /// # Errors
    /// If values do not fill their shape, or a name comes twice.
    pub fn new(
        parameters: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    ) -> Result<Self, Error> {
        let mut by_name = BTreeMap::new();
        for (name, shape, values) in parameters {
            if values.len() != shape.iter().product::<usize>() {
                return Err(Error::ParameterShape { name, shape, values: values.len() });
            }
            if by_name.contains_key(&name) {
                return Err(Error::DuplicateParameter { name });
            }
            by_name.insert(name, Tensor::from_vec(values, &shape));
        }
        Ok(Self { values: by_name })
    }

    /// The parameter `name`, if it trains.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.values.get(name)
    }

    /// All parameters, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.values.iter().map(|(name, values)| (name.as_str(), values))
    }

    /// Number of f32 values in all parameters.
    pub fn num_values(&self) -> usize {
        self.values.values().map(Tensor::len).sum()
    }

    /// One zero accumulator per parameter.
    pub fn gradients(&self) -> Gradients {
        Gradients::new(self.iter().map(|(name, values)| (name.to_owned(), values.shape().to_vec())))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tensor)> {
        self.values.iter_mut().map(|(name, values)| (name.as_str(), values))
    }
}

/// Whether weight decay applies: to matrices, not to biases, norms and other vectors.
///
/// transformers exempts biases and norm layers by name and type; all of them are vectors. The one
/// difference is that a layer-scale vector decays there and does not here.
pub(crate) fn decays(shape: &[usize]) -> bool {
    shape.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_names() {
        let entry = |name: &str| (name.to_owned(), vec![2], vec![0.0; 2]);
        let parameters = Parameters::new([entry("b"), entry("a.weight"), entry("a.bias")]).unwrap();
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.bias", "a.weight", "b"]);
        assert_eq!(parameters.num_values(), 6);
        assert!(parameters.get("a").is_none());
    }

    #[test]
    fn misfits_are_named() {
        let short = Parameters::new([("w".to_owned(), vec![2, 2], vec![0.0; 3])]).unwrap_err();
        assert_eq!(short.to_string(), "parameter w: 3 values do not fill shape [2, 2]");
        let twice = Parameters::new([
            ("w".to_owned(), vec![1], vec![0.0]),
            ("w".to_owned(), vec![1], vec![0.0]),
        ]);
        assert_eq!(twice.unwrap_err().to_string(), "parameter w is listed twice");
    }
}
