//! `sightline inspect`: parts, parameters, special tokens, what trains, and the memory it takes.

use ::model::inspect::{ImageSummary, Inspection, Memory, Workload, inspect};
use ::model::llm::Keep;
use anyhow::Result;
use preprocess::{LanguageFiles, Tokenizer};

use crate::Context;
use crate::args::InspectArgs;
use crate::output::{Table, bytes, count};

/// Describes a model from its headers.
pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<()> {
    let workload = Workload {
        num_tokens: args.length,
        num_tiles: args.tiles,
        image_rows: None,
        dtype: args.dtype,
        keep: if args.gradient_checkpointing { Keep::Inputs } else { Keep::All },
        lora_rank: args.lora_r,
        grow_head: false,
    };
    let mut inspection = inspect(&args.model, &workload)?;
    if inspection.special_tokens.is_empty() && inspection.context_length.is_some() {
        inspection.special_tokens = special_tokens(&args.model);
    }
    context.output.show(&inspection, |inspection| describe(inspection, &workload))
}

/// The special tokens of a tokenizer that is not a file of its own, such as a GGUF's; a language
/// model without a tokenizer has none.
fn special_tokens(model: &std::path::Path) -> Vec<(String, u32)> {
    let tokenizer = LanguageFiles::load(model).and_then(|f| Tokenizer::from_json(&f.tokenizer));
    let added = tokenizer.map(|tokenizer| tokenizer.added_tokens()).unwrap_or_default();
    added.into_iter().map(|(id, token)| (token, id)).collect()
}

fn describe(inspection: &Inspection, workload: &Workload) -> String {
    let Inspection { path, architecture, num_parameters, .. } = inspection;
    let mut text = format!(
        "{}: {architecture}, {} parameters, {} on disk\n\n{}",
        path.display(),
        count(*num_parameters),
        bytes(inspection.bytes),
        parts(inspection)
    );
    if let Some(images) = &inspection.images {
        text += &format!("\nimages: {}\n", describe_images(images));
    }
    if let Some(length) = inspection.context_length {
        text += &format!("context: {length} tokens\n");
    }
    if !inspection.special_tokens.is_empty() {
        let tokens = inspection.special_tokens.iter().map(|(token, id)| format!("{token} {id}"));
        text += &format!("special tokens: {}\n", tokens.collect::<Vec<_>>().join(", "));
    }
    if let Some(inference) = &inspection.inference {
        let Workload { num_tokens, num_tiles, .. } = workload;
        let of_images = match &inspection.images {
            Some(ImageSummary::Tiles { .. }) => format!(", image tiles: {num_tiles}"),
            Some(ImageSummary::Patches { .. }) => ", if one image fills them".to_owned(),
            None => String::new(),
        };
        text += &format!("\nmemory (estimate; tokens: {num_tokens}{of_images})\n");
        text += &memory(inspection, inference);
    }
    text
}

fn describe_images(images: &ImageSummary) -> String {
    match images {
        ImageSummary::Tiles { tile_size, tokens_per_tile, feature_size, .. } => format!(
            "tiles of {tile_size}x{tile_size} pixels, {tokens_per_tile} tokens a tile, \
             features of {feature_size} values"
        ),
        ImageSummary::Patches { patch_size, merge_size, window_size, feature_size } => {
            let token = patch_size * merge_size;
            format!(
                "any size, {token}x{token} pixels a token, attention within {window_size}x{window_size} \
                 pixels, features of {feature_size} values"
            )
        }
    }
}

fn parts(inspection: &Inspection) -> Table {
    let mut table = Table::new(&["part", "kind", "parameters", "on disk", "stored as", "sizes"]);
    for part in &inspection.parts {
        let sizes = part.sizes.iter().map(|(name, size)| format!("{name} {size}"));
        let dtypes: Vec<&str> = part.dtypes.keys().map(String::as_str).collect();
        table.row([
            part.part.to_owned(),
            part.kind.clone(),
            count(part.num_parameters),
            bytes(part.bytes),
            dtypes.join(", "),
            sizes.collect::<Vec<_>>().join(", "),
        ]);
    }
    table
}

fn memory(inspection: &Inspection, inference: &Memory) -> String {
    let headings = ["", "trains", "weights", "optimizer", "cache", "activations", "all"];
    let mut table = Table::new(&headings);
    let mut row = |name: String, trains: usize, memory: &Memory| {
        let Memory { weights, optimizer, cache, activations } = *memory;
        let sizes = [weights, optimizer, cache, activations, memory.total()].map(bytes);
        table.row([name, count(trains)].into_iter().chain(sizes));
    };
    let what = if inspection.judges { "score" } else { "generate" };
    row(what.to_owned(), 0, inference);
    for trains in &inspection.trains {
        row(format!("train {}", trains.setting), trains.num_parameters, &trains.memory);
    }
    table.to_string()
}
