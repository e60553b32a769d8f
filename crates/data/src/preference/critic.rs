//! The judgements of LLaVA-Critic-113k: a prompt that quotes a question and two responses, and a verdict in words.
//!
//! ```text
//! Question: […]                                        The better response: [1]        its pairwise part
//! The first response: […]   (Response 1, Response A)   … equally good                  a tie
//! The second response: […]
//!
//! <|User Prompt|> … <|The Start of Assistant A's Answer|> …                [[A>B]]     as Arena-Hard asks
//! [Question] … [Assistant 1] … [End of Assistant 1] [Assistant 2] …        8 7         as LLaVA-Bench asks
//! ```

use super::columns::PairFault;

/// A question with a better and a worse response.
pub(super) struct Critique {
    pub(super) question: String,
    pub(super) chosen: String,
    pub(super) rejected: String,
}

/// What is quoted: the question and two responses.
type Quoted<'a> = [&'a str; 3];

/// The comparison in a conversation of two turns.
pub(super) fn critique(turns: &[&str]) -> Result<Critique, PairFault> {
    let [asked, said] = turns else {
        return Err(PairFault::NoComparison("expected a question and its judgement"));
    };
    let asked = asked.replace("<image>", "");
    let found = bracketed(&asked)
        .map(|quoted| (quoted, named(said)))
        .or_else(|| arena(&asked).map(|quoted| (quoted, signed(said))))
        .or_else(|| bench(&asked).map(|quoted| (quoted, scored(said))));
    let Some(([question, first, second], is_first)) = found else {
        return Err(PairFault::NoComparison("no two responses are compared"));
    };
    let Some(is_first) = is_first else {
        return Err(PairFault::NoComparison("neither response is found better"));
    };
    let (chosen, rejected) = if is_first { (first, second) } else { (second, first) };
    let text = |text: &str| text.trim().to_owned();
    Ok(Critique { question: text(question), chosen: text(chosen), rejected: text(rejected) })
}

fn bracketed(asked: &str) -> Option<Quoted<'_>> {
    let names = [
        ("The first response: [", "The second response: ["),
        ("Response 1: [", "Response 2: ["),
        ("Response A: [", "Response B: ["),
    ];
    let (_, rest) = asked.split_once("Question: [")?;
    names.into_iter().find_map(|(first, second)| {
        let (question, rest) = rest.split_once(first)?;
        let (one, two) = rest.split_once(second)?;
        // The last bracket closes the response, whatever brackets stand in it.
        let close = |text: &str| text.rfind(']');
        Some([&question[..close(question)?], &one[..close(one)?], &two[..close(two)?]])
    })
}

fn arena(asked: &str) -> Option<Quoted<'_>> {
    let (_, rest) = asked.split_once("<|User Prompt|>")?;
    let (question, rest) = rest.split_once("<|The Start of Assistant A's Answer|>")?;
    let (one, rest) = rest.split_once("<|The End of Assistant A's Answer|>")?;
    let (_, rest) = rest.split_once("<|The Start of Assistant B's Answer|>")?;
    let (two, _) = rest.split_once("<|The End of Assistant B's Answer|>")?;
    Some([question, one, two])
}

fn bench(asked: &str) -> Option<Quoted<'_>> {
    let (_, rest) = asked.split_once("[Question]")?;
    let (question, rest) = rest.split_once("[Assistant 1]")?;
    let (one, rest) = rest.split_once("[End of Assistant 1]")?;
    let (_, rest) = rest.split_once("[Assistant 2]")?;
    let (two, _) = rest.split_once("[End of Assistant 2]")?;
    Some([question, one, two])
}

/// `The better response: [1]`: whether it is the first.
fn named(said: &str) -> Option<bool> {
    let (_, rest) = said.rsplit_once("The better response: [")?;
    match rest.split(']').next()?.trim().to_lowercase().as_str() {
        "1" | "a" | "first" => Some(true),
        "2" | "b" | "second" => Some(false),
        _ => None,
    }
}

/// The last of `[[A>B]]`, `[[B>>A]]` and their like.
fn signed(said: &str) -> Option<bool> {
    let (_, rest) = said.rsplit_once("[[")?;
    match rest.split("]]").next()?.trim() {
        "A>B" | "A>>B" => Some(true),
        "B>A" | "B>>A" => Some(false),
        _ => None,
    }
}

/// Two scores in the first line.
fn scored(said: &str) -> Option<bool> {
    let mut scores = said.lines().next()?.split_whitespace().map(str::parse::<f64>);
    let (first, second) = (scores.next()?.ok()?, scores.next()?.ok()?);
    (first != second).then_some(first > second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(asked: &str, said: &str) -> Result<[String; 3], String> {
        let found = critique(&[asked, said]).map_err(|fault| fault.to_string())?;
        Ok([found.question, found.chosen, found.rejected])
    }

    fn want(chosen: &str, rejected: &str) -> Result<[String; 3], String> {
        Ok(["What is it?".to_owned(), chosen.to_owned(), rejected.to_owned()])
    }

    #[test]
    fn each_form_of_verdict_is_read() {
        let first = "<image>\nJudge.\nQuestion: [What is it?]\nThe first response: [A [red] cat.]\n\
                     The second response: [A dog.]\nASSISTANT:\n";
        assert_eq!(of(first, "It fits.\nThe better response: [1]"), want("A [red] cat.", "A dog."));
        assert_eq!(of(first, "The better response: [second]"), want("A dog.", "A [red] cat."));
        assert!(of(first, "Both are equally good.").unwrap_err().contains("neither"));
        let second = "Question: [What is it?]\nResponse A: [x]\nResponse B: [y]";
        assert_eq!(of(second, "The better response: [B]"), want("y", "x"));
        let arena = "<|User Prompt|>\nWhat is it?\n\n<|The Start of Assistant A's Answer|>\nx\n\
            <|The End of Assistant A's Answer|>\n\n<|The Start of Assistant B's Answer|>\ny\n<|The End of Assistant B's Answer|>";
        assert_eq!(of(arena, "My verdict: [[B>>A]]"), want("y", "x"));
        assert!(of(arena, "My verdict: [[A=B]]").is_err());
        let bench = "[Question]\nWhat is it?\n\n[Assistant 1]\nx\n\n[End of Assistant 1]\n\n[Assistant 2]\ny\n[End of Assistant 2]";
        assert_eq!(of(bench, "8 6.5\nThe first is better."), want("x", "y"));
        assert!(of(bench, "7 7\nEqual.").is_err() && of(bench, "").is_err());
        assert!(of("Score this caption.", "Final Score: 80").unwrap_err().contains("no two"));
    }
}
