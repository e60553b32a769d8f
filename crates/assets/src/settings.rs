//! Where things are and what is allowed.

use std::path::PathBuf;

use crate::{Error, Result};

/// Where the cache and the hub are, and whether the network may be used.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder of all assets.
    pub cache: PathBuf,
    /// Use nothing but what is already on this machine.
    pub offline: bool,
    /// Do not ask the hub; its cache is still used, and wheels are still downloaded.
    pub hub_offline: bool,
    /// The hub's address, without a slash at the end.
    pub hub_endpoint: String,
    /// The access token sent to the hub.
    pub hub_token: Option<String>,
    /// The hub's own cache, whose files are taken when they are there.
    pub hub_cache: Option<PathBuf>,
    /// The Python interpreter whose pip downloads wheels.
    pub python: PathBuf,
}

impl Settings {
    /// Settings from variables (those of the process, in a program) and the cache the user chose, if any.
    ///
    /// The cache is `cache`, else `SIGHTLINE_CACHE`, else `sightline` in `XDG_CACHE_HOME` or `~/.cache`. The hub's
    /// variables `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` mean what they mean there.
    ///
    /// # Errors
    ///
    /// When nothing says where the cache should be.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        cache: Option<PathBuf>,
    ) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let user_cache = path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache")));
        let hub_home = path("HF_HOME").or_else(|| Some(user_cache.clone()?.join("huggingface")));
        let cache = cache
            .or_else(|| path("SIGHTLINE_CACHE"))
            .or_else(|| Some(user_cache?.join("sightline")));
        let endpoint =
            variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            cache: cache.ok_or(Error::NoCache)?,
            offline: false,
            hub_offline: variable("HF_HUB_OFFLINE").is_some_and(|v| is_true(&v)),
            hub_endpoint: endpoint.trim_end_matches('/').to_owned(),
            hub_token: variable("HF_TOKEN"),
            hub_cache: path("HF_HUB_CACHE").or_else(|| Some(hub_home?.join("hub"))),
            python: PathBuf::from("python3"),
        })
    }
}

impl std::fmt::Debug for Settings {
    /// Leaves out the token, which has no place in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .field("hub_offline", &self.hub_offline)
            .field("hub_endpoint", &self.hub_endpoint)
            .field("hub_cache", &self.hub_cache)
            .field("python", &self.python)
            .finish_non_exhaustive()
    }
}

/// The hub's own reading of a switch.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)], cache: Option<&str>) -> Result<Settings> {
        let find = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_variables(find, cache.map(PathBuf::from))
    }

    #[test]
    fn the_cache_is_the_first_that_is_named() {
        let all = [("SIGHTLINE_CACHE", "/s"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        let cases = [
            (Some("/c"), 0, "/c"),
            (None, 0, "/s"),
            (None, 1, "/x/sightline"),
            (None, 2, "/h/.cache/sightline"),
        ];
        for (chosen, from, cache) in cases {
            assert_eq!(settings(&all[from..], chosen).unwrap().cache, PathBuf::from(cache));
        }
        assert!(matches!(settings(&[("HOME", "")], None), Err(Error::NoCache)));
    }

    #[test]
    fn the_hub_as_its_own_variables_say() {
        let plain = settings(&[("HOME", "/h")], None).unwrap();
        assert_eq!(plain.hub_endpoint, "https://huggingface.co");
        assert_eq!(plain.hub_cache, Some(PathBuf::from("/h/.cache/huggingface/hub")));
        assert!(!plain.hub_offline);
        let variables = [
            ("HF_ENDPOINT", "http://m/"),
            ("HF_HOME", "/hf"),
            ("HF_HUB_OFFLINE", "yes"),
            ("HF_TOKEN", "secret"),
        ];
        let set = settings(&variables, Some("/c")).unwrap();
        assert_eq!((set.hub_endpoint.as_str(), set.hub_offline), ("http://m", true));
        assert_eq!(set.hub_cache, Some(PathBuf::from("/hf/hub")));
        assert_eq!(set.hub_token.as_deref(), Some("secret"));
        assert!(!format!("{set:?}").contains("secret"));
    }
}
