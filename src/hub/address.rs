//! What `hf:` names: a file of a repository.

use super::error::HubError;
use std::fmt;

/// The file that is taken where none is named.
const WEIGHTS: &str = "model.safetensors";

/// The revision that is taken where none is named.
const REVISION: &str = "main";

/// A file of a repository of models: `OWNER/REPO[@REV][/FILE]`.
///
/// Every part is made of letters, digits and `.`, `_`, `-`, `+`, `=`, so that it is the same in a URL
/// and in a path, and stays below the folder that it is put into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Who the repository belongs to.
    pub owner: String,
    /// Its name.
    pub repository: String,
    /// A branch, tag or commit: `main` where none is named.
    pub revision: String,
    /// The file, with its folders: `model.safetensors` where none is named.
    pub file: String,
}

impl Address {
    /// Reads what stands after `hf:`. A slash in a revision is written `%2F`, as in `hf://` addresses
    /// elsewhere.
    ///
    /// # Errors
    /// When it has another form.
    pub fn parse(text: &str) -> Result<Address, HubError> {
        let wrong = |what: String| HubError::form(text, &what);
        let (owner, rest) = text.split_once('/').ok_or_else(|| wrong("no repository".into()))?;
        let (repository, file) = rest.split_once('/').unwrap_or((rest, WEIGHTS));
        let (repository, revision) = repository.split_once('@').unwrap_or((repository, REVISION));
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        let named = [("owner", owner), ("repository", repository)];
        let parts = file.split('/').map(|part| ("file", part));
        let revisions = revision.split('/').map(|part| ("revision", part));
        for (what, part) in named.into_iter().chain(parts).chain(revisions) {
            if !is_plain(part) {
                return Err(wrong(format!("`{part}` is no name of a {what}")));
            }
        }
        Ok(Address {
            owner: owner.into(),
            repository: repository.into(),
            revision,
            file: file.into(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.owner, self.repository)?;
        if self.revision != REVISION {
            write!(f, "@{}", self.revision.replace('/', "%2F"))?;
        }
        write!(f, "/{}", self.file)
    }
}

/// Whether a text can stand in a URL and be a file's name as it is.
pub fn is_plain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=".contains(&byte);
    (1..=200).contains(&part.len()) && part != "." && part != ".." && part.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> [String; 4] {
        let address = Address::parse(text).unwrap();
        [address.owner, address.repository, address.revision, address.file]
    }

    #[test]
    fn forms() {
        let whole = ["timm", "resnet50.a1_in1k", "main", "model.safetensors"];
        assert_eq!(parts("timm/resnet50.a1_in1k"), whole);
        assert_eq!(parts("timm/resnet50.a1_in1k@main/model.safetensors"), whole);
        assert_eq!(parts("a/b@refs%2Fpr%2F1/c/d.bin"), ["a", "b", "refs/pr/1", "c/d.bin"]);
        let address = Address::parse("a/b@refs%2Fpr%2F1/c/d.bin").unwrap();
        assert_eq!(address.to_string(), "hf:a/b@refs%2Fpr%2F1/c/d.bin");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "timm",
            "timm/",
            "/b",
            "a/b/",
            "a/b@",
            "a/b@/c",
            "a/../c",
            "a/b/../../c",
            "a/b//c",
            "a/b@..%2F..",
            "a/b/c d",
            "a/b/c\\d",
            "a/b/c?x=1",
            "//a/b",
            "a/b/\n",
            "a/b/%2e%2e",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("hf:OWNER/REPO"), "{text}: {error}");
        }
    }
}
