//! `docs/keys.md`: every key of every recipe, from the types that have them.
//!
//! ```text
//! crates/**/*.rs ─► structs, enums, defaults ─► the structs of each command, flattened ─► tables
//! ```

mod declared;
mod default;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use declared::{Declared, Enum, Field, Struct};

/// Where the page lies.
const PAGE: &str = "docs/keys.md";

/// Commands that take keys, and the struct of each.
const COMMANDS: [(&str, &str); 10] = [
    ("distill", "DistillConfig"),
    ("sft", "SftConfig"),
    ("iterative-sft", "IterativeSftConfig"),
    ("reward data", "CurateConfig"),
    ("reward train", "reward_model::RewardConfig"),
    ("preferences build", "PreferencesConfig"),
    ("mpo", "MpoConfig"),
    ("grpo", "GrpoConfig"),
    ("eval", "EvalConfig"),
    ("eval --tasks", "TasksConfig"),
];

const INTRODUCTION: &str = "\
# Keys of recipes

Each is a line of the TOML file that `--config` names, `key = value`, or an option, `--key value`, which wins. An unknown
key is an error; the keys in force are written to `config.toml` in `output_dir`. Written by `cargo xtask keys` from the
types that read them.

";

/// Writes the page.
///
/// # Errors
/// When the sources cannot be read, or a command's struct is not among them.
pub(crate) fn write(root: &Path) -> Result<()> {
    fs::write(root.join(PAGE), page(root)?).context(PAGE)
}

/// What is wrong with the page, if it is not what would be written.
pub(crate) fn complaint(root: &Path) -> Result<Option<String>> {
    let written = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    Ok((written != page(root)?).then(|| format!("{PAGE} is not what `cargo xtask keys` writes")))
}

/// A struct of keys: a part of the recipes of some commands, or a table within them.
struct Section<'a> {
    keys: &'a Struct,
    /// The keys whose tables are of this kind; none for the recipe's own keys.
    tables: Vec<&'a str>,
    commands: Vec<&'static str>,
}

impl Section<'_> {
    fn title(&self) -> String {
        let title = self.keys.docs.split(". ").next().unwrap_or_default();
        title.trim_end_matches('.').replace('`', "")
    }

    /// As the page's headings are linked to.
    fn anchor(&self) -> String {
        let title = self.title().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }
}

fn page(root: &Path) -> Result<String> {
    let declared = Declared::read(&root.join("crates"))?;
    let mut sections: Vec<Section<'_>> = vec![];
    for (command, name) in COMMANDS {
        let keys = declared.struct_named(name);
        add(&declared, &mut sections, (command, None), keys.with_context(|| name.to_owned())?);
    }
    let mut page = INTRODUCTION.to_owned();
    page += "| command | its keys |\n|---|---|\n";
    for (command, _) in COMMANDS {
        let parts = sections.iter().filter(|section| section.commands.contains(&command));
        let links = parts.map(|part| format!("[{}](#{})", part.title(), part.anchor()));
        writeln!(page, "| `{command}` | {} |", links.collect::<Vec<_>>().join("; "))?;
    }
    for section in &sections {
        let (commands, tables) = (quoted(&section.commands), quoted(&section.tables));
        let place =
            if tables.is_empty() { String::new() } else { format!(", as a table: {tables}") };
        write!(page, "\n## {}\n\nOf {commands}{place}.\n\n", section.title())?;
        page += "| key | default | meaning |\n|---|---|---|\n";
        let own = section.keys.fields.iter().filter(|field| !field.is_flattened);
        own.for_each(|field| page += &row(&declared, section.keys, field));
    }
    let bare = page.lines().find(|line| line.ends_with(" |  |"));
    ensure!(bare.is_none(), "a key without a meaning: {}", bare.unwrap_or_default());
    Ok(page)
}

/// Adds the sections of a struct: its own keys, those of what it flattens, and tables.
fn add<'a>(
    declared: &'a Declared,
    sections: &mut Vec<Section<'a>>,
    (command, table): (&'static str, Option<&'a str>),
    keys: &'a Struct,
) {
    let has_own = keys.fields.iter().any(|field| !field.is_flattened);
    let at = sections.iter().position(|section| std::ptr::eq(section.keys, keys));
    let at = at.unwrap_or(sections.len());
    if has_own && at == sections.len() {
        sections.push(Section { keys, tables: vec![], commands: vec![] });
    }
    if let Some(section) = sections.get_mut(at) {
        section.tables.extend(table.filter(|table| !section.tables.contains(table)));
        if section.commands.contains(&command) {
            return;
        }
        section.commands.push(command);
    }
    for field in &keys.fields {
        let Some(inner) = declared.struct_of(keys, field.inner()) else { continue };
        let table = if field.is_flattened { None } else { Some(field.name.as_str()) };
        add(declared, sections, (command, table), inner);
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn row(declared: &Declared, keys: &Struct, field: &Field) -> String {
    let default = default::of(declared, keys, field);
    let values = declared.enum_of(keys, field.inner()).map(values).unwrap_or_default();
    let meaning = format!("{}{values}", field.docs).replace('|', "\\|");
    format!("| `{}` | {} | {meaning} |\n", field.name, default.replace('|', "\\|"))
}

/// What a key of this type may be.
fn values(choices: &Enum) -> String {
    if choices.variants.iter().any(|variant| !variant.is_plain) {
        return String::new();
    }
    let value = |variant: &declared::Variant| {
        format!("`{}`: {}", variant.name, variant.docs.trim_end_matches('.'))
    };
    let values: Vec<String> = choices.variants.iter().map(value).collect();
    format!(" Values: {}.", values.join("; "))
}
