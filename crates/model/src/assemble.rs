//! Builds a model folder from parts.
