//! The cache on disk, in the layout that the hub's clients share:
//!
//! ```text
//! models--OWNER--REPO/refs/main                          the commit that `main` was
//! models--OWNER--REPO/snapshots/COMMIT/model.safetensors a link to its blob
//! models--OWNER--REPO/blobs/ETAG                         the bytes, whole and checked
//! models--OWNER--REPO/blobs/ETAG.incomplete              the bytes so far
//! models--OWNER--REPO/.no_exist/COMMIT/config.json       the repository has no such file
//! .locks/models--OWNER--REPO/ETAG.lock                   held by whoever fetches
//! ```

use super::address::{Address, is_plain};
use std::path::{Path, PathBuf};

/// The files of one repository.
pub struct Cache {
    #[cfg_attr(not(feature = "hub"), expect(dead_code, reason = "nothing is locked"))]
    locks: PathBuf,
    repository: PathBuf,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Its place in a snapshot.
    pub path: PathBuf,
    /// The snapshot.
    pub commit: String,
    /// Whether the hub has named the commit. A file that was put into the snapshot `main` by hand is
    /// of none.
    pub known: bool,
}

impl Cache {
    pub fn new(folder: &Path, address: &Address) -> Cache {
        let name = format!("models--{}--{}", address.owner, address.repository);
        Cache { locks: folder.join(".locks").join(&name), repository: folder.join(name) }
    }

    /// The commit that a revision was when it was last asked for.
    fn commit(&self, revision: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.repository.join("refs").join(revision)).ok()?;
        Some(text.trim().to_string()).filter(|commit| is_plain(commit))
    }

    /// A file of a revision, if it is there.
    pub fn find(&self, revision: &str, file: &str) -> Option<Cached> {
        let commit = self.commit(revision);
        let known = commit.is_some() || is_commit(revision);
        let commit = commit.unwrap_or_else(|| revision.to_string());
        let path = self.snapshot(&commit).join(file);
        path.is_file().then_some(Cached { path, commit, known })
    }

    /// Where [`Cache::find`] looks for a file.
    pub fn place(&self, revision: &str, file: &str) -> PathBuf {
        let commit = self.commit(revision);
        self.snapshot(commit.as_deref().unwrap_or(revision)).join(file)
    }

    fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository.join("snapshots").join(commit)
    }

    /// Whether the hub has said that a commit has no such file.
    pub fn is_known_missing(&self, commit: &str, file: &str) -> bool {
        self.repository.join(".no_exist").join(commit).join(file).is_file()
    }

    /// Remembers that a commit has no such file. It saves a question; that it fails is no harm.
    pub fn remember_missing(&self, commit: &str, file: &str) {
        let path = self.repository.join(".no_exist").join(commit).join(file);
        if let Some(folder) = path.parent()
            && std::fs::create_dir_all(folder).is_ok()
        {
            let _ = std::fs::File::create(path);
        }
    }
}

/// Whether a revision is a commit's own name, which never means another one.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(feature = "hub")]
mod writing {
    use super::{Cache, Cached, is_commit};
    use crate::file;
    use crate::hub::error::Trouble;
    use std::fs::{File, TryLockError};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    /// Held while a blob is fetched: one process at a time.
    pub struct Lock(#[expect(dead_code, reason = "closing it frees the lock")] File);

    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Trouble {
        let path = path.to_path_buf();
        move |cause| Trouble::Cache { path, cause }
    }

    fn parent_of(path: &Path) -> Result<(), Trouble> {
        let Some(folder) = path.parent() else { return Ok(()) };
        std::fs::create_dir_all(folder).map_err(at(folder))
    }

    impl Cache {
        /// The place of a blob. `etag` is a plain name.
        pub fn blob(&self, etag: &str) -> PathBuf {
            self.repository.join("blobs").join(etag)
        }

        /// The place of what there is of a blob so far.
        pub fn incomplete(&self, etag: &str) -> Result<PathBuf, Trouble> {
            let path = self.repository.join("blobs").join(format!("{etag}.incomplete"));
            parent_of(&path)?;
            Ok(path)
        }

        /// Waits until nobody else fetches a blob; `waits` is called if somebody does.
        pub fn lock(&self, etag: &str, waits: impl FnOnce()) -> Result<Lock, Trouble> {
            let path = self.locks.join(format!("{etag}.lock"));
            parent_of(&path)?;
            let file = File::options().create(true).append(true).open(&path).map_err(at(&path))?;
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) => waits(),
                Err(TryLockError::Error(cause)) => return Err(at(&path)(cause)),
            }
            file.lock().map_err(at(&path))?;
            Ok(Lock(file))
        }

        /// Puts a blob that is there into a commit's snapshot, and remembers that a revision is this
        /// commit.
        pub fn add(
            &self,
            revision: &str,
            commit: &str,
            file: &str,
            etag: &str,
        ) -> Result<Cached, Trouble> {
            let path = self.snapshot(commit).join(file);
            parent_of(&path)?;
            link(&path, file.split('/').count() + 1, &self.blob(etag))?;
            if !is_commit(revision) {
                let path = self.repository.join("refs").join(revision);
                parent_of(&path)?;
                file::write(&path, |file| file.write_all(commit.as_bytes()))
                    .map_err(|error| at(&path)(error.cause))?;
            }
            Ok(Cached { path, commit: commit.to_string(), known: true })
        }
    }

    /// Makes `path` a relative link to a blob, `up` folders above; what was there is replaced at once.
    #[cfg(unix)]
    fn link(path: &Path, up: usize, blob: &Path) -> Result<(), Trouble> {
        let mut target: PathBuf = std::iter::repeat_n("..", up).collect();
        target.extend(["blobs".as_ref(), blob.file_name().unwrap_or_default()]);
        let mut name = path.as_os_str().to_os_string();
        name.push(format!(".{}.link", std::process::id()));
        let temporary = PathBuf::from(name);
        let _ = std::fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&target, &temporary).map_err(at(path))?;
        std::fs::rename(&temporary, path).map_err(|cause| {
            let _ = std::fs::remove_file(&temporary);
            at(path)(cause)
        })
    }

    /// Links need rights on other systems: the blob is copied, as other clients do.
    #[cfg(not(unix))]
    fn link(path: &Path, _up: usize, blob: &Path) -> Result<(), Trouble> {
        file::write(path, |file| std::io::copy(&mut File::open(blob)?, file).map(drop))
            .map_err(|error| at(path)(error.cause))
    }
}
