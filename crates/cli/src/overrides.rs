//! `--key value` for every key of a recipe, beside the options that clap knows.
//!
//! The keys live in the recipes' own types, so clap cannot list them: what it does not know becomes
//! `--set key=value` before it looks.
//!
//! ```text
//! sft --config a.toml --learning_rate 1e-3 --packing --json
//! sft --config a.toml --set=learning_rate=1e-3 --set=packing=true --json
//! ```

use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use recipes::config::known_keys;
use recipes::grpo::GrpoConfig;
use recipes::iterative_sft::IterativeSftConfig;
use recipes::mpo::MpoConfig;
use recipes::preferences::PreferencesConfig;
use recipes::reward_model::RewardConfig;
use recipes::sft::SftConfig;

use crate::args::Cli;
use crate::commands::distill::DistillRecipe;
use crate::commands::eval::{EvalConfig, TasksConfig};
use crate::commands::reward::data::CurateRecipe;

/// Names of other commands' options, and the keys they mean here.
const ALIASES: [(&str, &str); 4] = [
    ("model", "model_name_or_path"),
    ("adapter", "adapter_name_or_path"),
    ("input", "dataset"),
    ("output", "output_dir"),
];

/// Lists the keys of a configuration.
type Keys = fn() -> Vec<&'static str>;

/// A command that takes keys beside its options.
struct Keyed {
    words: &'static [&'static str],
    /// The keys that it knows, list by list, each under its title.
    keys: &'static [(&'static str, Keys)],
}

/// Commands that take a recipe's keys; those of a pipeline are its stages'.
const KEYED: [Keyed; 10] = [
    Keyed { words: &["distill"], keys: &[("Keys", known_keys::<DistillRecipe>)] },
    Keyed { words: &["sft"], keys: &[("Keys", known_keys::<SftConfig>)] },
    Keyed { words: &["iterative-sft"], keys: &[("Keys", known_keys::<IterativeSftConfig>)] },
    Keyed { words: &["reward", "data"], keys: &[("Keys", known_keys::<CurateRecipe>)] },
    Keyed { words: &["reward", "train"], keys: &[("Keys", known_keys::<RewardConfig>)] },
    Keyed { words: &["preferences", "build"], keys: &[("Keys", known_keys::<PreferencesConfig>)] },
    Keyed { words: &["mpo"], keys: &[("Keys", known_keys::<MpoConfig>)] },
    Keyed { words: &["grpo"], keys: &[("Keys", known_keys::<GrpoConfig>)] },
    Keyed {
        words: &["eval"],
        keys: &[("Keys", known_keys::<EvalConfig>), ("Keys with tasks", known_keys::<TasksConfig>)],
    },
    Keyed { words: &["run"], keys: &[] },
];

/// The keys of a command, if it takes any.
pub(crate) fn keys(words: &[&str]) -> Option<Vec<&'static str>> {
    let keyed = KEYED.iter().find(|keyed| keyed.words == words)?;
    Some(keyed.keys.iter().flat_map(|(_, keys)| keys()).collect())
}

/// The command line, the help of each recipe listing its keys.
pub(crate) fn command() -> Command {
    let lists = KEYED.iter().flat_map(|keyed| keyed.keys.iter().map(|list| (keyed.words, list)));
    lists.fold(Cli::command(), |command, (words, (title, keys))| {
        with_keys(command, words, &format!("{title}: {}", keys().join(", ")))
    })
}

/// The help of the command that the words lead to, with a list of keys.
fn with_keys(command: Command, words: &'static [&'static str], keys: &str) -> Command {
    match words {
        [] => {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            command.after_help(format!("{help}\n\n{keys}"))
        }
        [word, rest @ ..] => command.mut_subcommand(word, |next| with_keys(next, rest, keys)),
    }
}

/// What the arguments ask for.
///
/// # Errors
/// What clap has to say, help included.
pub(crate) fn parse(arguments: Vec<String>) -> Result<Cli, clap::Error> {
    let command = command();
    let spelled = spell_out(&command, arguments);
    let mut matches = command.try_get_matches_from(spelled)?;
    Cli::from_arg_matches_mut(&mut matches)
}

/// The arguments with recipe keys spelled as `--set`; those of other commands as they are.
fn spell_out(command: &Command, arguments: Vec<String>) -> Vec<String> {
    let said = &arguments[words_at(command, &arguments)..];
    let Some(words) = KEYED
        .iter()
        .map(|keyed| keyed.words)
        .find(|words| words.iter().eq(said.iter().take(words.len())))
    else {
        return arguments;
    };
    let subcommand = words.iter().try_fold(command, |command, word| command.find_subcommand(word));
    let Some(subcommand) = subcommand else { return arguments };
    // What is done with runs has options of its own.
    if said.get(words.len()).is_some_and(|next| subcommand.find_subcommand(next).is_some()) {
        return arguments;
    }
    let known: Vec<&Arg> = command.get_arguments().chain(subcommand.get_arguments()).collect();
    rewrite(&known, arguments)
}

/// Where the command's words begin: options of the binary may stand before them.
fn words_at(command: &Command, arguments: &[String]) -> usize {
    let mut at = 1;
    while let Some(name) = arguments.get(at).and_then(|argument| argument.strip_prefix("--")) {
        let takes_value = |option: &Arg| takes_value(option) && option.get_long() == Some(name);
        at += if command.get_arguments().any(takes_value) { 2 } else { 1 };
    }
    at.min(arguments.len())
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set)
}

fn rewrite(known: &[&Arg], arguments: Vec<String>) -> Vec<String> {
    let mut spelled = Vec::with_capacity(arguments.len());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let Some(key) = argument.strip_prefix("--").filter(|key| !key.is_empty()) else {
            spelled.push(argument);
            continue;
        };
        let (key, value) = match key.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (key, None),
        };
        let option = known.iter().find(|option| option.get_long() == Some(key));
        if option.is_some() || ["help", "version"].contains(&key) {
            let takes_value = option.is_some_and(|option| takes_value(option));
            spelled.push(argument.clone());
            spelled.extend(arguments.next_if(|_| takes_value && value.is_none()));
            continue;
        }
        // A key without a value switches something on.
        let value = value.or_else(|| arguments.next_if(|next| !next.starts_with("--")));
        let value = value.unwrap_or_else(|| "true".to_owned());
        spelled.push(format!("--set={}={value}", full_name(key)));
    }
    spelled
}

fn full_name(key: &str) -> String {
    let aliased = ALIASES.iter().find(|(alias, _)| *alias == key);
    aliased.map_or_else(|| key.replace('-', "_"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command as Stage;

    fn parsed(line: &str) -> Cli {
        parse(line.split(' ').map(str::to_owned).collect()).unwrap()
    }

    fn check(line: &str, expected: &[(&str, &str)]) {
        let (Stage::Sft(crate::args::SftArgs { recipe })
        | Stage::Grpo(crate::args::GrpoArgs { recipe })
        | Stage::Eval(crate::args::EvalArgs { recipe, .. })) = parsed(line).command
        else {
            panic!("{line}: no recipe");
        };
        let found: Vec<_> =
            recipe.overrides.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn keys_values_and_switches() {
        check("sightline sft --learning_rate 1e-3", &[("learning_rate", "1e-3")]);
        check("sightline sft --learning-rate=1e-3", &[("learning_rate", "1e-3")]);
        check("sightline grpo --beta -0.5 --packing", &[("beta", "-0.5"), ("packing", "true")]);
        check("sightline --quiet sft --a 1 --json --b 2", &[("a", "1"), ("b", "2")]);
        check("sightline --threads 2 sft --a b=c", &[("a", "b=c")]);
        check("sightline --threads=2 --device cpu --json sft --a b=c", &[("a", "b=c")]);
        check("sightline eval --adapter run", &[("adapter_name_or_path", "run")]);
        check("sightline sft --config sft.toml --dry-run", &[]);
    }

    #[test]
    fn help_lists_the_keys_of_a_recipe() {
        let help = parse(vec!["sightline".to_owned(), "grpo".to_owned(), "--help".to_owned()]);
        let help = help.unwrap_err().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("Keys: model_name_or_path, "), "{help}");
        assert!(help.contains("num_generations"), "{help}");
    }

    #[test]
    fn every_key_is_explained() {
        let page = include_str!("../../../docs/keys.md");
        let lists = KEYED.iter().flat_map(|keyed| keyed.keys).map(|(_, keys)| keys());
        for key in lists.flatten() {
            assert!(page.contains(&format!("| `{key}` |")), "{key} is not in docs/keys.md");
        }
    }

    #[test]
    fn what_clap_knows_stays() {
        let cli = parsed("sightline grpo --a 1 --config sft --dry-run --threads 3");
        assert_eq!(cli.threads, Some(3));
        let Stage::Grpo(args) = cli.command else { panic!("not grpo") };
        assert!(args.recipe.dry_run);
        assert_eq!(args.recipe.config.unwrap().to_str(), Some("sft"));
    }

    #[test]
    fn a_value_is_no_command() {
        for line in [
            "sightline --quiet reward eval --model m --input mpo --benchmark reward-bench",
            "sightline --threads 1 reward score --model mpo --input a --output b",
            "sightline --quiet eval compare run sft",
        ] {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(spell_out(&command(), arguments.clone()), arguments);
        }
    }

    #[test]
    fn other_commands_reject_unknown_options() {
        let arguments = ["sightline", "inspect", "vlm", "--learning_rate", "1"];
        let arguments = arguments.map(str::to_owned).to_vec();
        assert_eq!(spell_out(&command(), arguments.clone()), arguments);
        assert!(parse(arguments).is_err());
    }

    #[test]
    fn the_declaration_is_sound() {
        command().debug_assert();
    }

    /// Every command at the end of a branch, with its own help.
    fn leaves(command: &Command) -> Vec<Command> {
        match command.get_subcommands().next() {
            None => vec![command.clone()],
            Some(_) => command.get_subcommands().flat_map(leaves).collect(),
        }
    }

    /// The words of a line as a shell would cut it.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate();
        let cut = |(i, part): (usize, &str)| match i % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        parts.flat_map(cut).collect()
    }

    #[test]
    fn the_examples_of_every_command_parse() {
        for command in leaves(&command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let help = help.replace("\\\n", " ");
            let examples: Vec<&str> =
                help.lines().map(str::trim).filter(|line| line.starts_with("sightline ")).collect();
            assert!(!examples.is_empty(), "{}: no examples", command.get_name());
            for example in examples {
                parse(words(example)).unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}
