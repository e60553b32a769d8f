//! Commands that take arguments: fractions, roots, functions, sums.

use super::{Parser, is_equal};
use crate::expr::{Constant, Expr, Function};
use crate::token::Token;

impl Parser<'_, '_> {
    /// What a command makes of what follows it.
    pub(super) fn command(&mut self, name: &str) -> Option<Expr> {
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" => {
                let above = self.argument()?;
                Some(above.quotient(self.argument()?))
            }
            "binom" | "dbinom" | "tbinom" => {
                let arguments = vec![self.argument()?, self.argument()?];
                Some(Expr::Call(Function::Binomial, arguments))
            }
            "sqrt" => self.root(),
            "infty" => Some(Expr::Constant(Constant::Infinity)),
            "boxed" | "fbox" | "phantom" => self.argument(),
            "exp" | "exponentialE" => {
                let exponent = self.function_argument()?;
                Some(Expr::Pow(Box::new(Expr::Constant(Constant::E)), Box::new(exponent)))
            }
            "log" | "ln" | "lg" => self.logarithm(name),
            "max" | "min" | "gcd" | "lcm" => self.several(name),
            "sum" | "prod" => self.repeated(name),
            "det" => {
                let argument = self.function_argument()?;
                let Expr::Matrix(rows) = argument else { return None };
                crate::matrix::determinant(&rows)
            }
            "operatorname" => self.operator(),
            "emptyset" | "varnothing" | "mod" | "bmod" | "choose" => None,
            _ => {
                let function = trigonometric(name)?;
                self.single(function)
            }
        }
    }

    /// A group in braces, or what stands without: one digit, one letter, one command.
    fn argument(&mut self) -> Option<Expr> {
        if self.take('{') {
            let inner = self.sum()?;
            self.expect('}')?;
            return Some(inner);
        }
        match self.peek()? {
            Token::Letter(_) => self.letter(),
            _ => self.deeper(Self::primary),
        }
    }

    fn root(&mut self) -> Option<Expr> {
        let degree = match self.take('[') {
            true => {
                let degree = self.sum()?;
                self.expect(']')?;
                degree
            }
            false => Expr::integer(2),
        };
        let radicand = self.argument()?;
        let exponent = Expr::integer(1).quotient(degree);
        Some(Expr::Pow(Box::new(radicand), Box::new(exponent)))
    }

    /// The argument of a function: in parentheses, or a product without further functions.
    fn function_argument(&mut self) -> Option<Expr> {
        let in_parentheses = self.attempt(|parser| {
            parser.expect('(')?;
            let inner = parser.sum()?;
            parser.expect(')')?;
            Some(inner)
        });
        in_parentheses.or_else(|| self.deeper(|parser| parser.product(false)))
    }

    /// The argument of a trigonometric function.
    fn angle(&mut self) -> Option<Expr> {
        let outside = std::mem::replace(&mut self.in_angle, true);
        let argument = self.function_argument();
        self.in_angle = outside;
        argument
    }

    /// A power that stands between a function and its argument.
    fn function_power(&mut self) -> Option<Option<Expr>> {
        if self.take('^') { self.deeper(Self::exponent).map(Some) } else { Some(None) }
    }

    fn single(&mut self, function: Function) -> Option<Expr> {
        let power = self.function_power()?;
        let argument = self.angle()?;
        let inverse = power.as_ref().is_some_and(|power| *power == Expr::integer(-1));
        if inverse && let Some(inverse) = inverse_of(&function) {
            return Some(Expr::Call(inverse, vec![argument]));
        }
        Some(raised(Expr::Call(function, vec![argument]), power))
    }

    /// `\log` is to base ten, as Math-Verify has it.
    fn logarithm(&mut self, name: &str) -> Option<Expr> {
        let mut base = match name {
            "ln" => Expr::Constant(Constant::E),
            _ => Expr::integer(10),
        };
        let mut power = self.function_power()?;
        if self.take('_') {
            base = self.argument()?;
            if power.is_none() {
                power = self.function_power()?;
            }
        }
        let argument = self.function_argument()?;
        Some(raised(Expr::Call(Function::Log, vec![argument, base]), power))
    }

    fn several(&mut self, name: &str) -> Option<Expr> {
        let function = match name {
            "max" => Function::Max,
            "min" => Function::Min,
            "gcd" => Function::Gcd,
            _ => Function::Lcm,
        };
        let close = if self.take('(') {
            ')'
        } else if self.take('⟦') {
            '⟧'
        } else {
            return None;
        };
        let arguments = self.arguments()?;
        self.expect(close)?;
        Some(Expr::Call(function, arguments))
    }

    /// `\sum_{i=1}^{n}` and `\prod`: body, index, first and last.
    fn repeated(&mut self, name: &str) -> Option<Expr> {
        self.expect('_')?;
        self.expect('{')?;
        let index = self.letter()?;
        is_equal(self.peek()).then_some(())?;
        self.at += 1;
        let first = self.sum()?;
        self.expect('}')?;
        self.expect('^')?;
        let last = self.argument()?;
        let body = self.deeper(|parser| parser.product(true))?;
        let function = if name == "sum" { Function::Sum } else { Function::Product };
        let index = Expr::Symbol(index.letter()?.to_owned());
        Some(Expr::Call(function, vec![body, index, first, last]))
    }

    /// `\operatorname{…}`.
    fn operator(&mut self) -> Option<Expr> {
        self.expect('{')?;
        let mut name = String::new();
        while let Some(Token::Letter(letter)) = self.peek() {
            name.push_str(letter);
            self.at += 1;
        }
        self.expect('}')?;
        match name.as_str() {
            "gcd" | "lcm" | "max" | "min" => self.several(&name),
            "floor" => Some(Expr::Call(Function::Floor, vec![self.function_argument()?])),
            "ceil" => Some(Expr::Call(Function::Ceiling, vec![self.function_argument()?])),
            "" => None,
            _ => match trigonometric(&name) {
                Some(function) => self.single(function),
                None if self.is_sign('(') => {
                    let argument = self.function_argument()?;
                    Some(Expr::Call(Function::Named(name.to_lowercase()), vec![argument]))
                }
                None => Some(Expr::Symbol(name.to_lowercase())),
            },
        }
    }
}

fn raised(base: Expr, power: Option<Expr>) -> Expr {
    match power {
        Some(power) => Expr::Pow(Box::new(base), Box::new(power)),
        None => base,
    }
}

fn trigonometric(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" | "tg" => Function::Tan,
        "csc" => Function::Csc,
        "sec" => Function::Sec,
        "cot" => Function::Cot,
        "arcsin" => Function::Asin,
        "arccos" => Function::Acos,
        "arctan" => Function::Atan,
        "arccsc" => Function::Acsc,
        "arcsec" => Function::Asec,
        "arccot" => Function::Acot,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "arsinh" | "arcsinh" => Function::Asinh,
        "arcosh" | "arccosh" => Function::Acosh,
        "artanh" | "arctanh" => Function::Atanh,
        _ => return None,
    })
}

fn inverse_of(function: &Function) -> Option<Function> {
    Some(match function {
        Function::Sin => Function::Asin,
        Function::Cos => Function::Acos,
        Function::Tan => Function::Atan,
        Function::Csc => Function::Acsc,
        Function::Sec => Function::Asec,
        Function::Cot => Function::Acot,
        Function::Sinh => Function::Asinh,
        Function::Cosh => Function::Acosh,
        Function::Tanh => Function::Atanh,
        _ => return None,
    })
}
