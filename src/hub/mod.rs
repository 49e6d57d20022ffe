//! Weights from a Hugging Face hub, kept in the cache that its other clients use.
//!
//! `hf:OWNER/REPO[@REV][/FILE]` names a file of a repository of models. It is looked for in the
//! cache first; what is there is used without a word to the network. Else it is fetched, checked, and
//! put there, so that the Python library and the `hf-hub` crate find it too (and the other way round).
//!
//! | file | what |
//! |---|---|
//! | `address` | what `hf:` names |
//! | `settings` | the environment: where the cache is, which hub, whose token |
//! | `cache` | the layout of the cache on disk |
//! | `transfer` | HTTP: what a file is, and its bytes; only with the cargo feature `hub` |
//! | `error` | what can go wrong, and what to do then |
//!
//! The `hf-hub` crate is not used: it brings an asynchronous runtime, `reqwest` and the Xet protocol,
//! three times the crates of everything else here together, and does not resume.

mod address;
mod cache;
mod error;
mod settings;
#[cfg(feature = "hub")]
mod transfer;

pub use address::Address;
pub use error::HubError;
pub use settings::Hub;

use cache::{Cache, Cached};
use error::Trouble;
use std::path::PathBuf;

/// The file of a repository that says which model its weights are of.
const CONFIG: &str = "config.json";

/// What happens while a file is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A transfer begins.
    Start {
        /// Where from.
        url: &'a str,
        /// Bytes of the whole file, where the server says it.
        bytes: Option<u64>,
        /// Bytes that an earlier transfer has left.
        kept: u64,
    },
    /// So many bytes of the file are there.
    At(u64),
    /// The transfer is over, well or not.
    End,
    /// Something that the user should know.
    Note(&'a str),
}

/// Whoever wants to know what happens.
pub type Report<'a> = &'a mut dyn FnMut(Event<'_>);

/// Files of a repository on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The weights.
    pub weights: PathBuf,
    /// The repository's `config.json`, if it has one.
    pub config: Option<PathBuf>,
}

impl Hub {
    /// The file that an address names, and the `config.json` of its repository: from the cache, else
    /// from the network.
    ///
    /// # Errors
    /// When the weights are not in the cache and cannot be fetched; the error says which file to fetch
    /// by other means, and where to put it. The same for a `config.json` that belongs to weights just
    /// fetched. With weights from the cache it is a note: they may have been put there by hand.
    pub fn find(&self, address: &Address, report: Report<'_>) -> Result<Found, HubError> {
        let cache = Cache::new(self.cache_folder(), address);
        if let Some(cached) = cache.find(&address.revision, &address.file) {
            let config = match self.config(&cache, address, &cached, report) {
                Ok(config) => config,
                Err(error) => {
                    report(Event::Note(&format!(
                        "{error}\n  = note: without it, the dialect is recognised from the tensors' names alone"
                    )));
                    None
                }
            };
            return Ok(Found { weights: cached.path, config });
        }
        let fetched = self.fetch(&cache, address, &address.revision, &address.file, report)?;
        let config = self.config(&cache, address, &fetched, report)?;
        Ok(Found { weights: fetched.path, config })
    }

    /// The `config.json` of the same commit.
    fn config(
        &self,
        cache: &Cache,
        address: &Address,
        weights: &Cached,
        report: Report<'_>,
    ) -> Result<Option<PathBuf>, HubError> {
        if address.file == CONFIG {
            return Ok(None);
        }
        if let Some(cached) = cache.find(&weights.commit, CONFIG) {
            return Ok(Some(cached.path));
        }
        // A file that was put there by hand is of no commit that the hub knows.
        if self.is_offline() || !weights.known || cache.is_known_missing(&weights.commit, CONFIG) {
            return Ok(None);
        }
        match self.try_fetch(cache, address, &weights.commit, CONFIG, report) {
            Ok(cached) => Ok(Some(cached.path)),
            Err(Trouble::NoFile { .. }) => {
                cache.remember_missing(&weights.commit, CONFIG);
                Ok(None)
            }
            Err(trouble) => Err(self.explain(cache, address, &weights.commit, CONFIG, trouble)),
        }
    }

    fn fetch(
        &self,
        cache: &Cache,
        address: &Address,
        revision: &str,
        file: &str,
        report: Report<'_>,
    ) -> Result<Cached, HubError> {
        self.try_fetch(cache, address, revision, file, report)
            .map_err(|trouble| self.explain(cache, address, revision, file, trouble))
    }

    fn try_fetch(
        &self,
        cache: &Cache,
        address: &Address,
        revision: &str,
        file: &str,
        report: Report<'_>,
    ) -> Result<Cached, Trouble> {
        if self.is_offline() {
            return Err(Trouble::Offline);
        }
        #[cfg(feature = "hub")]
        return transfer::fetch(self, cache, address, revision, file, report);
        #[cfg(not(feature = "hub"))]
        {
            let _ = (cache, address, revision, file, report);
            Err(Trouble::NotBuilt)
        }
    }

    fn explain(
        &self,
        cache: &Cache,
        address: &Address,
        revision: &str,
        file: &str,
        trouble: Trouble,
    ) -> HubError {
        HubError::new(
            address,
            file,
            &self.url(address, revision, file),
            &cache.place(revision, file),
            self.has_token(),
            trouble,
        )
    }
}
