//! VQA accuracy: agreement with what ten people said (Antol et al., arXiv:1505.00468).
//!
//! ```text
//! mean over the ten of min(1, number of the other nine who said the same / 3)
//! ```

use reward::{extract_answer, last_boxed};

use super::Marks;

/// Signs that the metric takes out.
const SIGNS: &str = ";/[]\"{}()=+\\_-><@`,?!";

/// Words without an apostrophe, and with it.
const CONTRACTIONS: &str = "aint ain't arent aren't cant can't couldve could've couldnt couldn't didnt didn't doesnt doesn't dont don't hadnt hadn't hasnt hasn't havent haven't hed he'd hes he's howd how'd howll how'll hows how's isnt isn't itd it'd itll it'll maam ma'am mightnt mightn't mightve might've mustnt mustn't mustve must've neednt needn't notve not've oclock o'clock oughtnt oughtn't shant shan't shouldve should've shouldnt shouldn't somebodyll somebody'll somebodys somebody's someonell someone'll someones someone's somethingll something'll thats that's thered there'd therere there're theres there's theyd they'd theyll they'll theyre they're theyve they've twas 'twas wasnt wasn't weve we've werent weren't whatll what'll whatre what're whats what's whatve what've whens when's whered where'd wheres where's whereve where've whod who'd wholl who'll whos who's whove who've whyll why'll whyre why're whys why's wont won't wouldve would've wouldnt wouldn't yall y'all youd you'd youll you'll youre you're youve you've";

const NUMBERS: [&str; 11] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// Scores an answer by the share of people who agree.
pub(super) fn marks(answer: &str, answers: &[String]) -> Marks {
    let people: Vec<String> = answers.iter().map(|answer| normalised(answer)).collect();
    let of = |said: &str| agreement(&normalised(said), &people);
    let strict = last_boxed(answer).unwrap_or(answer);
    let loose = extract_answer(answer).unwrap_or(answer);
    let harness = of(answer);
    let said = (!strict.trim().is_empty()).then(|| strict.trim().to_owned());
    Marks::shares(of(strict), of(loose), said).harness(harness, harness)
}

fn agreement(said: &str, people: &[String]) -> f64 {
    let num_same = people.iter().filter(|person| *person == said).count();
    let one = |person: &String| {
        let others = num_same - usize::from(person == said);
        (others as f64 / 3.0).min(1.0)
    };
    people.iter().map(one).sum::<f64>() / people.len().max(1) as f64
}

fn normalised(text: &str) -> String {
    let text = text.replace(['\n', '\t'], " ");
    words(&without_signs(text.trim()))
}

fn without_signs(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let has_comma = characters
        .windows(3)
        .any(|w| w[1] == ',' && w[0].is_ascii_digit() && w[2].is_ascii_digit());
    let mut plain = text.to_owned();
    for sign in SIGNS.chars() {
        let beside = text.contains(&format!("{sign} ")) || text.contains(&format!(" {sign}"));
        plain = plain.replace(sign, if beside || has_comma { "" } else { " " });
    }
    let characters: Vec<char> = plain.chars().collect();
    let kept = characters.iter().enumerate().filter(|(place, c)| {
        **c != '.' || characters.get(place + 1).is_some_and(char::is_ascii_digit)
    });
    kept.map(|(_, c)| *c).collect()
}

fn words(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split_whitespace().map(|word| match word {
        "none" => "0".to_owned(),
        word => match NUMBERS.iter().position(|number| *number == word) {
            Some(number) => number.to_string(),
            None => word.to_owned(),
        },
    });
    let words = words.filter(|word| !["a", "an", "the"].contains(&word.as_str()));
    words.map(|word| contraction(&word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

fn contraction(word: &str) -> Option<String> {
    let mut pairs = CONTRACTIONS.split(' ');
    while let (Some(plain), Some(written)) = (pairs.next(), pairs.next()) {
        if plain == word {
            return Some(written.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_by_hand() {
        let people = |same: usize| {
            let answer = |i| if i < same { "Dakota".to_owned() } else { format!("other {i}") };
            (0..10).map(answer).collect::<Vec<_>>()
        };
        // Two agree: each of the two sees one other, the other eight see two.
        let cases = [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)];
        for (same, expected) in cases {
            let marks = marks("dakota.", &people(same));
            assert!((marks.strict - expected).abs() < 1e-12, "{same}: {}", marks.strict);
        }
        let marks = marks(r"So.\nAnswer: \boxed{dakota}", &people(10));
        assert_eq!((marks.strict, marks.vlmevalkit), (1.0, Some(0.0)));
    }

    #[test]
    fn answers_are_made_alike() {
        let cases = [
            ("The two dogs!", "2 dogs"),
            ("1,000", "1000"),
            ("3.5", "3.5"),
            ("dont", "don't"),
            ("a red/blue car.", "red blue car"),
            ("None", "0"),
        ];
        for (text, expected) in cases {
            assert_eq!(normalised(text), expected, "{text}");
        }
    }
}
