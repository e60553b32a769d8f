//! Calls in Java and JavaScript, read off their syntax trees.
//!
//! As ShishirPatil/gorilla, `bfcl_eval/model_handler/parser/java_parser.py` and `js_parser.py`: the first call counts,
//! its arguments are assignments, their values stay text. What stands without a name makes the call unlike any that is
//! expected, but for literals, which are passed over there.

use serde_json::{Map, Value};
use tree_sitter::{Node, Parser, Tree};

use crate::python::Call;

/// Texts longer than this are not parsed.
const MAX_BYTES: usize = 1 << 16;

/// Nor are trees deeper than this walked.
const MAX_DEPTH: u32 = 200;

/// The name that arguments without one have.
const UNNAMED: &str = "";

/// The call of a text in Java; nothing where it is no Java or calls nothing.
pub(super) fn java(text: &str) -> Option<Vec<Call>> {
    let tree = tree(text, &tree_sitter_java::LANGUAGE.into())?;
    let call = first(tree.root_node(), "method_invocation")?;
    let field = |name| call.child_by_field_name(name).map(|node| of(node, text));
    let name = match (field("object"), field("name")?) {
        (Some(object), name) => format!("{object}.{name}"),
        (None, name) => name.to_owned(),
    };
    let list = call.child_by_field_name("arguments")?;
    let argument = |node: Node<'_>| match node.kind() {
        "assignment_expression" => {
            let (name, value) = sides(node)?;
            Some((of(name, text), spelled(value, text, false)))
        }
        "identifier" | "class_literal" => Some((UNNAMED, Some(of(node, text).to_owned()))),
        _ => None,
    };
    one(name, list, argument)
}

/// The call of a text in JavaScript; nothing where it is no JavaScript or calls nothing.
pub(super) fn javascript(text: &str) -> Option<Vec<Call>> {
    let tree = tree(text, &tree_sitter_javascript::LANGUAGE.into())?;
    let statements = children(tree.root_node());
    let call = statements
        .into_iter()
        .filter(|node| node.kind() == "expression_statement")
        .flat_map(children)
        .find(|node| node.kind() == "call_expression")?;
    let argument = |node: Node<'_>| match node.kind() {
        "assignment_expression" => {
            let (name, value) = sides(node)?;
            Some((of(name, text), Some(unquoted(of(value, text)).to_owned())))
        }
        "identifier" | "true" => Some((UNNAMED, Some(of(node, text).to_owned()))),
        _ => None,
    };
    one(of(call.child(0)?, text).to_owned(), call.child(1)?, argument)
}

/// A tree without errors that can be walked.
fn tree(text: &str, language: &tree_sitter::Language) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(language).ok()?;
    let tree = (text.len() <= MAX_BYTES).then(|| parser.parse(text, None))??;
    is_sound(&tree).then_some(tree)
}

fn is_sound(tree: &Tree) -> bool {
    let mut cursor = tree.walk();
    loop {
        if cursor.node().is_error() || cursor.depth() > MAX_DEPTH {
            return false;
        }
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return true;
            }
        }
    }
}

/// The call with the arguments of a list; each has a value, and none is named twice.
fn one<'a, 'b>(
    name: String,
    list: Node<'a>,
    argument: impl Fn(Node<'a>) -> Option<(&'b str, Option<String>)>,
) -> Option<Vec<Call>> {
    let mut arguments = Map::new();
    for (name, value) in children(list).into_iter().filter_map(argument) {
        if arguments.insert(name.to_owned(), Value::String(value?)).is_some() {
            return None;
        }
    }
    Some(vec![Call { name, arguments }])
}

/// The first node of a kind, a parent before its children.
fn first<'a>(node: Node<'a>, kind: &str) -> Option<Node<'a>> {
    if node.kind() == kind {
        return Some(node);
    }
    children(node).into_iter().find_map(|child| first(child, kind))
}

fn children(node: Node<'_>) -> Vec<Node<'_>> {
    node.children(&mut node.walk()).collect()
}

fn of<'a>(node: Node<'_>, text: &'a str) -> &'a str {
    &text[node.byte_range()]
}

/// What is assigned to, and what is assigned.
fn sides(assignment: Node<'_>) -> Option<(Node<'_>, Node<'_>)> {
    Some((assignment.child(0)?, assignment.child(2)?))
}

/// A value of Java without the spaces between its parts, and without the body of a class.
fn spelled(node: Node<'_>, text: &str, is_nested: bool) -> Option<String> {
    let field = |name| spelled(node.child_by_field_name(name)?, text, true);
    let parts = |node| children(node).into_iter().map(|child| spelled(child, text, true));
    Some(match node.kind() {
        "string_literal" | "character_literal" if !is_nested => inside(of(node, text)).to_owned(),
        "string_literal" | "character_literal" | "identifier" | "class_literal"
        | "type_identifier" | "method_invocation" => of(node, text).to_owned(),
        "array_creation_expression" => format!("new {}[]{}", field("type")?, field("value")?),
        "object_creation_expression" => {
            let list = children(node.child_by_field_name("arguments")?);
            let given = list.into_iter().filter(|child| !matches!(child.kind(), "," | "(" | ")"));
            let given: Option<Vec<_>> = given.map(|child| spelled(child, text, true)).collect();
            format!("new {}({})", field("type")?, given?.join(", "))
        }
        _ if node.child_count() > 0 => parts(node).collect::<Option<String>>()?,
        _ => of(node, text).to_owned(),
    })
}

/// Without its first and its last character.
pub(super) fn inside(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.next_back();
    chars.as_str()
}

/// Without quotation marks around it.
pub(super) fn unquoted(text: &str) -> &str {
    let is_between = |mark| text.starts_with(mark) && text.ends_with(mark);
    if is_between('"') || is_between('\'') { inside(text) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(found: Option<Vec<Call>>) -> Option<(String, Value)> {
        found.map(|calls| (calls[0].name.clone(), Value::Object(calls[0].arguments.clone())))
    }

    #[test]
    fn calls_in_java() {
        let cases = [
            ("a.B.run(x=1, s=\"two\", c='c')", "a.B.run", json!({"x": "1", "s": "two", "c": "c"})),
            (
                "f(l=new ArrayList<>(Arrays.asList(\"a\", \"b\")), n=new int[]{1, 2})",
                "f",
                json!({"l": "new ArrayList<>(Arrays.asList(\"a\", \"b\"))", "n": "new int[]{1,2}"}),
            ),
            // The body of the class is lost, as it is there.
            (
                "f(m=new HashMap<String, Integer>() {{ put(\"k\", 1); }})",
                "f",
                json!({"m": "new HashMap<String,Integer>()"}),
            ),
            ("f(a=b + g(1), 2)", "f", json!({"a": "b+g(1)"})),
            ("f(b);", "f", json!({"": "b"})),
        ];
        for (text, name, arguments) in cases {
            assert_eq!(read(java(text)), Some((name.to_owned(), arguments)), "{text}");
        }
        for text in
            ["f(a=1, a=2)", "f(a=1), g(b=2)", "none of them", "", "f(a=new int[3])", "f(a=1)"]
        {
            assert_eq!(java(text), None, "{text}");
        }
    }

    #[test]
    fn calls_in_javascript() {
        let cases = [
            (
                "a.run(x=1, s='two', o={a: 1})",
                "a.run",
                json!({"x": "1", "s": "two", "o": "{a: 1}"}),
            ),
            ("f(cb=(e) => e + 1, 7)", "f", json!({"cb": "(e) => e + 1"})),
            ("f(true)", "f", json!({"": "true"})),
        ];
        for (text, name, arguments) in cases {
            assert_eq!(read(javascript(text)), Some((name.to_owned(), arguments)), "{text}");
        }
        for text in ["f(a=1, a=2)", "f(a=", "no call", ""] {
            assert_eq!(javascript(text), None, "{text}");
        }
    }

    #[test]
    fn hostile_texts_are_refused() {
        for part in ["(", "[", "{", "!", "a+", "f(a=", "new int[]{"] {
            for num in [150, 5000, 200_000] {
                let text = format!("f(a={}1)", part.repeat(num));
                assert!(java(&text).is_none() || num == 150, "{part}");
                assert!(javascript(&text).is_none() || num == 150, "{part}");
            }
        }
    }
}
