//! The environment, as the hub's other clients read it.

use super::address::Address;
use super::error::HubError;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hub that is asked where the environment names none.
const ENDPOINT: &str = "https://huggingface.co";

/// How long a server may be silent, where the environment does not say.
const SILENCE: Duration = Duration::from_secs(10);

/// Longest token file that is read.
const MAX_TOKEN: u64 = 4096;

/// A hub, and the cache of what was fetched from it.
#[derive(Clone)]
pub struct Hub {
    cache: PathBuf,
    endpoint: String,
    offline: bool,
    token: Option<String>,
    /// How long to wait for what the server knows about a file.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "nothing is transferred"))]
    pub(super) head_timeout: Duration,
    /// How long a transfer may stand still.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "nothing is transferred"))]
    pub(super) read_timeout: Duration,
}

/// Without the token.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({}, cache {})", self.endpoint, self.cache.display())
    }
}

impl Hub {
    /// The hub and the cache that the environment names:
    ///
    /// | variable | what |
    /// |---|---|
    /// | `HF_HUB_CACHE` | the cache's folder; else `$HF_HOME/hub`, where `HF_HOME` is `~/.cache/huggingface` unless it is set |
    /// | `HF_ENDPOINT` | the hub or a mirror of it; else `https://huggingface.co` |
    /// | `HF_HUB_OFFLINE` | `1`: nothing is fetched |
    /// | `HF_TOKEN` | for private and gated repositories; else what is in the file `HF_TOKEN_PATH` or `$HF_HOME/token` |
    /// | `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT` | seconds that the server may be silent, before and while it sends a file; else 10 |
    ///
    /// `HTTPS_PROXY` and `NO_PROXY` are honoured as well.
    ///
    /// # Errors
    /// A variable that makes no sense, or no folder for the cache (no home).
    pub fn from_environment() -> Result<Hub, HubError> {
        Hub::from_variables(|name| std::env::var_os(name), std::env::home_dir())
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
    ) -> Result<Hub, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let text = |name: &str| match set(name).map(OsString::into_string).transpose() {
            Ok(text) => Ok(text.map(|text| text.trim().to_string())),
            Err(_) => Err(HubError::setting(name, "it is no UTF-8 text")),
        };
        let hf_home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| Some(home?.join(".cache").join("huggingface")));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| Some(hf_home.as_ref()?.join("hub")))
            .ok_or_else(|| {
                HubError::setting("HF_HOME", "set it to a folder: there is no home folder")
            })?;
        let endpoint = text("HF_ENDPOINT")?.unwrap_or_else(|| ENDPOINT.into());
        let endpoint = endpoint.trim_end_matches('/');
        let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if host.is_none_or(str::is_empty) {
            let message = format!("`{endpoint}` is no address such as `{ENDPOINT}`");
            return Err(HubError::setting("HF_ENDPOINT", &message));
        }
        let offline = text("HF_HUB_OFFLINE")?.unwrap_or_default().to_ascii_uppercase();
        let seconds = |name: &str| match text(name)? {
            None => Ok(SILENCE),
            Some(text) => match text.parse::<f64>() {
                Ok(seconds) if seconds > 0.0 && seconds <= 86400.0 => {
                    Ok(Duration::from_secs_f64(seconds))
                }
                _ => Err(HubError::setting(name, &format!("`{text}` is no number of seconds"))),
            },
        };
        let token = match text("HF_TOKEN")? {
            Some(token) => Some(token),
            None => path("HF_TOKEN_PATH")
                .or_else(|| Some(hf_home?.join("token")))
                .and_then(|path| stored_token(&path)),
        };
        // It goes into a header; and it must not be printed.
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(HubError::setting("HF_TOKEN", "it has characters that no token has"));
        }
        Ok(Hub {
            cache,
            endpoint: endpoint.to_string(),
            offline: ["1", "ON", "YES", "TRUE"].contains(&offline.as_str()),
            token: token.filter(|token| !token.is_empty()),
            head_timeout: seconds("HF_HUB_ETAG_TIMEOUT")?,
            read_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
        })
    }

    /// The cache's folder.
    pub fn cache_folder(&self) -> &Path {
        &self.cache
    }

    /// Where a file of a repository is on the hub.
    pub fn url(&self, address: &Address, revision: &str, file: &str) -> String {
        let Address { owner, repository, .. } = address;
        let revision = revision.replace('/', "%2F");
        format!("{}/{owner}/{repository}/resolve/{revision}/{file}", self.endpoint)
    }

    /// Where the hub says what a repository has.
    #[cfg(feature = "hub")]
    pub(super) fn listing_url(&self, address: &Address, revision: &str) -> String {
        let Address { owner, repository, .. } = address;
        let revision = revision.replace('/', "%2F");
        format!("{}/api/models/{owner}/{repository}/revision/{revision}", self.endpoint)
    }

    /// Whether nothing is fetched.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The token, for the hub alone.
    #[cfg(feature = "hub")]
    pub(super) fn token_for(&self, url: &str) -> Option<&str> {
        self.is_own(url).then_some(self.token.as_deref()).flatten()
    }

    /// Whether an address is one of the hub itself.
    #[cfg(feature = "hub")]
    pub(super) fn is_own(&self, url: &str) -> bool {
        url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// The token that `hf auth login` has left.
fn stored_token(path: &Path) -> Option<String> {
    let about = std::fs::metadata(path).ok()?;
    if !about.is_file() || about.len() > MAX_TOKEN {
        return None;
    }
    Some(std::fs::read_to_string(path).ok()?.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub, HubError> {
        let find = |name: &str| variables.iter().find(|one| one.0 == name).map(|one| one.1.into());
        Hub::from_variables(find, Some("/home/me".into()))
    }

    #[test]
    fn where_the_cache_is() {
        let cache = |variables: &[(&str, &str)]| hub(variables).unwrap().cache;
        assert_eq!(cache(&[]), Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]), Path::new("/h/hub"));
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        assert_eq!(cache(&[("HF_HOME", "")]), Path::new("/home/me/.cache/huggingface/hub"));
        assert!(Hub::from_variables(|_| None, None).is_err());
    }

    #[test]
    fn which_hub() {
        let address = Address::parse("a/b@refs%2Fpr%2F1").unwrap();
        let mirror = hub(&[("HF_ENDPOINT", "https://mirror.example/")]).unwrap();
        let url = mirror.url(&address, &address.revision, &address.file);
        assert_eq!(url, "https://mirror.example/a/b/resolve/refs%2Fpr%2F1/model.safetensors");
        for wrong in ["mirror.example", "file:///etc", "https://"] {
            assert!(
                hub(&[("HF_ENDPOINT", wrong)]).unwrap_err().to_string().contains("HF_ENDPOINT")
            );
        }
        for (text, offline) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(hub(&[("HF_HUB_OFFLINE", text)]).unwrap().is_offline(), offline);
        }
        assert!(hub(&[("HF_HUB_ETAG_TIMEOUT", "soon")]).is_err());
        let quick = hub(&[("HF_HUB_DOWNLOAD_TIMEOUT", "0.5")]).unwrap();
        assert_eq!(quick.read_timeout, Duration::from_millis(500));
    }

    #[cfg(feature = "hub")]
    #[test]
    fn tokens_are_for_the_hub_alone() {
        let hub = hub(&[("HF_TOKEN", "hf_secret\n"), ("HF_ENDPOINT", "https://hub.example")]);
        let hub = hub.unwrap();
        assert_eq!(hub.token_for("https://hub.example/a/b"), Some("hf_secret"));
        assert_eq!(hub.token_for("https://hub.example.evil/a/b"), None);
        assert_eq!(hub.token_for("https://cdn.example/a/b"), None);
        assert!(!format!("{hub:?}").contains("secret"));
    }

    #[test]
    fn a_token_of_the_login() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_stored\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(hub(&[("HF_HOME", home)]).unwrap().token.as_deref(), Some("hf_stored"));
        let error = hub(&[("HF_TOKEN", "two words")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("words"), "{error}");
    }
}
