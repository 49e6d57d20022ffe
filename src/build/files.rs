//! Writing what was built: whole files or none, and nobody else's files are touched.

use super::Build;
use crate::error::Error;
use crate::file;
use netwright_codegen::object::external::{Header, MAGIC, hash};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Stands in everything that is written, and says whose it is.
pub const MARK: &str = concat!("written by netwright build ", env!("CARGO_PKG_VERSION"));
/// What files of any version have.
const ANY: &[u8] = b"written by netwright build ";
/// Begins the first line of an example; the hash of all other lines follows.
const EXAMPLE: &str = "example ";

/// A file, and whether it was written: an example that was changed by hand stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it was written.
    pub written: bool,
}

enum Content<'a> {
    Text(&'a str),
    Example(String),
    Object,
    Weights(Header),
}

impl Build {
    /// Writes the files into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// A folder or file that cannot be written, a file there that was not made by this function and
    /// would be overwritten (unless `force`): then nothing is written.
    pub fn write(&self, folder: &Path, force: bool) -> Result<Vec<Written>, Error> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::Compile(format!("cannot make the folder `{}`: {error}", folder.display()))
        })?;
        let mut files = vec![(format!("{}.o", self.name), Content::Object)];
        if let Some(header) = self.object.file.external {
            files.push((format!("{}.weights", self.name), Content::Weights(header)));
        }
        files.push((format!("{}.h", self.name), Content::Text(&self.header)));
        files.push(("main.c".into(), Content::Example(with_mark(&self.example))));
        let mut keep = Vec::new();
        for (name, content) in &files {
            let path = folder.join(name);
            let there = owner(&path, content).map_err(|error| {
                Error::Compile(format!("cannot read `{}`: {error}", path.display()))
            })?;
            match there {
                _ if force => {}
                Owner::Nobody | Owner::Ours => {}
                Owner::Changed => keep.push(path),
                Owner::Other => {
                    return Err(Error::Compile(format!(
                        "`{}` is there and was not written by `netwright build`: --force overwrites it, \
                         another folder (-o) or name (--name) leaves it",
                        path.display()
                    )));
                }
            }
        }
        let mut result = Vec::new();
        for (name, content) in &files {
            let path = folder.join(name);
            let written = !keep.contains(&path);
            if written {
                file::write(&path, |out| self.fill(content, out))
                    .map_err(|error| Error::Compile(error.to_string()))?;
            }
            let bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            result.push(Written { path, bytes, written });
        }
        Ok(result)
    }

    fn fill(&self, content: &Content, out: &mut std::fs::File) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        match content {
            Content::Text(text) => out.write_all(text.as_bytes())?,
            Content::Example(text) => out.write_all(text.as_bytes())?,
            Content::Object => self.object.file.write(&mut out)?,
            Content::Weights(header) => {
                out.write_all(&header.to_bytes(&self.name))?;
                out.write_all(self.object.weights.bytes())?;
            }
        }
        out.flush()
    }
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// There is none.
    Nobody,
    /// As it was written.
    Ours,
    /// Written here, and edited since.
    Changed,
    Other,
}

fn owner(path: &Path, content: &Content) -> io::Result<Owner> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Owner::Nobody),
        Err(error) => return Err(error),
        Ok(metadata) => metadata,
    };
    if !metadata.is_file() {
        return Ok(Owner::Other);
    }
    let mut file = std::fs::File::open(path)?;
    let ours = match content {
        Content::Weights(_) => {
            let mut start = Vec::new();
            file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
            start == MAGIC
        }
        Content::Example(_) => {
            let mut text = Vec::new();
            file.take(1 << 20).read_to_end(&mut text)?;
            return Ok(example_owner(&String::from_utf8_lossy(&text)));
        }
        Content::Text(_) | Content::Object => contains(&mut file, ANY)?,
    };
    Ok(if ours { Owner::Ours } else { Owner::Other })
}

/// Whether a file has these bytes anywhere, read by pieces.
fn contains(file: &mut impl Read, wanted: &[u8]) -> io::Result<bool> {
    let mut buffer = Vec::new();
    loop {
        let keep = buffer.len().saturating_sub(wanted.len() - 1);
        buffer.drain(..keep);
        if file.by_ref().take(1 << 20).read_to_end(&mut buffer)? == 0 {
            return Ok(false);
        }
        if memchr(&buffer, wanted) {
            return Ok(true);
        }
    }
}

fn memchr(text: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else { return true };
    let starts = text.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.into_iter().any(|(i, _)| text[i..].starts_with(wanted))
}

/// The example with its first line.
fn with_mark(text: &str) -> String {
    format!("/* {EXAMPLE}{MARK}, {:016x} */\n{text}", hash(text.as_bytes()))
}

fn example_owner(text: &str) -> Owner {
    let Some((first, rest)) = text.split_once('\n') else { return Owner::Other };
    if !first.contains(&String::from_utf8_lossy(ANY).into_owned()) {
        return Owner::Other;
    }
    let own = format!("{:016x} */", hash(rest.as_bytes()));
    if first.trim_end().ends_with(&own) { Owner::Ours } else { Owner::Changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_know_whether_they_were_changed() {
        let text = with_mark("int main(void) { return 0; }\n");
        assert_eq!(example_owner(&text), Owner::Ours);
        assert_eq!(example_owner(&text.replace("return 0", "return 1")), Owner::Changed);
        assert_eq!(example_owner("int main(void) { return 0; }\n"), Owner::Other);
        assert_eq!(example_owner(""), Owner::Other);
    }

    #[test]
    fn marks_are_found_across_pieces() {
        let mut bytes = vec![b'w'; (1 << 20) - 7];
        bytes.extend(ANY);
        assert!(contains(&mut &bytes[..], ANY).unwrap());
        bytes.pop();
        assert!(!contains(&mut &bytes[..], ANY).unwrap());
        assert!(!contains(&mut &[][..], ANY).unwrap());
    }
}
