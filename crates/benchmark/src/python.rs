//! Values as Python prints them: lists in columns, arguments of calls.

use serde_json::{Map, Number, Value};

/// Values nested deeper than this are refused.
const MAX_DEPTH: usize = 32;

/// A list in JSON or as Python's `repr` writes it.
pub fn list(text: &str) -> Option<Vec<Value>> {
    let text = text.trim();
    if !text.starts_with(['[', '(']) {
        return None;
    }
    if let Ok(Value::Array(list)) = serde_json::from_str(text) {
        return Some(list);
    }
    match literal(text)? {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

/// A literal: a text, a number, `True`, `False`, `None`, a list, a tuple, a dictionary.
pub(crate) fn literal(text: &str) -> Option<Value> {
    let mut reader = Reader::new(text);
    let value = reader.value(0)?;
    reader.is_at_end().then_some(value)
}

/// A call with its arguments by name: `f(a=1, b="x")`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function, dots included.
    pub name: String,
    /// Its arguments; those without a name are not allowed.
    pub arguments: Map<String, Value>,
}

/// One call, or a list of calls. Names stand for themselves; arguments without a name are passed over, as in BFCL.
pub(crate) fn calls(text: &str) -> Option<Vec<Call>> {
    let mut reader = Reader { is_code: true, ..Reader::new(text.trim()) };
    if !reader.eat('[') {
        let call = reader.call(0)?;
        return reader.is_at_end().then(|| vec![call]);
    }
    let mut calls = Vec::new();
    while !reader.eat(']') {
        calls.push(reader.call(0)?);
        if !reader.eat(',') && !reader.sees(']') {
            return None;
        }
    }
    reader.is_at_end().then_some(calls)
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    /// Whether it is Python that is read, with names and calls, and not what Python or NumPy prints.
    is_code: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), is_code: false }
    }

    fn skip_spaces(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn sees(&mut self, expected: char) -> bool {
        self.skip_spaces();
        self.rest.peek() == Some(&expected)
    }

    fn eat(&mut self, expected: char) -> bool {
        self.sees(expected) && self.rest.next().is_some()
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.peek().is_none()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_spaces();
        match self.rest.peek()? {
            _ if depth > MAX_DEPTH => None,
            '[' => self.sequence('[', ']', depth),
            '(' => self.sequence('(', ')', depth),
            '{' => self.dictionary(depth),
            '\'' | '"' => self.texts(),
            _ => self.word(depth),
        }
    }

    fn sequence(&mut self, open: char, close: char, depth: usize) -> Option<Value> {
        self.eat(open);
        let mut list = Vec::new();
        while !self.eat(close) {
            list.push(self.value(depth + 1)?);
            // NumPy prints its arrays without commas.
            self.eat(',');
        }
        Some(Value::Array(list))
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        self.eat('{');
        let mut map = Map::new();
        while !self.eat('}') {
            let key = match self.value(depth + 1)? {
                Value::String(text) => text,
                other => other.to_string(),
            };
            if !self.eat(':') {
                return None;
            }
            map.insert(key, self.value(depth + 1)?);
            if !self.eat(',') && !self.sees('}') {
                return None;
            }
        }
        Some(Value::Object(map))
    }

    /// Texts that stand beside each other are one.
    fn texts(&mut self) -> Option<Value> {
        let mut text = String::new();
        while self.sees('\'') || self.sees('"') {
            let quote = self.rest.next()?;
            self.text(quote, &mut text)?;
            if !self.is_code && !matches!(self.rest.peek(), Some('\'' | '"')) {
                break;
            }
        }
        Some(Value::String(text))
    }

    fn text(&mut self, quote: char, text: &mut String) -> Option<()> {
        loop {
            match self.rest.next()? {
                '\\' => self.escape(text)?,
                end if end == quote => return Some(()),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let escaped = self.rest.next()?;
        let num_digits = match escaped {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        match escaped {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'x' | 'u' | 'U' => {
                let digits: String = self.rest.by_ref().take(num_digits).collect();
                text.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
            }
            '\\' | '\'' | '"' => text.push(escaped),
            other => text.extend(['\\', other]),
        }
        Some(())
    }

    fn word(&mut self, depth: usize) -> Option<Value> {
        let ends = |c: &char| c.is_whitespace() || ",:]})([{=".contains(*c);
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| !ends(c)) {
            word.push(c);
        }
        match word.as_str() {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::Null),
            "" => None,
            name if self.is_code && is_name(name) => self.named(word, depth),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" | "nan" => Some(Value::Null),
            number => number_of(&number.replace('_', "")),
        }
    }

    fn name(&mut self) -> Option<String> {
        self.skip_spaces();
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || "_.-".contains(*c)) {
            name.push(c);
        }
        (!name.is_empty()).then_some(name)
    }

    /// A name, or a call of it, which stands for itself.
    fn named(&mut self, name: String, depth: usize) -> Option<Value> {
        if !self.sees('(') {
            return Some(Value::String(name));
        }
        let arguments = Value::Object(self.arguments(depth + 1)?);
        Some(Value::Object([(name, arguments)].into_iter().collect()))
    }

    fn call(&mut self, depth: usize) -> Option<Call> {
        Some(Call { name: self.name()?, arguments: self.arguments(depth)? })
    }

    fn arguments(&mut self, depth: usize) -> Option<Map<String, Value>> {
        let mut arguments = Map::new();
        if depth > MAX_DEPTH || !self.eat('(') {
            return None;
        }
        while !self.eat(')') {
            self.eat('*');
            match self.name() {
                Some(name) if self.eat('=') => {
                    arguments.insert(name, self.value(depth)?);
                }
                Some(name) => drop(self.named(name, depth)?),
                None => drop(self.value(depth)?),
            }
            if !self.eat(',') && !self.sees(')') {
                return None;
            }
        }
        Some(arguments)
    }
}

fn is_name(word: &str) -> bool {
    let starts = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    starts && word.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn number_of(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse::<i64>() {
        return Some(Value::from(integer));
    }
    let is_numeral = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let number = text.parse::<f64>().ok().filter(|_| is_numeral)?;
    Number::from_f64(number).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_as_python_prints_them() {
        let cases = [
            (r#"['a\'b', "c\n"]"#, json!(["a'b", "c\n"])),
            ("[1, 0]", json!([1, 0])),
            (r"['\u00e9\x41', '\alpha']", json!(["éA", r"\alpha"])),
            ("(1, -2.5, None, True)", json!([1, -2.5, null, true])),
            ("['a' 'b'\n 'c']", json!(["a", "b", "c"])),
            ("[{'a': [1, {'b': 'c'}]}]", json!([{"a": [1, {"b": "c"}]}])),
            (r#"["json", null]"#, json!(["json", null])),
        ];
        for (text, expected) in cases {
            assert_eq!(list(text).map(Value::Array), Some(expected), "{text}");
        }
        let deep = "[".repeat(100_000);
        for text in ["[open", "['open]", "no list", "[1]x", "", &deep] {
            assert_eq!(list(text), None);
        }
    }

    #[test]
    fn calls_have_names_and_values() {
        let found = calls("[math.gcd(a=12, b=18), f(x='y', z=[1.5, True])]").unwrap();
        assert_eq!(found[0].name, "math.gcd");
        assert_eq!(Value::Object(found[1].arguments.clone()), json!({"x": "y", "z": [1.5, true]}));
        assert_eq!(calls("f()").unwrap().len(), 1);
        assert_eq!(calls("[]"), Some(vec![]));
        let found = calls("f(1, *x, a=true, b='c' \"d\", e=g(h=[i]))").unwrap();
        let arguments = json!({"a": "true", "b": "cd", "e": {"g": {"h": ["i"]}}});
        assert_eq!(Value::Object(found[0].arguments.clone()), arguments);
        let deep = format!("f({}", "a=f(".repeat(100_000));
        for text in ["f(a=1", "[f(a=1)", "I cannot (sorry).", "[f(a=1) g()]", "f(a=b.c)", &deep] {
            assert_eq!(calls(text), None, "{text}");
        }
    }
}
