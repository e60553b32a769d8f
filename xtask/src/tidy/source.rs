//! Size and form of the files themselves.

use std::path::Path;

use anyhow::Result;

use super::{files, read, rust};

/// Lines of one file, its tests left out.
const MAX_FILE: usize = 600;

/// Lines of one function.
const MAX_FUNCTION: usize = 120;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "manager", "misc"];

/// Phrases no file may contain, in two halves so that this one does not.
const FORBIDDEN: [(&str, &str, &str); 5] = [
    ("TO", "DO", "an open end belongs in the issue tracker"),
    ("FIX", "ME", "an open end belongs in the issue tracker"),
    ("#[al", "low(", "use #[expect(…, reason = …)], which ends with its cause"),
    ("#[ign", "ore", "a test runs or goes"),
    ("/ro", "ot/", "a path of one machine"),
];

/// What is wrong with the files of the crates and the documents at the root.
pub(super) fn complaints(root: &Path) -> Result<Vec<String>> {
    let mut found = vec![];
    for folder in ["crates", "xtask", "runs", ".ci"] {
        for path in files(&root.join(folder))? {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if is_text(&name) {
                found.extend(check(&name, &read(&path)?));
            }
        }
    }
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LOG.md"] {
        match read(&root.join(document)) {
            Ok(text) => {
                found.extend(check(document, &text));
                let dead = paths(&text).filter(|path| !root.join(path).exists());
                found.extend(dead.map(|path| format!("{document}: {path} does not exist")));
            }
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    Ok(found)
}

/// Paths of the tree that a document names in backticks, patterns left out.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|path| path.starts_with("crates/") && !path.contains(['*', '<', ' ']))
}

fn is_text(name: &str) -> bool {
    !name.contains("/golden/")
        && [".rs", ".toml", ".md", ".sh", ".jinja", "/run"].iter().any(|end| name.ends_with(end))
}

/// Complaints about one file, by its path from the root.
fn check(name: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    for (head, tail, why) in FORBIDDEN {
        for (number, line) in text.lines().enumerate() {
            if line.contains(&format!("{head}{tail}")) {
                found.push(format!("{name}:{}: {head}{tail}: {why}", number + 1));
            }
        }
    }
    if !name.ends_with(".rs") {
        return found;
    }
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    if EMPTY_NAMES.contains(&stem.as_ref()) {
        found.push(format!("{name}: say in the name what it holds"));
    }
    if !text.starts_with("//!") {
        found.push(format!("{name}: the file does not begin with its `//!` documentation"));
    }
    if name.contains("/src/") {
        found.extend(sizes(name, rust::production(text)));
    }
    found
}

fn sizes(name: &str, text: &str) -> Vec<String> {
    let mut found = vec![];
    let num_lines = text.lines().count();
    if num_lines > MAX_FILE {
        found.push(format!("{name}: {num_lines} lines, at most {MAX_FILE}"));
    }
    for function in rust::functions(text) {
        if function.num_lines > MAX_FUNCTION {
            let rust::Function { name: function, line, num_lines } = function;
            found.push(format!(
                "{name}:{line}: {function} has {num_lines} lines, at most {MAX_FUNCTION}"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> String {
        let found = check(name, text);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].clone()
    }

    #[test]
    fn a_good_file_has_no_complaints() {
        assert_eq!(check("crates/a/src/b.rs", "//! B.\nfn b() {}\n"), [""; 0]);
        assert_eq!(check("README.md", "# A"), [""; 0]);
    }

    #[test]
    fn each_rule_can_fail() {
        let long_file = format!("//! Long.\n{}", "const A: u8 = 0;\n".repeat(600));
        let long_function = format!("//! Long.\nfn long() {{\n{}}}\n", "a();\n".repeat(119));
        assert!(one("crates/a/src/b.rs", "fn b() {}").contains("does not begin"));
        assert!(one("crates/a/src/utils.rs", "//! U.").contains("say in the name"));
        assert!(one("crates/a/src/b.rs", &long_file).contains("601 lines"));
        assert!(one("crates/a/src/b.rs", &long_function).contains("b.rs:2: long has 121 lines"));
        assert!(one("CHANGELOG.md", &format!("a\nTO{}: b", "DO")).contains("CHANGELOG.md:2"));
    }

    #[test]
    fn paths_in_documents_are_found() {
        let text = "See `crates/a/src/b.rs`, `crates/*/tests`, `crates/<name>` and `a::b`.";
        assert_eq!(paths(text).collect::<Vec<_>>(), ["crates/a/src/b.rs"]);
    }

    #[test]
    fn tests_may_be_long() {
        let text = format!("//! T.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "a();\n".repeat(900));
        assert_eq!(check("crates/a/src/b.rs", &text), [""; 0]);
        assert_eq!(check("crates/a/tests/b.rs", &text), [""; 0]);
    }
}
