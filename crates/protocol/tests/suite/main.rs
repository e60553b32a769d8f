//! The whole protocol with models that say what they are told to.

mod fixture;
mod runs;
