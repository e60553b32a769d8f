//! Declarations as rustfmt writes them, read line by line: one field, one variant or one attribute to a line.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tidy::files;

/// What the sources declare.
pub(super) struct Declared {
    structs: Vec<Struct>,
    enums: Vec<Enum>,
    values: Vec<Named>,
}

/// A struct with named fields.
pub(super) struct Struct {
    name: String,
    place: PathBuf,
    pub(super) docs: String,
    /// Whether fields that are absent have the values of its `Default`.
    pub(super) has_default: bool,
    pub(super) fields: Vec<Field>,
}

pub(super) struct Field {
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) attributes: String,
    pub(super) kind: String,
    pub(super) is_flattened: bool,
}

impl Field {
    /// The type without what may be absent, and without its list.
    pub(super) fn inner(&self) -> &str {
        let inner = |kind, wrapper: &str| {
            let kind: &str = kind;
            kind.strip_prefix(wrapper).and_then(|rest| rest.strip_suffix('>')).unwrap_or(kind)
        };
        inner(inner(&self.kind, "Option<"), "Vec<")
    }
}

pub(super) struct Enum {
    name: String,
    place: PathBuf,
    pub(super) variants: Vec<Variant>,
}

pub(super) struct Variant {
    /// As it is written in a recipe.
    pub(super) name: String,
    pub(super) docs: String,
    pub(super) is_default: bool,
    pub(super) is_plain: bool,
}

/// A constant, the body of a function without arguments, or a field of a `Default`.
struct Named {
    name: String,
    place: PathBuf,
    value: String,
}

impl Declared {
    /// Reads all sources below a folder, tests left out.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut declared = Self { structs: vec![], enums: vec![], values: vec![] };
        for path in files(folder)? {
            let is_source = path.components().any(|part| part.as_os_str() == "src");
            if is_source && path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| path.display().to_string())?;
                declared.add(&path, &text);
            }
        }
        Ok(declared)
    }

    /// The struct of this name, which may follow that of a folder it lies in.
    pub(super) fn struct_named(&self, name: &str) -> Option<&Struct> {
        let (folder, name) = name.split_once("::").unwrap_or(("crates", name));
        let is_in = |place: &Path| place.iter().any(|part| part == folder);
        self.structs.iter().find(|found| found.name == name && is_in(&found.place))
    }

    /// The struct that a struct calls by this name.
    pub(super) fn struct_of(&self, from: &Struct, name: &str) -> Option<&Struct> {
        nearest(&self.structs, &from.place, name, |found| (&found.name, &found.place))
    }

    /// The enum that a struct calls by this name.
    pub(super) fn enum_of(&self, from: &Struct, name: &str) -> Option<&Enum> {
        nearest(&self.enums, &from.place, name, |found| (&found.name, &found.place))
    }

    /// The value that a struct calls by this name.
    pub(super) fn value_of(&self, from: &Struct, name: &str) -> Option<&str> {
        let found = nearest(&self.values, &from.place, name, |found| (&found.name, &found.place));
        found.map(|found| found.value.as_str())
    }

    /// The value of a field in the struct's `Default`.
    pub(super) fn default_of(&self, of: &Struct, field: &str) -> Option<&str> {
        self.value_of(of, &format!("{}::{field}", of.name))
    }

    fn add(&mut self, place: &Path, text: &str) {
        let mut lines = text.lines();
        let (mut docs, mut attributes) = (vec![], String::new());
        while let Some(line) = lines.next() {
            if let Some(doc) = line.strip_prefix("///") {
                docs.push(doc.trim());
            } else if line.starts_with("#[cfg(test)]") {
                return;
            } else if line.starts_with("#[") {
                attributes += line;
            } else {
                let body = || lines.by_ref().take_while(|line| *line != "}").collect::<Vec<_>>();
                self.item(place, line, (&paragraph(&docs), &attributes), body);
                docs.clear();
                attributes.clear();
            }
        }
    }

    fn item<'t>(
        &mut self,
        place: &Path,
        line: &str,
        (docs, attributes): (&str, &str),
        body: impl FnOnce() -> Vec<&'t str>,
    ) {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let line = line.trim_start_matches("pub ");
        let place = place.to_owned();
        let named = |word: &str| line.strip_prefix(word)?.strip_suffix(" {").map(str::to_owned);
        let is_read = attributes.contains("Deserialize");
        if let Some(name) = named("struct ").filter(|_| is_read) {
            let has_default = attributes.contains("default");
            let (docs, fields) = (docs.to_owned(), fields(&body()));
            self.structs.push(Struct { name, place, docs, has_default, fields });
        } else if let Some(name) = named("enum ").filter(|_| is_read) {
            self.enums.push(Enum { name, place, variants: variants(&body(), attributes) });
        } else if let Some(name) = named("impl Default for ") {
            for line in body() {
                let Some((field, value)) = line.trim().trim_end_matches(',').split_once(": ")
                else {
                    continue;
                };
                let (name, value) = (format!("{name}::{field}"), value.to_owned());
                self.values.push(Named { name, place: place.clone(), value });
            }
        } else if let Some((name, _)) = named("fn ").as_deref().and_then(|f| f.split_once("() -> "))
        {
            let value = body().iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
            self.values.push(Named { name: name.to_owned(), place, value });
        } else if let Some((name, value)) = line.strip_prefix("const ").and_then(constant) {
            self.values.push(Named { name, place, value });
        }
    }
}

/// Name and value of `NAME: type = value;`.
fn constant(declaration: &str) -> Option<(String, String)> {
    let (name, rest) = declaration.split_once(": ")?;
    let (_, value) = rest.split_once(" = ")?;
    Some((name.to_owned(), value.strip_suffix(';')?.to_owned()))
}

/// Of those with this name the one in the same file, else in the same crate, else the first.
fn nearest<'a, T>(
    all: &'a [T],
    from: &Path,
    name: &str,
    at: impl Fn(&'a T) -> (&'a String, &'a PathBuf),
) -> Option<&'a T> {
    let named = || all.iter().filter(|found| at(found).0 == name);
    let is_near = |found: &&'a T| crate_of(at(found).1) == crate_of(from);
    named().find(|found| at(found).1 == from).or_else(|| named().find(is_near)).or(named().next())
}

/// The crate that a source belongs to.
fn crate_of(path: &Path) -> Option<&str> {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    parts[..parts.iter().rposition(|part| *part == "src")?].last().copied()
}

/// The first paragraph on one line, links as code.
fn paragraph(docs: &[&str]) -> String {
    let first: Vec<&str> = docs.iter().copied().take_while(|line| !line.is_empty()).collect();
    first.join(" ").replace("[`", "`").replace("`]", "`")
}

/// Calls `found` with docs, attributes and text of each line of a body that is one level deep.
fn members(body: &[&str], mut found: impl FnMut(String, &str, &str)) {
    let (mut docs, mut attributes) = (vec![], String::new());
    for line in body {
        let Some(line) = line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '}']))
        else {
            continue;
        };
        if let Some(doc) = line.strip_prefix("///") {
            docs.push(doc.trim());
        } else if line.starts_with("#[") {
            attributes += line;
        } else {
            found(paragraph(&docs), &attributes, line);
            docs.clear();
            attributes.clear();
        }
    }
}

fn fields(body: &[&str]) -> Vec<Field> {
    let mut fields = vec![];
    members(body, |docs, attributes, line| {
        let line = line.trim_end_matches(',');
        let line = line.rsplit_once(") ").map_or(line, |(_, line)| line).trim_start_matches("pub ");
        let Some((name, kind)) = line.split_once(": ") else { return };
        fields.push(Field {
            name: name.to_owned(),
            docs,
            attributes: attributes.to_owned(),
            kind: kind.to_owned(),
            is_flattened: attributes.contains("flatten"),
        });
    });
    fields
}

fn variants(body: &[&str], attributes: &str) -> Vec<Variant> {
    let parts = if attributes.contains("kebab-case") { "-" } else { "_" };
    let parts = if attributes.contains("lowercase") { "" } else { parts };
    let mut variants = vec![];
    members(body, |docs, attributes, line| {
        let name: String = line.chars().take_while(|c| c.is_alphanumeric()).collect();
        let renamed =
            attributes.split_once("rename = \"").and_then(|(_, rest)| rest.split_once('"'));
        variants.push(Variant {
            name: renamed.map_or_else(|| parted(&name, parts), |(name, _)| name.to_owned()),
            docs,
            is_default: attributes.contains("#[default]"),
            is_plain: line.ends_with("},") || !line.contains(['(', '{']),
        });
    });
    variants
}

/// `TwoWords` in lower case, its words parted.
pub(super) fn parted(name: &str, between: &str) -> String {
    let mut parted = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            parted += between;
        }
        parted.extend(letter.to_lowercase());
    }
    parted
}
