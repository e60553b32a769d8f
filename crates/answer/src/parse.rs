//! Tokens to a tree: a recursive descent that knows how models and textbooks write answers.
//!
//! ```text
//! elements   1, 2 and 3 · x = 1; y = 2 · (1, 2), (3, 4)       parse/collection.rs
//!   relation   a < x \le b · f(x) = 2x                         here
//!     sum, product, sign, juxtaposition, power                 here
//!       primary   numbers, letters, groups, fractions, …       parse/primary.rs
//!         functions   \sin^2 x, \log_2 8, \sqrt[3]{x}, …       parse/function.rs
//! ```

mod collection;
mod primary;
mod function;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Pow;

use crate::expr::{Chain, Constant, Expr, Function, Number, Relation};
use crate::token::{Token, tokens};

/// Longer formulas are not read: no short answer is written so.
pub(crate) const MAX_FORMULA: usize = 2048;

/// How deep groups may stand in groups.
const MAX_DEPTH: u32 = 48;

/// Steps until a formula is given up, whatever it is.
const MAX_STEPS: u32 = 20_000;

/// Reads a normalised formula; `None` when it is not one that can be compared.
pub(crate) fn parse(formula: &str) -> Option<Expr> {
    if formula.len() > MAX_FORMULA {
        return None;
    }
    let tokens = tokens(formula)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        steps: 0,
        second: false,
        has_sign: false,
        bars: 0,
        in_angle: false,
    };
    parser.formula()
}

struct Parser<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    depth: u32,
    steps: u32,
    /// Whether ± is read as a minus.
    second: bool,
    /// Whether ± was seen in this element.
    has_sign: bool,
    /// Bars of absolute values that are open.
    bars: u32,
    /// Whether degrees are converted: in the argument of a trigonometric function. Elsewhere the sign is
    /// a unit, and says nothing.
    in_angle: bool,
}

impl<'t, 'a> Parser<'t, 'a> {
    fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    /// Steps over a sign, if it is there.
    fn take(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char) -> Option<()> {
        self.take(sign).then_some(())
    }

    /// Runs a rule one level deeper; `None` when that is too deep or takes too long.
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.steps += 1;
        if self.depth >= MAX_DEPTH || self.steps > MAX_STEPS {
            return None;
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// Runs a rule and takes it back when it fails.
    fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (at, bars) = (self.at, self.bars);
        let result = rule(self);
        if result.is_none() {
            (self.at, self.bars) = (at, bars);
        }
        result
    }

    /// Expressions with relations between them, or one expression.
    fn relation(&mut self) -> Option<Expr> {
        // `\approx 10` leaves out what is about 10
        if self.peek() == Some(&Token::Approximately) {
            self.at += 1;
        }
        let mut chain = Chain { first: self.sum()?, rest: Vec::new() };
        loop {
            match self.peek() {
                Some(Token::Relation(relation)) => {
                    self.at += 1;
                    chain.rest.push((*relation, self.sum()?));
                }
                Some(Token::Approximately) => {
                    self.at += 1;
                    let about = self.sum()?;
                    // what is only a name is replaced; what has a value keeps it
                    if chain.rest.is_empty() && chain.first.is_only_symbols() {
                        chain.first = about;
                    }
                }
                _ => break,
            }
        }
        Some(if chain.rest.is_empty() { chain.first } else { Expr::Chain(Box::new(chain)) })
    }

    fn sum(&mut self) -> Option<Expr> {
        self.deeper(|parser| {
            let mut terms = vec![parser.product(true)?];
            loop {
                let minus = match parser.peek() {
                    Some(Token::Sign('+')) => false,
                    Some(Token::Sign('-')) => true,
                    Some(Token::Sign(sign @ ('±' | '∓'))) => parser.either(*sign),
                    _ => return Some(Expr::sum(terms)),
                };
                parser.at += 1;
                let term = parser.product(true)?;
                terms.push(if minus { term.negated() } else { term });
            }
        })
    }

    /// Whether ± or ∓ is a minus in this reading.
    fn either(&mut self, sign: char) -> bool {
        self.has_sign = true;
        self.second == (sign == '±')
    }

    /// Factors with × and ÷ between them. Without `functions`, a function ends the product, as in
    /// the argument of `\sin b \cos a`.
    fn product(&mut self, functions: bool) -> Option<Expr> {
        let mut product = self.signed(functions)?;
        loop {
            match self.peek() {
                Some(Token::Sign('*')) => {
                    self.at += 1;
                    product = Expr::product(vec![product, self.signed(functions)?]);
                }
                Some(Token::Sign('/' | ':')) => {
                    self.at += 1;
                    product = product.quotient(self.signed(functions)?);
                }
                Some(Token::Command("mod" | "bmod")) => {
                    self.at += 1;
                    let divisor = self.signed(functions)?;
                    product = Expr::Call(Function::Modulo, vec![product, divisor]);
                }
                _ => return Some(product),
            }
        }
    }

    fn signed(&mut self, functions: bool) -> Option<Expr> {
        self.deeper(|parser| {
            let minus = match parser.peek()? {
                Token::Sign('+') => false,
                Token::Sign('-') => true,
                Token::Sign(sign @ ('±' | '∓')) => parser.either(*sign),
                _ => return parser.juxtaposition(functions),
            };
            parser.at += 1;
            let inner = parser.signed(functions)?;
            Some(if minus { inner.negated() } else { inner })
        })
    }

    /// Factors without a sign between them; a whole number before a fraction is a mixed number.
    fn juxtaposition(&mut self, functions: bool) -> Option<Expr> {
        let start = self.at;
        let mut factors = vec![self.power()?];
        let number = self.at == start + 1 && matches!(self.tokens[start], Token::Number(_));
        if number
            && let Some(Token::Command("frac" | "dfrac" | "tfrac" | "cfrac")) = self.peek()
            && let Some(whole) = factors[0].as_integer().cloned()
        {
            let fraction = self.power()?;
            match fraction {
                Expr::Number(Number { value, decimal: false })
                    if Expr::exact(value.clone()).is_positive_number() =>
                {
                    factors = vec![Expr::exact(whole + value)];
                }
                other => factors.push(other),
            }
        }
        while self.begins_factor(functions) {
            factors.push(self.power()?);
        }
        Some(Expr::product(factors))
    }

    /// A primary with its powers, factorials and percent signs.
    fn power(&mut self) -> Option<Expr> {
        let mut base = self.deeper(Self::primary)?;
        let mut exponents = Vec::new();
        loop {
            if self.take('^') {
                exponents.push(self.deeper(Self::exponent)?);
            } else if self.take('°') {
                if self.in_angle {
                    base = degrees(raise(base, &mut exponents));
                }
            } else if self.is_sign('_') && !exponents.is_empty() {
                self.at += 1;
                self.subscript()?;
            } else if self.is_sign('!') || self.is_sign('%') {
                base = raise(base, &mut exponents);
                base = match self.take('%') {
                    true => Expr::Percent(Box::new(base)),
                    false => {
                        self.at += 1;
                        Expr::Call(Function::Factorial, vec![base])
                    }
                };
            } else {
                return Some(raise(base, &mut exponents));
            }
            // each is one level of the tree
            self.steps += 1;
            if exponents.len() > 16 || depth(&base) > MAX_DEPTH {
                return None;
            }
        }
    }

    /// What follows `^`: a group, or one primary that may have a power of its own.
    fn exponent(&mut self) -> Option<Expr> {
        if self.take('-') {
            return Some(self.deeper(Self::exponent)?.negated());
        }
        match self.peek()? {
            Token::Number(_) => self.primary(),
            Token::Letter(_) => {
                let base = self.letter()?;
                match self.take('^') {
                    true => {
                        let exponent = self.deeper(Self::exponent)?;
                        Some(Expr::Pow(Box::new(base), Box::new(exponent)))
                    }
                    false => Some(base),
                }
            }
            _ => self.primary(),
        }
    }
}

/// Powers from left to right: what stands highest was written last.
fn raise(base: Expr, exponents: &mut Vec<Expr>) -> Expr {
    let power = |base, exponent| Expr::Pow(Box::new(base), Box::new(exponent));
    exponents.drain(..).fold(base, power)
}

/// So many degrees in radians.
fn degrees(number: Expr) -> Expr {
    let one = Expr::exact(BigRational::new(1.into(), 180.into()));
    Expr::product(vec![number, Expr::Constant(Constant::Pi), one])
}

/// How many factorials and percent signs stand on each other.
fn depth(mut expr: &Expr) -> u32 {
    let mut levels = 0;
    loop {
        expr = match expr {
            Expr::Percent(inner) => inner,
            Expr::Call(Function::Factorial, arguments) => &arguments[0],
            Expr::Pow(base, _) => base,
            _ => return levels,
        };
        levels += 1;
    }
}

/// The exact value of digits with at most one point.
pub(crate) fn number(digits: &str) -> Option<Expr> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numerator: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let denominator: BigInt = BigInt::from(10).pow(u32::try_from(fraction.len()).ok()?);
    let decimal = digits.contains('.');
    Some(Expr::Number(Number { value: BigRational::new(numerator, denominator), decimal }))
}

/// Whether a token is a relation of this kind.
fn is_equal(token: Option<&Token<'_>>) -> bool {
    token == Some(&Token::Relation(Relation::Equal))
}
