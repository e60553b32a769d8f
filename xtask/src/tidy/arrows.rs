//! The crate table of ARCHITECTURE.md against the manifests: every arrow drawn, no other there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::read;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// The first cells of the two tables' header rows.
const CRATES: &str = "| crate |";
const ABSENT: &str = "| never |";

type Names = BTreeSet<String>;

/// What a crate depends on inside the workspace.
#[derive(Debug, Default, PartialEq)]
struct Arrows {
    normal: Names,
    /// For tests only.
    dev: Names,
}

/// Where document and manifests differ, and which forbidden arrows exist.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>> {
    let document = read(&root.join(DOCUMENT))?;
    let manifests = manifests(root)?;
    let mut found = compare(&crate_table(&document)?, &manifests);
    for (from, to) in absent_table(&document)? {
        if reaches(&manifests, &from, &to) {
            found.push(format!("{from} reaches {to}, which {DOCUMENT} forbids"));
        }
    }
    Ok(found)
}

fn compare(drawn: &BTreeMap<String, Arrows>, there: &BTreeMap<String, Arrows>) -> Vec<String> {
    let names: BTreeSet<&String> = drawn.keys().chain(there.keys()).collect();
    let mut found = vec![];
    for name in names {
        match (drawn.get(name), there.get(name)) {
            (Some(drawn), Some(there)) if drawn != there => {
                found.push(format!("{name}: {DOCUMENT} says {drawn:?}, its manifest {there:?}"));
            }
            (None, _) => {
                found.push(format!("{name} is missing from the crate table of {DOCUMENT}"))
            }
            (_, None) => found.push(format!("{name} stands in {DOCUMENT} and is no crate")),
            _ => {}
        }
    }
    found
}

/// Whether a crate depends on another, directly or through others, tests left out.
fn reaches(manifests: &BTreeMap<String, Arrows>, from: &str, to: &str) -> bool {
    let mut waiting = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let Some(arrows) = manifests.get(name) else { continue };
        if arrows.normal.contains(to) {
            return true;
        }
        if seen.insert(name) {
            waiting.extend(arrows.normal.iter().map(String::as_str));
        }
    }
    false
}

/// Rows `| crate | purpose | may depend on | tests also use |`.
fn crate_table(document: &str) -> Result<BTreeMap<String, Arrows>> {
    let mut table = BTreeMap::new();
    for row in rows(document, CRATES)? {
        let [name, _, normal, dev] = row[..] else {
            anyhow::bail!("{DOCUMENT}: the crate table has four columns, not {row:?}");
        };
        let arrows = Arrows { normal: quoted(normal), dev: quoted(dev) };
        table.insert(quoted(name).into_iter().next().context("a row without a crate")?, arrows);
    }
    Ok(table)
}

/// Rows `| never | reaches | why |`, as pairs.
fn absent_table(document: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = vec![];
    for row in rows(document, ABSENT)? {
        let [from, to, _] = row[..] else {
            anyhow::bail!("{DOCUMENT}: the table of absent arrows has three columns, not {row:?}");
        };
        let (from, to) = (quoted(from), quoted(to));
        pairs.extend(from.iter().flat_map(|from| to.iter().map(|to| (from.clone(), to.clone()))));
    }
    Ok(pairs)
}

/// The cells of the rows below a header, the line of dashes left out.
fn rows<'a>(document: &'a str, header: &str) -> Result<Vec<Vec<&'a str>>> {
    let below = document.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let rows: Vec<Vec<&str>> = below
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    ensure!(!rows.is_empty(), "{DOCUMENT} has no table that begins with `{header}`");
    Ok(rows)
}

/// The names between backticks in a cell.
fn quoted(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The arrows between workspace crates, as cargo reads the manifests.
fn manifests(root: &Path) -> Result<BTreeMap<String, Arrows>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = Command::new("cargo").args(arguments).current_dir(root).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    from_metadata(&serde_json::from_slice(&output.stdout)?)
}

fn from_metadata(metadata: &Value) -> Result<BTreeMap<String, Arrows>> {
    let list =
        |value: &Value| value.as_array().cloned().context("cargo metadata: a list is missing");
    let mut manifests = BTreeMap::new();
    for package in list(&metadata["packages"])? {
        let mut arrows = Arrows::default();
        for dependency in list(&package["dependencies"])? {
            if dependency["path"].is_null() {
                continue;
            }
            let kind =
                if dependency["kind"] == "dev" { &mut arrows.dev } else { &mut arrows.normal };
            kind.insert(name(&dependency)?);
        }
        manifests.insert(name(&package)?, arrows);
    }
    Ok(manifests)
}

fn name(value: &Value) -> Result<String> {
    Ok(value["name"].as_str().context("cargo metadata: a name is missing")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title

| crate | purpose | may depend on | tests also use |
|---|---|---|---|
| `loss` | losses | — | `testkit` |
| `recipes` | loops | `loss`, `engine` | — |
| `engine` | steps | — | — |
| `testkit` | tests | — | — |

| never | reaches | why |
|---|---|---|
| `engine`, `testkit` | `loss` | blind |
";

    fn metadata(recipes: &str) -> BTreeMap<String, Arrows> {
        let text = format!(
            r#"{{"packages": [
                {{"name": "loss", "dependencies": [{{"name": "testkit", "path": "x", "kind": "dev"}}]}},
                {{"name": "recipes", "dependencies": [{recipes}, {{"name": "serde"}}]}},
                {{"name": "engine", "dependencies": []}},
                {{"name": "testkit", "dependencies": []}}]}}"#
        );
        from_metadata(&serde_json::from_str(&text).unwrap()).unwrap()
    }

    const BOTH: &str =
        r#"{"name": "loss", "path": "x"}, {"name": "engine", "path": "x", "kind": null}"#;

    #[test]
    fn a_true_table_has_no_complaints() {
        let manifests = metadata(BOTH);
        assert_eq!(compare(&crate_table(DOCUMENT).unwrap(), &manifests), [""; 0]);
        for (from, to) in absent_table(DOCUMENT).unwrap() {
            assert!(!reaches(&manifests, &from, &to), "{from} {to}");
        }
        assert_eq!(absent_table(DOCUMENT).unwrap().len(), 2);
    }

    #[test]
    fn a_missing_arrow_is_found() {
        let manifests = metadata(r#"{"name": "loss", "path": "x"}"#);
        let found = compare(&crate_table(DOCUMENT).unwrap(), &manifests);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("recipes: "), "{found:?}");
    }

    #[test]
    fn a_crate_must_be_drawn_and_a_drawn_crate_must_exist() {
        let table = crate_table(&DOCUMENT.replace("`engine` | steps", "`motor` | steps")).unwrap();
        let found = compare(&table, &metadata(BOTH)).join("\n");
        assert!(
            found.contains("engine is missing") && found.contains("motor stands in"),
            "{found}"
        );
    }

    #[test]
    fn arrows_are_followed_through_others() {
        let mut manifests = metadata(BOTH);
        manifests.get_mut("engine").unwrap().normal.insert("testkit".into());
        assert!(reaches(&manifests, "recipes", "testkit"));
        assert!(!reaches(&manifests, "loss", "testkit"), "tests may");
    }

    #[test]
    fn a_document_without_tables_is_refused() {
        assert!(crate_table("# nothing").is_err());
        assert!(crate_table("| crate | a |\n|---|---|\n| `x` | y |").is_err());
    }
}
