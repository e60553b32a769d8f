//! Accumulators for the parameters that train.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Tensor;

/// Gradient accumulators by parameter name, in name order.
///
/// A name that is absent is frozen, and whoever would compute its gradient skips that work.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    by_name: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Zero accumulators for these names and shapes.
    pub fn new(parameters: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let zeros = |(name, shape): (String, Vec<usize>)| (name, Tensor::zeros(&shape));
        Self { by_name: parameters.into_iter().map(zeros).collect() }
    }

    /// The accumulator of a parameter that trains.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name)
    }

    /// The accumulator, to be added to.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.by_name.get_mut(name)
    }

    /// Two accumulators at once, for layers whose weight and bias gradients come from one pass.
    pub fn get_pair_mut(&mut self, one: &str, two: &str) -> Option<(&mut Tensor, &mut Tensor)> {
        let mut found = (None, None);
        for (name, tensor) in &mut self.by_name {
            if name == one {
                found.0 = Some(tensor);
            } else if name == two {
                found.1 = Some(tensor);
            }
        }
        Some((found.0?, found.1?))
    }

    /// All accumulators in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.by_name.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// All accumulators in name order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Tensor)> {
        self.by_name.iter_mut().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of accumulators.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether nothing trains.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Sets every accumulator to zero.
    pub fn zero(&mut self) {
        self.by_name.values_mut().for_each(Tensor::clear);
    }

    /// Whether any parameter whose name begins with `prefix` trains.
    pub fn wants(&self, prefix: &str) -> bool {
        let mut from = self.by_name.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.next().is_some_and(|(name, _)| name.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        let named = [("mlp1.0.weight", 2), ("mlp1.0.bias", 2), ("llm.a", 1)];
        let mut gradients = Gradients::new(named.map(|(name, len)| (name.to_owned(), vec![len])));
        assert!(gradients.wants("mlp1.") && gradients.wants("") && gradients.wants("llm.a"));
        assert!(!gradients.wants("mlp2") && !gradients.wants("llm.b"));
        assert!(gradients.get_mut("mlp1.1.weight").is_none());
        let (weight, bias) = gradients.get_pair_mut("mlp1.0.weight", "mlp1.0.bias").unwrap();
        weight.as_mut_slice()[1] = 3.0;
        bias.as_mut_slice()[0] = 4.0;
        let order: Vec<&str> = gradients.iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["llm.a", "mlp1.0.bias", "mlp1.0.weight"]);
        gradients.zero();
        assert!(gradients.iter().all(|(_, tensor)| tensor.as_slice().iter().all(|&v| v == 0.0)));
    }
}
