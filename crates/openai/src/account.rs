//! What may be spent: reserved before a request goes out, settled when its reply is in.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{Error, Usage};

/// What tokens cost, in any currency, per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// Tokens of the turns.
    pub input: f64,
    /// Tokens generated.
    pub output: f64,
}

impl Prices {
    /// What a request cost.
    pub fn cost(&self, usage: Usage) -> f64 {
        let tokens = [usage.prompt_tokens as f64, usage.completion_tokens as f64];
        (tokens[0] * self.input + tokens[1] * self.output) / 1e6
    }

    /// The same with its tokens.
    pub fn spending(&self, usage: Usage) -> Spending {
        let tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
        Spending { tokens, cost: self.cost(usage) }
    }
}

/// Limits that are never passed knowingly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Most tokens, both kinds together.
    pub tokens: Option<u64>,
    /// Most money.
    pub cost: Option<f64>,
}

/// Tokens and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spending {
    /// Tokens, both kinds together.
    pub tokens: u64,
    /// Money.
    pub cost: f64,
}

impl Spending {
    fn plus(self, other: Self) -> Self {
        let tokens = self.tokens.saturating_add(other.tokens);
        Self { tokens, cost: self.cost + other.cost }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: (self.cost - other.cost).max(0.0),
        }
    }
}

/// What has been spent and what is on its way.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Budget,
    books: Mutex<Books>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Books {
    spent: Spending,
    reserved: Spending,
    num_reserved: usize,
}

impl Account {
    /// An account from which so much has been spent before.
    pub(crate) fn new(budget: Budget, spent: Spending) -> Self {
        let books = Mutex::new(Books { spent, ..Books::default() });
        Self { budget, books, settled: Condvar::new() }
    }

    /// Spent so far.
    pub(crate) fn spent(&self) -> Spending {
        self.books().spent
    }

    /// Sets aside what a request may take at most. While others are on their way, which may take less than was set
    /// aside for them, it waits for them before it gives up.
    pub(crate) fn reserve(&self, most: Spending) -> Result<(), Error> {
        let mut books = self.books();
        loop {
            let all = books.spent.plus(books.reserved).plus(most);
            match self.over(all, books.spent, most) {
                None => break,
                Some(error) if books.num_reserved == 0 => return Err(error),
                Some(_) => {
                    books = self.settled.wait(books).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        books.reserved = books.reserved.plus(most);
        books.num_reserved += 1;
        Ok(())
    }

    /// Puts back what was set aside and books what was taken.
    pub(crate) fn settle(&self, most: Spending, taken: Spending) {
        let mut books = self.books();
        books.reserved = books.reserved.minus(most);
        books.spent = books.spent.plus(taken);
        books.num_reserved -= 1;
        self.settled.notify_all();
    }

    fn over(&self, all: Spending, spent: Spending, most: Spending) -> Option<Error> {
        let tokens = self.budget.tokens.filter(|&limit| all.tokens > limit).map(|limit| {
            let (spent, needed) = (spent.tokens as f64, most.tokens as f64);
            Error::Budget { spent, limit: limit as f64, unit: "tokens", needed }
        });
        let cost = self.budget.cost.filter(|&limit| all.cost > limit).map(|limit| {
            let (spent, needed) = (spent.cost, most.cost);
            Error::Budget { spent, limit, unit: "units of money", needed }
        });
        tokens.or(cost)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokens: u64) -> Spending {
        Spending { tokens, cost: tokens as f64 / 100.0 }
    }

    #[test]
    fn a_budget_is_not_passed() {
        for budget in
            [Budget { tokens: Some(100), cost: None }, Budget { tokens: None, cost: Some(1.0) }]
        {
            let account = Account::new(budget, tokens(30));
            account.reserve(tokens(60)).unwrap();
            account.settle(tokens(60), tokens(40));
            account.reserve(tokens(30)).unwrap();
            account.settle(tokens(30), tokens(30));
            assert_eq!(account.spent().tokens, 100);
            assert!(matches!(account.reserve(tokens(1)), Err(Error::Budget { .. })));
        }
    }

    #[test]
    fn what_is_on_its_way_is_waited_for() {
        let account = Account::new(Budget { tokens: Some(100), cost: None }, Spending::default());
        account.reserve(tokens(90)).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| account.reserve(tokens(50)));
            account.settle(tokens(90), tokens(10));
            assert!(second.join().unwrap().is_ok());
        });
    }

    #[test]
    fn prices_are_for_a_million() {
        let prices = Prices { input: 2.5, output: 10.0 };
        let usage = Usage { prompt_tokens: 1_000_000, completion_tokens: 100_000, total_tokens: 0 };
        assert_eq!(prices.spending(usage), Spending { tokens: 1_100_000, cost: 3.5 });
        let absurd = Usage { prompt_tokens: u64::MAX, completion_tokens: 5, total_tokens: 4 };
        let spent = prices.spending(absurd).plus(prices.spending(usage));
        assert_eq!(spent.tokens, u64::MAX);
    }
}
