//! Which photos the user means.

use super::failure::Failure;
use std::path::{Path, PathBuf};

/// Endings of the files that are taken from folders (files that are named are decoded by content,
/// whatever they are called).
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The photos that were found.
#[derive(Debug, Default, PartialEq)]
pub struct Photos {
    /// Files, in the order of the command line; those of a folder by name.
    pub files: Vec<PathBuf>,
    /// Files in folders that were left out because of their ending.
    pub skipped: usize,
    /// Whether any came from a folder.
    pub folders: bool,
}

/// Files as they are, folders with everything in them at any depth (symbolic links to folders are not
/// followed, so that there are no circles).
pub fn find(paths: &[PathBuf]) -> Result<Photos, Failure> {
    let mut photos = Photos::default();
    for path in paths {
        if path.is_dir() {
            photos.folders = true;
            let before = photos.files.len();
            walk(path, &mut photos)?;
            if photos.files.len() == before {
                let message = "no photos in this folder (.jpg, .jpeg, .png, .webp)";
                return Err(Failure::about(path.display(), message));
            }
        } else {
            photos.files.push(path.clone());
        }
    }
    Ok(photos)
}

fn walk(root: &Path, photos: &mut Photos) -> Result<(), Failure> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        let fail = |error| Failure::about(folder.display(), error);
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            if entry.file_type().map_err(fail)?.is_dir() {
                open.push(path);
            } else if is_photo(&path) && path.is_file() {
                found.push(path);
            } else {
                photos.skipped += 1;
            }
        }
    }
    found.sort();
    photos.files.append(&mut found);
    Ok(())
}

fn is_photo(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("b/deep")).unwrap();
        for name in ["z.PNG", "a.jpeg", "notes.txt", "b/deep/c.webp"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let named = root.path().join("notes.txt");
        let photos = find(&[root.path().into(), named]).unwrap();
        let names: Vec<_> =
            photos.files.iter().map(|f| f.strip_prefix(root.path()).unwrap()).collect();
        let expected = ["a.jpeg", "b/deep/c.webp", "z.PNG", "notes.txt"].map(Path::new);
        assert_eq!(names, expected);
        assert_eq!((photos.skipped, photos.folders), (1, true));
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&[empty.path().into()]).unwrap_err().to_string().contains("no photos"));
    }

    #[cfg(unix)]
    #[test]
    fn circles_end() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("round")).unwrap();
        std::fs::write(root.path().join("a.png"), "").unwrap();
        assert_eq!(find(&[root.path().into()]).unwrap().files.len(), 1);
    }
}
