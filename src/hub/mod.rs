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
//! | `shards` | weights in several files |
//! | `transfer` | HTTP: what a file is, and its bytes; only with the cargo feature `hub` |
//! | `error` | what can go wrong, and what to do then |
//!
//! The `hf-hub` crate is not used: it brings an asynchronous runtime, `reqwest` and the Xet protocol,
//! three times the crates of everything else here together, and does not resume.

mod address;
mod cache;
mod error;
mod settings;
mod shards;
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
        /// Where from; with several files, where the first is from.
        url: &'a str,
        /// How many files it has, each from its own address.
        files: usize,
        /// Bytes of them all, where the server says it.
        bytes: Option<u64>,
        /// Bytes that an earlier transfer has left.
        kept: u64,
    },
    /// So many bytes are there.
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
    /// The weights: a safetensors file, or the index of several that are beside it.
    pub weights: PathBuf,
    /// The repository's `config.json`, if it has one.
    pub config: Option<PathBuf>,
}

impl Hub {
    /// The file that an address names, and the `config.json` of its repository: from the cache, else
    /// from the network. Where a repository has no `model.safetensors`, but the index of several files, it
    /// is the index with all of them.
    ///
    /// # Errors
    /// When the weights are not in the cache and cannot be fetched; the error says which file to fetch
    /// by other means, and where to put it. The same for a `config.json` that belongs to weights just
    /// fetched. With weights from the cache it is a note: they may have been put there by hand.
    pub fn find(&self, address: &Address, report: Report<'_>) -> Result<Found, HubError> {
        let cache = Cache::new(self.cache_folder(), address);
        let index = format!("{}{}", address.file, shards::SUFFIX);
        let cached = |file: &str| cache.find(&address.revision, file);
        let (weights, file, old) = if let Some(weights) = cached(&address.file) {
            (weights, &address.file, true)
        } else if let Some(weights) = cached(&index) {
            (weights, &index, true)
        } else {
            let (weights, file) = self.fetch(&cache, address, &index, report)?;
            (weights, file, false)
        };
        if file.ends_with(shards::SUFFIX) {
            self.shards(&cache, address, &weights, file, report)?;
        }
        let config = match self.config(&cache, address, &weights, report) {
            Ok(config) => config,
            Err(error) if old => {
                report(Event::Note(&format!(
                    "{error}\n  = note: without it, the dialect is recognised from the tensors' names alone"
                )));
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Found { weights: weights.path, config })
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

    /// Fetches the file that an address names, or the index where the repository has no such file, and
    /// says which of them it was.
    fn fetch<'a>(
        &self,
        cache: &Cache,
        address: &'a Address,
        index: &'a String,
        report: Report<'_>,
    ) -> Result<(Cached, &'a String), HubError> {
        let Address { revision, file, .. } = address;
        let trouble = match self.try_fetch(cache, address, revision, file, report) {
            Ok(cached) => return Ok((cached, file)),
            Err(trouble) => trouble,
        };
        if matches!(trouble, Trouble::NoFile { .. }) && file.ends_with(".safetensors") {
            match self.try_fetch(cache, address, revision, index, report) {
                Ok(cached) => return Ok((cached, index)),
                Err(Trouble::NoFile { .. }) => {}
                Err(trouble) => {
                    return Err(self.explain(cache, address, revision, index, trouble));
                }
            }
        }
        Err(self.explain(cache, address, revision, file, trouble))
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

    /// Bytes of a file, where the hub says it.
    fn try_size(
        &self,
        address: &Address,
        revision: &str,
        file: &str,
    ) -> Result<Option<u64>, Trouble> {
        if self.is_offline() {
            return Err(Trouble::Offline);
        }
        #[cfg(feature = "hub")]
        return transfer::size(self, address, revision, file);
        #[cfg(not(feature = "hub"))]
        {
            let _ = (address, revision, file);
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
