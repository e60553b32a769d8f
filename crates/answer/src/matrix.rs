//! Matrices with expressions for entries: sums, products, determinants.

use crate::expr::Expr;

/// Determinants of larger matrices are not expanded.
const MAX_DETERMINANT: usize = 4;

/// More entries are not multiplied out.
const MAX_ENTRIES: usize = 64;

/// The determinant, expanded along the first row.
pub(crate) fn determinant(rows: &[Vec<Expr>]) -> Option<Expr> {
    let size = rows.len();
    if size > MAX_DETERMINANT || rows.iter().any(|row| row.len() != size) {
        return None;
    }
    if size == 1 {
        return Some(rows[0][0].clone());
    }
    let mut terms = Vec::with_capacity(size);
    for column in 0..size {
        let rest: Vec<Vec<Expr>> = rows[1..]
            .iter()
            .map(|row| {
                let others = row.iter().enumerate().filter(|(place, _)| *place != column);
                others.map(|(_, entry)| entry.clone()).collect()
            })
            .collect();
        let term = Expr::product(vec![rows[0][column].clone(), determinant(&rest)?]);
        terms.push(if column % 2 == 0 { term } else { term.negated() });
    }
    Some(Expr::sum(terms))
}

/// The rows of an expression that amounts to a matrix.
pub(crate) fn rows(expr: &Expr) -> Option<Vec<Vec<Expr>>> {
    match expr {
        Expr::Matrix(rows) => Some(rows.clone()),
        Expr::Add(terms) => {
            let mut terms = terms.iter().map(rows);
            let first = terms.next()??;
            terms.try_fold(first, |sum, term| added(&sum, &term?))
        }
        Expr::Mul(factors) => {
            let mut scalars = Vec::new();
            let mut product: Option<Vec<Vec<Expr>>> = None;
            for factor in factors {
                match (rows(factor), product.take()) {
                    (None, before) => {
                        scalars.push(factor.clone());
                        product = before;
                    }
                    (Some(next), None) => product = Some(next),
                    (Some(next), Some(before)) => product = Some(multiplied(&before, &next)?),
                }
            }
            let product = product?;
            let scaled = |entry: &Expr| {
                let factors = scalars.iter().chain([entry]);
                Expr::product(factors.cloned().collect())
            };
            Some(product.iter().map(|row| row.iter().map(scaled).collect()).collect())
        }
        _ => None,
    }
}

fn added(a: &[Vec<Expr>], b: &[Vec<Expr>]) -> Option<Vec<Vec<Expr>>> {
    let same = a.len() == b.len() && a[0].len() == b[0].len();
    let sum = |(a, b): (&Expr, &Expr)| Expr::sum(vec![a.clone(), b.clone()]);
    same.then(|| a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(sum).collect()).collect())
}

fn multiplied(a: &[Vec<Expr>], b: &[Vec<Expr>]) -> Option<Vec<Vec<Expr>>> {
    if a[0].len() != b.len() || a.len() * b[0].len() > MAX_ENTRIES {
        return None;
    }
    let entry = |row: &[Expr], column: usize| {
        let products = row.iter().zip(b);
        let products = products.map(|(x, y)| Expr::product(vec![x.clone(), y[column].clone()]));
        Expr::sum(products.collect())
    };
    Some(a.iter().map(|row| (0..b[0].len()).map(|column| entry(row, column)).collect()).collect())
}
