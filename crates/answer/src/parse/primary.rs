//! What a factor begins with: numbers, letters, groups, fractions, matrices.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Pow;

use super::{Parser, number};
use crate::expr::{Constant, Expr, Function, Number};
use crate::token::Token;

/// Letters that name functions when a parenthesis follows.
const FUNCTION_LETTERS: &str = "fghjpqFGHJPQR";

/// More rows or columns are not read.
const MAX_SIDE: usize = 16;

impl Parser<'_, '_> {
    /// Whether a further factor begins here without a sign.
    pub(super) fn begins_factor(&self, functions: bool) -> bool {
        match self.peek() {
            Some(Token::Number(_) | Token::Letter(_) | Token::Word(..) | Token::Begin(_)) => true,
            Some(Token::Sign(sign)) => match sign {
                '(' | '[' | '{' | '⟦' | '⌊' | '⌈' => true,
                '|' => self.bars == 0,
                _ => false,
            },
            Some(Token::Command(name)) => match *name {
                "mod" | "bmod" | "choose" => false,
                "frac" | "dfrac" | "tfrac" | "cfrac" | "binom" | "dbinom" | "tbinom" | "infty"
                | "boxed" | "fbox" | "phantom" => true,
                _ => functions,
            },
            _ => false,
        }
    }

    pub(super) fn primary(&mut self) -> Option<Expr> {
        match self.peek()?.clone() {
            Token::Number(digits) => {
                self.at += 1;
                let value = self.repeating(&digits).or_else(|| number(&digits))?;
                // a base of digits, `1011_2`, is not told apart
                match self.take('_') {
                    true => self.subscript().map(|_| value),
                    false => self.scientific(value),
                }
            }
            Token::Letter(_) => {
                let name = self.letter()?;
                self.applied(name)
            }
            Token::Word(accent, content) => {
                self.at += 1;
                if content.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
                    return number(content);
                }
                let name = word(accent, content)?;
                if !self.is_sign('_')
                    && let Some(constant) = constant(&name)
                {
                    return Some(Expr::Constant(constant));
                }
                let name = self.with_subscript(name)?;
                Some(Expr::Symbol(name))
            }
            Token::Sign(sign) => self.group(sign),
            Token::Command(name) => {
                self.at += 1;
                self.command(name)
            }
            Token::Begin(environment) => {
                self.at += 1;
                self.matrix(environment)
            }
            _ => None,
        }
    }

    /// `0.1\overline{6}` and `0.\dot{1}4\dot{2}`: decimals of which the last digits repeat.
    fn repeating(&mut self, digits: &str) -> Option<Expr> {
        let (_, fraction) = digits.split_once('.')?;
        let tokens = self.tokens.get(self.at..)?;
        let (repeated, length) = match tokens {
            [Token::Word("dot", first), Token::Number(middle), Token::Word("dot", last), ..] => {
                (format!("{first}{middle}{last}"), 3)
            }
            [Token::Word("dot", first), Token::Word("dot", last), ..] => {
                (format!("{first}{last}"), 2)
            }
            [Token::Word("bar" | "dot", only), ..] => ((*only).to_owned(), 1),
            _ => return None,
        };
        if repeated.is_empty() || !repeated.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.at += length;
        let power = |places: usize| Some(Pow::pow(BigInt::from(10), u32::try_from(places).ok()?));
        let below = power(fraction.len())? * (power(repeated.len())? - 1);
        let Expr::Number(Number { value, .. }) = number(digits)? else { return None };
        Some(Expr::exact(value + BigRational::new(repeated.parse().ok()?, below)))
    }

    /// `1.5E3` as calculators print it.
    fn scientific(&mut self, mantissa: Expr) -> Option<Expr> {
        let exponent = self.attempt(|parser| {
            (parser.peek() == Some(&Token::Letter("E".into()))).then_some(())?;
            parser.at += 1;
            let minus = parser.take('-');
            if !minus {
                parser.take('+');
            }
            let Some(Token::Number(digits)) = parser.peek() else { return None };
            parser.at += 1;
            let power: i32 = digits.parse().ok().filter(|power| *power <= 300)?;
            Some(if minus { -power } else { power })
        });
        let (Some(power), Expr::Number(mut mantissa)) = (exponent, mantissa.clone()) else {
            return Some(mantissa);
        };
        let ten = BigRational::from_integer(10.into());
        mantissa.value *= ten.pow(power);
        mantissa.decimal = true;
        Some(Expr::Number(mantissa))
    }

    /// A letter with its subscript.
    pub(super) fn letter(&mut self) -> Option<Expr> {
        let Some(Token::Letter(name)) = self.peek() else { return None };
        self.at += 1;
        if !self.is_sign('_')
            && let Some(constant) = constant(name)
        {
            return Some(Expr::Constant(constant));
        }
        let name = self.with_subscript(name.to_string())?;
        Some(Expr::Symbol(name))
    }

    fn with_subscript(&mut self, name: String) -> Option<String> {
        match self.take('_') {
            true => Some(format!("{name}_{}", self.subscript()?)),
            false => Some(name),
        }
    }

    /// The text of a subscript, braces left out.
    pub(super) fn subscript(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut open = 0u32;
        loop {
            match self.peek()? {
                Token::Sign('{') => open += 1,
                Token::Sign('}') => open = open.checked_sub(1)?,
                Token::Sign('°') => {}
                Token::Sign(sign) => text.push(*sign),
                Token::Number(digits) => text.push_str(digits),
                Token::Letter(letter) => text.push_str(&letter.to_lowercase()),
                Token::Word(_, content) => text.push_str(&content.to_lowercase()),
                Token::Command(name) => text.push_str(name),
                _ => return None,
            }
            self.at += 1;
            if open == 0 {
                return Some(text);
            }
        }
    }

    /// `f(x)`, `f(1, 2)`; a letter that rather names a number is a factor.
    fn applied(&mut self, name: Expr) -> Option<Expr> {
        let Expr::Symbol(symbol) = &name else { return Some(name) };
        let Some(Token::Letter(letter)) = self.tokens.get(self.at.wrapping_sub(1)) else {
            return Some(name);
        };
        if !self.is_sign('(') || !FUNCTION_LETTERS.contains(letter.as_ref()) {
            return Some(name);
        }
        let arguments = self.attempt(|parser| {
            parser.expect('(')?;
            let arguments = parser.arguments()?;
            parser.expect(')')?;
            Some(arguments)
        });
        Some(match arguments {
            Some(arguments) => Expr::Call(Function::Named(symbol.clone()), arguments),
            None => name,
        })
    }

    /// Expressions with commas between them.
    pub(super) fn arguments(&mut self) -> Option<Vec<Expr>> {
        let mut arguments = vec![self.sum()?];
        while self.take(',') {
            arguments.push(self.sum()?);
        }
        Some(arguments)
    }

    /// A bracketed expression, an absolute value, a floor or a ceiling.
    fn group(&mut self, open: char) -> Option<Expr> {
        self.at += 1;
        let close = match open {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            '⟦' => '⟧',
            '⌊' => '⌋',
            '⌈' => '⌉',
            '|' => return self.absolute(),
            _ => return None,
        };
        let bars = std::mem::take(&mut self.bars);
        let inner = self.sum();
        self.bars = bars;
        let mut inner = inner?;
        if open == '{' && self.peek() == Some(&Token::Command("choose")) {
            self.at += 1;
            inner = Expr::Call(Function::Binomial, vec![inner, self.sum()?]);
        }
        self.expect(close)?;
        Some(match open {
            '⌊' => Expr::Call(Function::Floor, vec![inner]),
            '⌈' => Expr::Call(Function::Ceiling, vec![inner]),
            _ => inner,
        })
    }

    fn absolute(&mut self) -> Option<Expr> {
        self.bars += 1;
        let inner = self.sum()?;
        self.bars -= 1;
        self.expect('|')?;
        Some(Expr::Call(Function::Abs, vec![inner]))
    }

    /// The rows of a matrix, up to the end of its environment.
    fn matrix(&mut self, environment: &str) -> Option<Expr> {
        let is_determinant = environment == "vmatrix";
        let known = ["matrix", "pmatrix", "bmatrix", "Bmatrix", "array", "smallmatrix"];
        if !is_determinant && !known.contains(&environment) {
            return None;
        }
        let mut rows: Vec<Vec<Expr>> = vec![Vec::new()];
        while !matches!(self.peek()?, Token::End(_)) {
            let row = rows.last_mut()?;
            row.push(self.sum()?);
            let width = row.len();
            if self.take('&') {
                continue;
            }
            if self.peek() == Some(&Token::NewRow) {
                self.at += 1;
                if !matches!(self.peek()?, Token::End(_)) {
                    rows.push(Vec::with_capacity(width));
                }
            }
        }
        self.at += 1;
        let columns = rows[0].len();
        let sizes = rows.len().max(columns) <= MAX_SIDE && columns > 0;
        if !sizes || rows.iter().any(|row| row.len() != columns) {
            return None;
        }
        if is_determinant {
            return crate::matrix::determinant(&rows);
        }
        Some(Expr::Matrix(rows))
    }
}

/// The number that a letter or a word stands for.
fn constant(name: &str) -> Option<Constant> {
    match name {
        "e" => Some(Constant::E),
        "i" => Some(Constant::I),
        "pi" => Some(Constant::Pi),
        "infinity" => Some(Constant::Infinity),
        _ => None,
    }
}

/// The name that text stands for: parentheses and spaces say nothing, and case only of one letter.
fn word(accent: &str, content: &str) -> Option<String> {
    let plain: String =
        content.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '\\')).collect();
    let name = if plain.chars().count() == 1 { plain } else { plain.to_lowercase() };
    match accent {
        _ if name.is_empty() => None,
        "" => Some(name),
        _ => Some(format!("{accent}{{{name}}}")),
    }
}
