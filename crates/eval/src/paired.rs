//! Two runs over the same questions: is the later one better?

use protocol::exact_mcnemar;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::answer::Answer;

/// A paired comparison of two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Questions answered by both.
    pub num_items: usize,
    /// Right in the first run alone.
    pub only_before: usize,
    /// Right in the second run alone.
    pub only_after: usize,
    /// Accuracy of the second run less that of the first.
    pub difference: f64,
    /// Two-sided p-value of [`exact_mcnemar`].
    pub p_value: f64,
}

/// Compares two runs answer by answer; both must have answered the same questions in the same order.
///
/// Answers of several seeds may be chained, so long as both sides chain them alike and each seed has questions of its own:
/// the test takes what it compares for independent.
///
/// # Errors
///
/// Names the first place at which the questions differ.
pub fn compare(before: &[Answer], after: &[Answer]) -> Result<Paired, Error> {
    let id = |answers: &[Answer], i: usize| {
        answers.get(i).map_or_else(String::new, |a| format!("{}#{}", a.id, a.sample))
    };
    let num_items = before.len().max(after.len());
    if let Some(index) = (0..num_items).find(|&i| id(before, i) != id(after, i)) {
        let (before, after) = (id(before, index), id(after, index));
        return Err(Error::NotTheSame { index, before, after });
    }
    let count = |first: bool, second: bool| {
        let pairs = before.iter().zip(after);
        pairs.filter(|(b, a)| b.correct == first && a.correct == second).count()
    };
    let (only_before, only_after) = (count(true, false), count(false, true));
    Ok(Paired {
        num_items,
        only_before,
        only_after,
        difference: (only_after as f64 - only_before as f64) / num_items.max(1) as f64,
        p_value: exact_mcnemar(only_before, only_after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::answers;

    #[test]
    fn runs_are_compared_question_by_question() {
        let (before, after) = (answers("1100"), answers("1011"));
        let paired = compare(&before, &after).unwrap();
        assert_eq!((paired.num_items, paired.only_before, paired.only_after), (4, 1, 2));
        assert_eq!((paired.difference, paired.p_value), (0.25, 1.0));
        let error = compare(&before, &after[..3]).unwrap_err().to_string();
        assert_eq!(error, "answer 3 is to `q3#0` in one run and to `` in the other");
    }
}
