//! Characters to tokens: commands, numbers, letters, and what LaTeX only writes for looks left out.

use std::borrow::Cow;

use crate::command::{Meaning, meaning};
use crate::expr::Relation;

/// The smallest meaningful piece of a formula.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// Digits with at most one point; separators between groups of three are gone.
    Number(Cow<'a, str>),
    /// One letter, or a Greek letter by its name.
    Letter(Cow<'a, str>),
    /// The content of `\text{…}` and its kin; the first part says which accent it is, if it matters.
    Word(&'a str, &'a str),
    /// A command with a meaning of its own: `frac`, `sin`, `infty`.
    Command(&'a str),
    /// What stands between two sides.
    Relation(Relation),
    /// Roughly the same.
    Approximately,
    /// `\begin{…}` of this environment.
    Begin(&'a str),
    /// `\end{…}` of this environment.
    End(&'a str),
    /// `\\`.
    NewRow,
    /// An operator or a delimiter: `+ - * / ^ _ ( ) [ ] { } | , ; : ! % & ± ∓ ∪ ∩ ∖ ∈`, `⟦` and `⟧`
    /// for `\{` and `\}`, `⌊ ⌋ ⌈ ⌉`.
    Sign(char),
}

/// Reads a whole formula; `None` when it holds something that is not mathematics.
pub(crate) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut lexer = Lexer { text, at: 0, out: Vec::new(), gap: Gap::None };
    while lexer.at < text.len() {
        lexer.next()?;
    }
    Some(lexer.out)
}

/// What stood between the last token and here.
#[derive(Clone, Copy, PartialEq)]
enum Gap {
    None,
    /// One space of any width.
    Space,
    /// More than that.
    Wide,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Token<'a>>,
    gap: Gap,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token<'a>, length: usize) {
        self.out.push(token);
        self.at += length;
        self.gap = Gap::None;
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
        self.gap = if self.gap == Gap::None { Gap::Space } else { Gap::Wide };
    }

    fn next(&mut self) -> Option<()> {
        let c = self.rest().chars().next()?;
        match c {
            ' ' | '\t' | '\r' | '\n' | '~' | '\u{a0}' => self.skip(c.len_utf8()),
            '0'..='9' => self.number(),
            '.' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            'a'..='z' | 'A'..='Z' => self.push(Token::Letter(self.rest()[..1].into()), 1),
            '\\' => self.command()?,
            '<' | '>' | '!' | '=' => self.relation(),
            '°' => self.degree(c.len_utf8()),
            '$' | '\'' | '"' => self.at += c.len_utf8(),
            '^' => self.caret(),
            '+' | '-' | '*' | '/' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | ',' | ';' | ':'
            | '%' | '&' | '_' => self.push(Token::Sign(c), 1),
            _ => self.push(unicode(c)?, c.len_utf8()),
        }
        Some(())
    }

    /// Digits, a point and digits; `1 000` is one number when its groups have three digits.
    fn number(&mut self) {
        let rest = self.rest();
        if self.takes_one_digit() && rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.push(Token::Number(rest[..1].into()), 1);
        }
        let whole = digits(rest);
        let length = match rest[whole..].strip_prefix('.').map(digits) {
            Some(fraction) if fraction > 0 => whole + 1 + fraction,
            Some(_) if repeats(&rest[whole + 1..]) => whole + 1,
            _ => whole,
        };
        if whole == 3
            && self.gap == Gap::Space
            && !self.is_argument()
            && let Some(Token::Number(before)) = self.out.last_mut()
            && !before.contains('.')
            && (before.len() <= 3 || before.len() % 3 == 0)
        {
            before.to_mut().push_str(&rest[..length]);
            self.at += length;
            self.gap = Gap::None;
            return;
        }
        self.push(Token::Number(rest[..length].into()), length);
    }

    /// Whether a digit here is a whole argument, as in `\frac12`, `\sqrt23` and `\log_28`.
    fn takes_one_digit(&self) -> bool {
        match self.out.as_slice() {
            [.., Token::Command("log"), Token::Sign('_')] => true,
            [.., Token::Command(name)] => takes_arguments(name) || *name == "sqrt",
            _ => false,
        }
    }

    /// Whether the number before is an argument, which further digits do not belong to.
    fn is_argument(&self) -> bool {
        matches!(self.out.as_slice(), [.., Token::Command(name), _] if takes_arguments(name))
            || matches!(self.out.as_slice(), [.., Token::Command("log"), Token::Sign('_'), _])
    }

    fn relation(&mut self) {
        let spellings = [
            ("<=", Relation::LessEqual),
            (">=", Relation::GreaterEqual),
            ("!=", Relation::NotEqual),
            ("==", Relation::Equal),
            ("=", Relation::Equal),
            ("<", Relation::Less),
            (">", Relation::Greater),
        ];
        match spellings.iter().find(|(spelling, _)| self.rest().starts_with(spelling)) {
            Some((spelling, relation)) => self.push(Token::Relation(*relation), spelling.len()),
            None => self.push(Token::Sign('!'), 1),
        }
    }

    /// A power, unless it is a degree sign or a mark that says nothing.
    fn caret(&mut self) {
        let degrees =
            ["^\\circ", "^{\\circ}", "^°", "^{°}", "^\\degree", "^{\\degree}", "^ \\circ"];
        match degrees.iter().find(|degree| self.rest().starts_with(**degree)) {
            Some(degree) => self.degree(degree.len()),
            None => self.push(Token::Sign('^'), 1),
        }
    }

    /// A degree sign, where something stands before it.
    fn degree(&mut self, length: usize) {
        match self.out.last() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Sign(')' | '}')) => {
                self.push(Token::Sign('°'), length);
            }
            _ => self.at += length,
        }
    }

    fn command(&mut self) -> Option<()> {
        let rest = &self.rest()[1..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        if letters == 0 {
            return self.symbol(rest);
        }
        let (length, meaning) = meaning(&rest[..letters])?;
        let name = &rest[..length];
        match meaning {
            Meaning::Nothing if name == "degree" => self.degree(1 + length),
            Meaning::Nothing => self.skip(1 + length),
            Meaning::Sign(sign) => self.push(Token::Sign(sign), 1 + length),
            Meaning::Relation(relation) => self.push(Token::Relation(relation), 1 + length),
            Meaning::Approximately => self.push(Token::Approximately, 1 + length),
            Meaning::Letter => self.push(Token::Letter(name.into()), 1 + length),
            Meaning::Command => self.push(Token::Command(name), 1 + length),
            Meaning::Text => self.word(name)?,
            Meaning::Environment => self.environment(name)?,
        }
        Some(())
    }

    /// A backslash before something that is not a letter.
    fn symbol(&mut self, rest: &'a str) -> Option<()> {
        let c = rest.chars().next()?;
        match c {
            ',' | ';' | ':' | '!' | ' ' | '\n' | '\t' => self.skip(2),
            '\\' => self.push(Token::NewRow, 2),
            '{' => self.push(Token::Sign('⟦'), 2),
            '}' => self.push(Token::Sign('⟧'), 2),
            '|' => self.push(Token::Sign('|'), 2),
            '(' | '[' | ')' | ']' | '%' => self.push(Token::Sign(c), 2),
            '$' => self.at += 2,
            _ => return None,
        }
        Some(())
    }

    /// `\text{…}`, up to the first closing brace.
    fn word(&mut self, name: &'a str) -> Option<()> {
        let rest = &self.rest()[1 + name.len()..];
        let open = rest.len() - rest.trim_start().len();
        let content = rest[open..].strip_prefix('{')?;
        let end = content.find('}')?;
        let accent = match name {
            "mathbb" => name,
            _ if name.starts_with("text") || name.starts_with("math") || name == "mbox" => "",
            "boldsymbol" | "bm" | "operatorname" => "",
            "overline" => "bar",
            "overrightarrow" => "vec",
            "widetilde" => "tilde",
            "widehat" => "hat",
            _ => name,
        };
        let length = 1 + name.len() + open + 1 + end + 1;
        self.push(Token::Word(accent, content[..end].trim()), length);
        Some(())
    }

    /// `\begin{…}` or `\end{…}`, the columns of an array left out.
    fn environment(&mut self, name: &'a str) -> Option<()> {
        let content = self.rest()[1 + name.len()..].strip_prefix('{')?;
        let end = content.find('}')?;
        let environment = &content[..end];
        let mut length = 1 + name.len() + 1 + end + 1;
        if name == "begin" {
            if environment == "array" {
                let columns = self.rest()[length..].strip_prefix('{')?;
                length += 1 + columns.find('}')? + 1;
            }
            self.push(Token::Begin(environment), length);
        } else {
            self.push(Token::End(environment), length);
        }
        Some(())
    }
}

/// Whether digits follow of which a mark says that they repeat.
fn repeats(text: &str) -> bool {
    ["\\overline{", "\\bar{", "\\dot{"].iter().any(|mark| text.starts_with(mark))
}

/// Whether a command takes two arguments.
fn takes_arguments(name: &str) -> bool {
    matches!(name, "frac" | "dfrac" | "tfrac" | "cfrac" | "binom" | "dbinom" | "tbinom")
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// A character outside ASCII.
fn unicode(c: char) -> Option<Token<'static>> {
    let greek = "αalpha βbeta γgamma δdelta εepsilon ζzeta ηeta θtheta ικappa λlambda μmu νnu ξxi \
                 ρrho σsigma τtau φphi ϕvarphi χchi ψpsi ωomega Γgamma Δdelta Θtheta Λlambda Ωomega \
                 πpi";
    Some(match c {
        '−' | '–' | '—' | '‐' => Token::Sign('-'),
        '×' | '⋅' | '·' | '∙' | '∗' | '∘' => Token::Sign('*'),
        '÷' | '∕' => Token::Sign('/'),
        '≤' | '≦' | '⩽' => Token::Relation(Relation::LessEqual),
        '≥' | '≧' | '⩾' => Token::Relation(Relation::GreaterEqual),
        '≠' => Token::Relation(Relation::NotEqual),
        '≡' => Token::Relation(Relation::Equal),
        '≈' | '≃' | '≅' => Token::Approximately,
        '∞' => Token::Command("infty"),
        '√' => Token::Command("sqrt"),
        '∅' => Token::Command("emptyset"),
        '±' | '∓' | '∪' | '∩' | '∈' | '∖' => Token::Sign(c),
        'ℝ' => Token::Word("mathbb", "R"),
        'ℤ' => Token::Word("mathbb", "Z"),
        'ℕ' => Token::Word("mathbb", "N"),
        'ℚ' => Token::Word("mathbb", "Q"),
        'ℂ' => Token::Word("mathbb", "C"),
        _ => {
            let entry = greek.split(' ').find_map(|entry| entry.strip_prefix(c))?;
            Token::Letter(entry.into())
        }
    })
}
