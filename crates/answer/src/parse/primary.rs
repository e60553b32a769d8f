//! What a factor begins with: numbers, letters, groups, fractions, matrices.

use super::{Parser, number};
use crate::expr::{Constant, Expr, Function};
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
                let value = number(&digits)?;
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
        let ten = num_rational::BigRational::from_integer(10.into());
        mantissa.value *= ten.pow(power);
        mantissa.decimal = true;
        Some(Expr::Number(mantissa))
    }

    /// A letter with its subscript.
    pub(super) fn letter(&mut self) -> Option<Expr> {
        let Some(Token::Letter(name)) = self.peek() else { return None };
        self.at += 1;
        if !self.is_sign('_') {
            match name.as_ref() {
                "e" => return Some(Expr::Constant(Constant::E)),
                "i" | "I" => return Some(Expr::Constant(Constant::I)),
                "pi" => return Some(Expr::Constant(Constant::Pi)),
                _ => {}
            }
        }
        let name = self.with_subscript(name.to_lowercase())?;
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

/// The name that text stands for: parentheses and spaces say nothing.
fn word(accent: &str, content: &str) -> Option<String> {
    let plain: String =
        content.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '\\')).collect();
    let name = plain.to_lowercase();
    match accent {
        _ if name.is_empty() => None,
        "" => Some(name),
        _ => Some(format!("{accent}{{{name}}}")),
    }
}
