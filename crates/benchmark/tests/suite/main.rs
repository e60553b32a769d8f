//! Every benchmark on a small file in the schema in which it is published.

mod bad_input;
mod bfcl;
mod fixture;
mod golden;
mod livebench;
mod parquet;
mod text;
mod video;
mod vlmevalkit;
