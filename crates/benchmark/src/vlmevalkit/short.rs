//! Short answers: within 5 %, and by agreement with people (`dataset/utils/vqa_eval.py`).

use super::words::without_signs;

const NUMBERS: [&str; 11] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

const ARTICLES: [&str; 3] = ["a", "an", "the"];

/// Words that are spelled another way, and how; those of the kit that can occur, since words come in lower case.
const SPELLINGS: &str = "aint ain't arent aren't cant can't couldve could've couldnt couldn't couldn'tve couldn't've couldnt've couldn't've didnt didn't doesnt doesn't dont don't hadnt hadn't hadnt've hadn't've hadn'tve hadn't've hasnt hasn't havent haven't hed he'd hed've he'd've he'dve he'd've hes he's howd how'd howll how'll hows how's isnt isn't itd it'd itd've it'd've it'dve it'd've itll it'll maam ma'am mightnt mightn't mightnt've mightn't've mightn'tve mightn't've mightve might've mustnt mustn't mustve must've neednt needn't notve not've oclock o'clock oughtnt oughtn't ow's'at 'ow's'at 'ows'at 'ow's'at 'ow'sat 'ow's'at shant shan't shed've she'd've she'dve she'd've shouldve should've shouldnt shouldn't shouldnt've shouldn't've shouldn'tve shouldn't've somebody'd somebodyd somebodyd've somebody'd've somebody'dve somebody'd've somebodyll somebody'll somebodys somebody's someoned someone'd someoned've someone'd've someone'dve someone'd've someonell someone'll someones someone's somethingd something'd somethingd've something'd've something'dve something'd've somethingll something'll thats that's thered there'd thered've there'd've there'dve there'd've therere there're theres there's theyd they'd theyd've they'd've they'dve they'd've theyll they'll theyre they're theyve they've twas 'twas wasnt wasn't wed've we'd've we'dve we'd've weve we've werent weren't whatll what'll whatre what're whats what's whatve what've whens when's whered where'd wheres where's whereve where've whod who'd whod've who'd've who'dve who'd've wholl who'll whos who's whove who've whyll why'll whyre why're whys why's wont won't wouldve would've wouldnt wouldn't wouldnt've wouldn't've wouldn'tve wouldn't've yall y'all yall'll y'all'll y'allll y'all'll yall'd've y'all'd've y'alld've y'all'd've y'all'dve y'all'd've youd you'd youd've you'd've you'dve you'd've youll you'll youre you're youve you've";

/// `relaxed_correctness`: a number within 5 % of the known one, or the same text (arXiv:2203.10244, section 5.1).
pub(crate) fn relaxed(gold: &str, said: &str) -> bool {
    match (number(gold), number(said)) {
        (Some(gold), Some(said)) if gold != 0.0 => (said - gold).abs() / gold.abs() <= 0.05,
        _ => gold.to_lowercase() == said.to_lowercase(),
    }
}

/// Python's `float`, of a percentage too.
fn number(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(start) => Some(start.trim_end_matches('%').trim().parse::<f64>().ok()? / 100.0),
        None => text.trim().parse().ok(),
    }
}

/// VQA accuracy (arXiv:1505.00468): for each of the ten people, how many of the other nine say the same, a third each
/// and at most 1; the mean of that.
pub(crate) fn agreement(said: &str, answers: &[String]) -> f64 {
    let said = processed(said);
    let people: Vec<String> = answers.iter().map(|answer| processed(answer)).collect();
    let num_same = people.iter().filter(|person| **person == said).count();
    let one = |person: &String| {
        let others = num_same - usize::from(*person == said);
        (others as f64 / 3.0).min(1.0)
    };
    people.iter().map(one).sum::<f64>() / people.len().max(1) as f64
}

/// `process_answer`: without signs and articles, numbers in digits, apostrophes in place.
pub(crate) fn processed(answer: &str) -> String {
    let answer = answer.replace(['\n', '\t'], " ");
    let plain = without_signs(answer.trim()).to_lowercase();
    let number = |word: &str| match word {
        "none" => "0".to_owned(),
        word => match NUMBERS.iter().position(|number| *number == word) {
            Some(number) => number.to_string(),
            None => word.to_owned(),
        },
    };
    let words = plain.split_whitespace().map(number);
    let words = words.filter(|word| !ARTICLES.contains(&word.as_str()));
    words.map(|word| spelled(&word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

fn spelled(word: &str) -> Option<String> {
    let mut pairs = SPELLINGS.split(' ');
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
            let found = agreement("dakota.", &people(same));
            assert!((found - expected).abs() < 1e-12, "{same}: {found}");
        }
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
            assert_eq!(processed(text), expected, "{text}");
        }
    }

    #[test]
    fn within_five_percent_by_hand() {
        let cases = [
            ("14", "14.6", true),
            ("14", "14.8", false),
            ("0", "0.0", false),
            ("50%", "0.51", true),
            ("Yes", "yes", true),
            ("1,000", "1000", false),
        ];
        for (gold, said, expected) in cases {
            assert_eq!(relaxed(gold, said), expected, "{gold} {said}");
        }
    }
}
