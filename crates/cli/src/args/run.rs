//! Arguments of `sightline run`.

use std::path::PathBuf;

use clap::Args;

/// `sightline run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "sightline run [OPTIONS] <RECIPE> [--KEY VALUE]...",
    after_help = "Examples:\n  \
    sightline run runs/demo-r1v.toml --dry-run\n  \
    sightline run runs/demo-r1v.toml --output_dir runs/out/seed-2 --seed 2\n  \
    sightline run runs/r1v2.toml --until mpo\n\n\
A recipe holds [[stage]] tables, each with a name, a command, and that command's keys and options under the \
same names. `${name}` is the folder of an earlier stage, `${name.checkpoint}` the checkpoint it ended with, \
`${output_dir}` the folder of them all. [shared] holds keys for every stage that has them; `--key value` \
sets one of these. A stage whose folder says that it was finished under the same settings and inputs is \
passed over; one that was interrupted goes on; one whose settings changed is set aside and done again. \
Writes <output_dir>/<name>/ and in it stage.json: settings, inputs, seconds and results."
)]
pub(crate) struct RunArgs {
    /// The pipeline's TOML file.
    pub recipe: PathBuf,
    /// Folder for the folders of the stages, in place of the recipe's.
    #[arg(long = "output_dir", alias = "output-dir", alias = "output", value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// The last stage to run; all of them by default.
    #[arg(long, value_name = "STAGE")]
    pub until: Option<String>,
    /// Print the plan, with the estimates of each stage whose inputs are there, and stop; fails if one could not run.
    #[arg(long)]
    pub dry_run: bool,
    /// What `--key value` becomes; see [`crate::overrides`].
    #[arg(long = "set", hide = true, value_name = "KEY=VALUE", value_parser = super::pair)]
    pub overrides: Vec<(String, String)>,
}
