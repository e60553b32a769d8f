//! Pairs of open data sets.

use data::{Preference, Preferences, absolute};
use serde_json::Value;

use crate::config::SourceConfig;
use crate::pair::Pair;
use crate::statistics::{Dropped, Statistics};
use crate::{Error, run::Leavings};

/// Reads the sources one after the other; lines that are no pairs are counted.
pub(crate) fn gather(
    sources: &[SourceConfig],
    statistics: &mut Statistics,
    leavings: &mut Leavings,
) -> Result<Vec<Pair>, Error> {
    let mut pairs = Vec::new();
    for source in sources {
        let name = name(source);
        let (read, bad) =
            Preferences::read_what_is_good(&source.path, source.image_folder.as_deref())?;
        let num_bad = bad.len() + read.report.num_left_out();
        for error in &bad {
            leavings.add(&source.path.display().to_string(), Dropped::BadLine, &error.to_string());
        }
        for (flaw, found) in &read.report.left_out {
            for _ in 0..found.count {
                leavings.add(&found.first, Dropped::BadLine, &flaw.to_string());
            }
        }
        *statistics.sources.entry(name.clone()).or_insert(0) += read.pairs.len() + num_bad;
        for (index, preference) in read.pairs.iter().enumerate() {
            let labelled = labelled(preference, &name, read.folder());
            pairs.push(Pair::new(labelled, read.place(index)));
        }
    }
    Ok(pairs)
}

fn labelled(preference: &Preference, source: &str, folder: &std::path::Path) -> Preference {
    let mut prompt = absolute(preference.prompt.clone(), folder);
    prompt.extra.insert("source".to_owned(), Value::from(source));
    Preference { prompt, ..preference.clone() }
}

fn name(source: &SourceConfig) -> String {
    let stem = || source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    source.name.clone().unwrap_or_else(stem)
}
