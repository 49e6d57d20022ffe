//! What can go wrong on the way from a hub, and what to do then.

use super::address::Address;
use std::fmt;
use std::path::{Path, PathBuf};

/// Weights of a hub cannot be had: one sentence, and what to do.
#[derive(Debug, thiserror::Error)]
pub struct HubError {
    message: String,
    help: Option<String>,
}

impl fmt::Display for HubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}

/// What went wrong.
#[derive(Debug)]
#[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is transferred"))]
pub(super) enum Trouble {
    /// `HF_HUB_OFFLINE` is set.
    Offline,
    /// The program was built without the feature `hub`.
    #[cfg(not(feature = "hub"))]
    NotBuilt,
    /// The repository has no such file.
    NoFile {
        /// Files that it has, of those that could be meant.
        there: Vec<String>,
    },
    /// There is no such repository, or only for others.
    NoRepository,
    /// The repository has no such revision.
    NoRevision,
    /// The hub does not give the file to this user.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The server cannot be reached, or breaks off.
    Network {
        /// What happened.
        message: String,
        /// Whether it may be otherwise in a moment.
        passing: bool,
    },
    /// The server's answer makes no sense.
    Answer(String),
    /// A file of the cache cannot be written.
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

impl HubError {
    /// Text after `hf:` that has another form.
    pub(super) fn form(text: &str, what: &str) -> HubError {
        HubError {
            message: format!("{what} in `hf:{text}`"),
            help: Some(
                "write hf:OWNER/REPO, hf:OWNER/REPO/FILE or hf:OWNER/REPO@REVISION, as in \
                 hf:timm/mobilenetv2_100.ra_in1k"
                    .into(),
            ),
        }
    }

    /// A variable of the environment that makes no sense.
    pub(super) fn setting(name: &str, what: &str) -> HubError {
        HubError { message: format!("the environment's {name}: {what}"), help: None }
    }

    /// An index of weights that makes no sense.
    pub(super) fn index(path: &Path, what: &str) -> HubError {
        HubError { message: format!("{}: {what}", path.display()), help: None }
    }

    /// What went wrong with one file. `url` is where it is on the hub, `place` where it is looked for.
    pub(super) fn new(
        address: &Address,
        file: &str,
        url: &str,
        place: &Path,
        token: bool,
        trouble: Trouble,
    ) -> HubError {
        let Address { owner, repository, revision, .. } = address;
        let by_hand = format!(
            "fetch {url}\n          and put it at {}{}",
            place.display(),
            match file {
                super::CONFIG => "",
                _ =>
                    ",\n          with the repository's config.json, if it has one, in the same snapshot",
            }
        );
        let (cause, help) = match trouble {
            Trouble::Offline => (
                "not in the cache, and HF_HUB_OFFLINE forbids to fetch it".to_string(),
                Some(format!("unset HF_HUB_OFFLINE, or {by_hand}")),
            ),
            #[cfg(not(feature = "hub"))]
            Trouble::NotBuilt => (
                "not in the cache, and this program was built without the feature `hub`".to_string(),
                Some(by_hand),
            ),
            Trouble::NoFile { there } if there.is_empty() => {
                (format!("the repository has no file `{file}` at revision `{revision}`"), None)
            }
            Trouble::NoFile { there } => (
                format!("the repository has no file `{file}` at revision `{revision}`"),
                Some(format!(
                    "it has {}: name one, as in hf:{owner}/{repository}/{}",
                    there.join(", "),
                    there[0]
                )),
            ),
            Trouble::NoRevision => (
                format!("the repository has no revision `{revision}`"),
                Some("name a branch, a tag or a commit after the @".into()),
            ),
            Trouble::NoRepository | Trouble::Refused { status: 401 } if !token => (
                format!("there is no repository `{owner}/{repository}`, or it is private"),
                Some("if it is private or gated, set HF_TOKEN".into()),
            ),
            Trouble::NoRepository => (
                format!(
                    "there is no repository `{owner}/{repository}`, or none that the token may see"
                ),
                None,
            ),
            Trouble::Refused { status } => (
                format!("the hub refuses it (HTTP {status})"),
                Some(match token {
                    true => "accept the repository's conditions on its page, or use another HF_TOKEN",
                    false => "accept the repository's conditions on its page, and set HF_TOKEN",
                }
                .into()),
            ),
            Trouble::Network { message, passing: true } => (
                message,
                Some(format!(
                    "the same command goes on where this one stopped. Or {by_hand}"
                )),
            ),
            Trouble::Network { message, passing: false } => (message, Some(by_hand)),
            Trouble::Answer(message) => (message, Some(by_hand)),
            Trouble::Cache { path, cause } => (
                format!("{}: {cause}", path.display()),
                Some("HF_HOME or HF_HUB_CACHE names the folder of the cache".into()),
            ),
        };
        HubError { message: format!("hf:{owner}/{repository}/{file}: {cause}"), help }
    }
}
