//! Several answers in one: lists, tuples, intervals, sets and what combines sets.

use super::{Parser, is_equal};
use crate::evaluate::real;
use crate::expr::{Chain, Expr, Interval, NumberSet, Relation, SetOperator};
use crate::token::Token;

/// Longer lists are not read.
const MAX_ELEMENTS: usize = 64;

impl Parser<'_, '_> {
    /// The whole formula.
    pub(super) fn formula(&mut self) -> Option<Expr> {
        let rules: [fn(&mut Self) -> Option<Expr>; 3] =
            [Self::named_elements, Self::all_elements, Self::named_sets];
        rules.into_iter().find_map(|rule| {
            (self.at, self.depth, self.bars, self.in_angle) = (0, 0, 0, false);
            rule(self).filter(|_| self.peek().is_none())
        })
    }

    /// `x = 1, 2` and `x ∈ {1, 2}`, where the name is that of everything to its right.
    fn named_elements(&mut self) -> Option<Expr> {
        let names = self.names()?;
        let is_named = is_equal(self.peek()) || self.is_sign('∈');
        is_named.then_some(())?;
        self.at += 1;
        let elements = self.semicolon_list(false)?;
        Some(named(names, collected(elements)))
    }

    fn all_elements(&mut self) -> Option<Expr> {
        self.semicolon_list(true).map(collected)
    }

    /// Sets and what combines them, with or without a name: `x ∈ (0, 1) ∪ (2, 3)`.
    fn named_sets(&mut self) -> Option<Expr> {
        let names = self.attempt(|parser| {
            let names = parser.names()?;
            (is_equal(parser.peek()) || parser.is_sign('∈')).then_some(())?;
            parser.at += 1;
            Some(names)
        });
        let sets = self.sets(0)?;
        Some(match names {
            Some(names) => named(names, sets),
            None => sets,
        })
    }

    /// A letter, or several in parentheses.
    fn names(&mut self) -> Option<Expr> {
        let name = |parser: &mut Self| match parser.peek()? {
            Token::Letter(_) | Token::Word(..) => parser.primary(),
            _ => None,
        };
        if !self.take('(') {
            return name(self);
        }
        let mut names = vec![name(self)?];
        while self.take(',') {
            names.push(name(self)?);
        }
        self.expect(')')?;
        Some(if names.len() == 1 { names.remove(0) } else { Expr::Tuple(names) })
    }

    /// Lists of elements with semicolons between the lists.
    fn semicolon_list(&mut self, relations: bool) -> Option<Vec<Vec<Expr>>> {
        let mut lists = vec![self.comma_list(relations)?];
        while self.take(';') {
            lists.push(self.comma_list(relations)?);
            if lists.len() > MAX_ELEMENTS {
                return None;
            }
        }
        Some(lists)
    }

    fn comma_list(&mut self, relations: bool) -> Option<Vec<Expr>> {
        let mut elements = self.element(relations)?;
        while self.take(',') {
            elements.extend(self.element(relations)?);
            if elements.len() > MAX_ELEMENTS {
                return None;
            }
        }
        Some(elements)
    }

    /// One element; two, where it holds ±.
    fn element(&mut self, relations: bool) -> Option<Vec<Expr>> {
        let start = self.at;
        let atom = self.attempt(|parser| {
            let atom = parser.deeper(Self::set_atom)?;
            parser.is_boundary().then_some(atom)
        });
        if let Some(atom) = atom {
            return Some(vec![atom]);
        }
        let rule = |parser: &mut Self| {
            parser.at = start;
            let element = if relations { parser.relation()? } else { parser.sum()? };
            parser.is_boundary().then_some(element)
        };
        let (second, has_sign) = (self.second, self.has_sign);
        (self.second, self.has_sign) = (false, false);
        let first = rule(self);
        let mut found = vec![first?];
        if self.has_sign && !second {
            self.second = true;
            found.extend(rule(self));
        }
        (self.second, self.has_sign) = (second, has_sign);
        Some(found)
    }

    fn is_boundary(&self) -> bool {
        match self.peek() {
            None => true,
            Some(Token::Sign(sign)) => matches!(sign, ',' | ';' | ')' | ']' | '}' | '⟧'),
            Some(_) => false,
        }
    }

    /// Union, intersection and difference; the last binds weakest.
    fn sets(&mut self, level: usize) -> Option<Expr> {
        const OPERATORS: [(char, SetOperator); 3] = [
            ('∖', SetOperator::Difference),
            ('∪', SetOperator::Union),
            ('∩', SetOperator::Intersection),
        ];
        let Some((sign, operator)) = OPERATORS.get(level) else {
            return self.deeper(Self::set_operand);
        };
        let mut left = self.sets(level + 1)?;
        let mut count = 0;
        while self.take(*sign) {
            let right = self.sets(level + 1)?;
            left = Expr::SetOperation(*operator, Box::new((left, right)));
            count += 1;
            if count > MAX_ELEMENTS {
                return None;
            }
        }
        Some(left)
    }

    fn set_operand(&mut self) -> Option<Expr> {
        let grouped = self.attempt(|parser| {
            parser.expect('(')?;
            let sets = parser.sets(0)?;
            parser.expect(')')?;
            sets.is_collection().then_some(sets)
        });
        let operand = grouped.or_else(|| self.set_atom())?;
        Some(match operand {
            Expr::Tuple(elements) => Expr::Set(elements),
            other => other,
        })
    }

    fn set_atom(&mut self) -> Option<Expr> {
        match self.peek()? {
            Token::Word("mathbb", name) => {
                let set = match *name {
                    "N" => NumberSet::Naturals,
                    "Z" => NumberSet::Integers,
                    "Q" => NumberSet::Rationals,
                    "R" => NumberSet::Reals,
                    "C" => NumberSet::Complexes,
                    _ => return None,
                };
                self.at += 1;
                Some(Expr::NumberSet(set))
            }
            Token::Command("emptyset" | "varnothing") => {
                self.at += 1;
                Some(Expr::empty())
            }
            Token::Sign('(' | '[') => {
                self.attempt(Self::interval).or_else(|| self.attempt(Self::tuple))
            }
            Token::Sign(open @ ('{' | '⟦')) => {
                let close = if *open == '{' { '}' } else { '⟧' };
                self.at += 1;
                if self.take(close) {
                    return Some(Expr::empty());
                }
                let elements = self.semicolon_list(true)?;
                self.expect(close)?;
                Some(Expr::Set(elements.into_iter().flatten().collect()))
            }
            _ => None,
        }
    }

    /// Two ends between brackets of any kind. Ends in the wrong order are a point, not an interval.
    fn interval(&mut self) -> Option<Expr> {
        let low_open = self.take('(');
        if !low_open {
            self.expect('[')?;
        }
        let (second, has_sign) = (self.second, self.has_sign);
        let low = self.sum()?;
        self.expect(',')?;
        let high = self.sum()?;
        let high_open = self.take(')');
        if !high_open {
            self.expect(']')?;
        }
        if self.has_sign && !has_sign {
            // an end with ± is no end
            (self.second, self.has_sign) = (second, has_sign);
            return None;
        }
        if low_open == high_open
            && let (Some(low_value), Some(high_value)) = (real(&low), real(&high))
            && (high_value < low_value || (low_open && high_value <= low_value))
        {
            return Some(Expr::Tuple(vec![low, high]));
        }
        Some(Expr::Interval(Box::new(Interval { low, high, low_open, high_open })))
    }

    fn tuple(&mut self) -> Option<Expr> {
        let close = if self.take('(') { ')' } else { ']' };
        if close == ']' {
            self.expect('[')?;
        }
        let mut elements: Vec<Expr> = self.semicolon_list(true)?.into_iter().flatten().collect();
        self.expect(close)?;
        Some(if elements.len() == 1 { elements.remove(0) } else { Expr::Tuple(elements) })
    }
}

fn named(names: Expr, value: Expr) -> Expr {
    Expr::Chain(Box::new(Chain { first: names, rest: vec![(Relation::Equal, value)] }))
}

/// One element stands for itself, several are a set, several lists a set of tuples.
fn collected(mut lists: Vec<Vec<Expr>>) -> Expr {
    if lists.len() == 1 {
        let mut only = lists.remove(0);
        return if only.len() == 1 { only.remove(0) } else { Expr::Set(only) };
    }
    if lists.iter().all(|list| list.len() == 1) {
        return Expr::Set(lists.into_iter().flatten().collect());
    }
    Expr::Set(lists.into_iter().map(Expr::Tuple).collect())
}
