//! The file that choices are remembered in.
//!
//! ```json
//! {
//!   "about": "what `netwright tune` measured; delete it to forget",
//!   "format": 1,
//!   "netwright": "0.1.0",
//!   "cpu": {"id": "AuthenticAMD-25-1-1", "name": "AMD EPYC 7B13"},
//!   "choices": [
//!     {"layers": "conv_3x3_1x56x56x64_to_56x56x64_relu padded 1x1", "instructions": "avx2", "threads": null,
//!      "answer": "winograd 4", "ms": 0.95, "estimated": "plain", "estimated_ms": 2.4}
//!   ]
//! }
//! ```
//!
//! Answers are possible ways to compute a layer, and the planner checks them again: whatever the file says, no wrong
//! code comes of it.

use super::Cpu;
use crate::error::Error;
use crate::file;
use netwright_compiler::plan::{Answer, Choices, Measured};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use thiserror::Error as ThisError;

/// Version of the file's form.
const FORMAT: u64 = 1;
/// Version of the program: another one has other kernels.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most bytes of a file that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Longest time of a layer that is believed, in milliseconds.
const MAX_MS: f64 = 1e7;

/// Why remembered choices can't be used.
#[derive(Debug, ThisError)]
pub enum StoreError {
    /// The file cannot be read.
    #[error("cannot read the choices in `{}`: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is no such file, or damaged.
    #[error(
        "`{}` has no choices that can be read: {cause}; delete it, or measure again with `netwright tune`, which \
         replaces it", path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        cause: String,
    },
    /// Another version of the program wrote it.
    #[error(
        "the choices in `{}` were measured by netwright {found}, and this is {VERSION} with other kernels: measure \
         again with `netwright tune`", path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version that wrote it.
        found: String,
    },
    /// It was measured on another CPU.
    #[error(
        "the choices in `{}` were measured on {found}, and this is {own}: measure again with `netwright tune`",
        path.display()
    )]
    OtherCpu {
        /// The file.
        path: PathBuf,
        /// The CPU that it is of.
        found: String,
        /// This CPU.
        own: String,
    },
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Compile(error.to_string())
    }
}

/// Whose answer an entry is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The question's key.
    pub layers: String,
    /// Which instructions the code has, as [`super::instructions`] calls them.
    pub instructions: String,
    /// For how many threads; `None`: for all numbers.
    pub threads: Option<usize>,
}

/// Remembered choices.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    cpu: Cpu,
    entries: BTreeMap<Entry, Measured>,
}

/// The file for this CPU, whether it is there or not: in the folder `tune` of the folder that the variable
/// `NETWRIGHT_CACHE` names, else of `netwright` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`). `None` if
/// there is no home folder either.
pub fn default_path() -> Option<PathBuf> {
    let folder = folder(|name| std::env::var_os(name), std::env::home_dir())?;
    Some(folder.join(format!("{}.json", Cpu::host().id)))
}

fn folder(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("NETWRIGHT_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("netwright")))
        .or_else(|| Some(home?.join(".cache").join("netwright")))?;
    Some(cache.join("tune"))
}

impl Store {
    /// An empty one.
    pub fn new(cpu: Cpu) -> Store {
        Store { cpu, entries: BTreeMap::new() }
    }

    /// Reads a file; nothing if there is none. With `cpu`, it has to be of that one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn read(path: &Path, cpu: Option<&Cpu>) -> Result<Option<Store>, StoreError> {
        let unreadable = |cause| StoreError::Unreadable { path: path.into(), cause };
        let text = match read_text(path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A part of the path is a file: there is nothing below it.
            Err(cause) if cause.kind() == io::ErrorKind::NotADirectory => return Ok(None),
            result => result.map_err(unreadable)?,
        };
        let broken = |cause| StoreError::Broken { path: path.into(), cause };
        let value: Value = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
        let found = version(&value).map_err(broken)?;
        if found != VERSION {
            return Err(StoreError::OtherVersion { path: path.into(), found });
        }
        let store = parse(&value).map_err(broken)?;
        if let Some(own) = cpu.filter(|cpu| cpu.id != store.cpu.id) {
            return Err(StoreError::OtherCpu {
                path: path.into(),
                found: store.cpu.to_string(),
                own: own.to_string(),
            });
        }
        Ok(Some(store))
    }

    /// The CPU that it is of.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The choices for code with these instructions on so many threads.
    pub fn choices(&self, instructions: &str, threads: usize) -> Choices {
        let fits = |entry: &Entry| {
            entry.instructions == instructions && entry.threads.is_none_or(|n| n == threads)
        };
        let fitting = self.entries.iter().filter(|(entry, _)| fits(entry));
        fitting.map(|(entry, measured)| (entry.layers.clone(), *measured)).collect()
    }

    /// Remembers choices that were measured with these instructions on so many threads, instead of what was known of
    /// the same layers.
    pub fn add(&mut self, choices: &Choices, instructions: &str, threads: usize) {
        for (layers, measured) in choices.iter() {
            // An answer that changes bits is the same for all numbers of threads.
            let threads = (!measured.answer.changes_bits()).then_some(threads);
            let (layers, instructions) = (layers.to_string(), instructions.to_string());
            self.entries.insert(Entry { layers, instructions, threads }, *measured);
        }
    }

    /// Writes a file, whole or not at all; its folder is made if it is not there.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |cause: &dyn std::fmt::Display| {
            Error::Compile(format!("cannot remember choices in `{}`: {cause}", path.display()))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        file::write(path, |out| out.write_all(self.text().as_bytes()))
            .map_err(|error| failed(&error.cause))
    }

    /// The file's text: an entry a line.
    fn text(&self) -> String {
        let head = json!({
            "about": "what `netwright tune` measured; delete it to forget",
            "format": FORMAT,
            "netwright": VERSION,
            "cpu": { "id": self.cpu.id, "name": self.cpu.name },
        });
        let ms = |seconds: f64| (seconds * 1e9).round() / 1e6;
        let entries = self.entries.iter().map(|(entry, measured)| {
            json!({
                "layers": entry.layers,
                "instructions": entry.instructions,
                "threads": entry.threads,
                "answer": measured.answer.to_string(),
                "ms": ms(measured.seconds),
                "estimated": measured.model.to_string(),
                "estimated_ms": ms(measured.model_seconds),
            })
            .to_string()
        });
        let lines: Vec<String> = entries.collect();
        let head = head.to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        format!("{head},\"choices\":[\n{}\n]}}\n", lines.join(",\n"))
    }
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other(format!("it has more than {} MiB", MAX_BYTES >> 20))),
        false => Ok(text),
    }
}

/// The version of the program that wrote a file.
fn version(value: &Value) -> Result<String, String> {
    let version = value.get("netwright").and_then(Value::as_str);
    let version = version.ok_or("it does not say which netwright wrote it")?;
    Ok(version.chars().filter(|c| !c.is_control()).take(40).collect())
}

fn parse(value: &Value) -> Result<Store, String> {
    match value.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => {}
        _ => return Err(format!("its `format` is not {FORMAT}")),
    }
    let text = |value: &Value, name: &str| match value.get(name).and_then(Value::as_str) {
        Some(text) => Ok(text.to_string()),
        None => Err(format!("`{name}` is no text")),
    };
    let cpu = value.get("cpu").ok_or("there is no `cpu`")?;
    let cpu = Cpu { id: text(cpu, "id")?, name: text(cpu, "name")? };
    let list = value.get("choices").and_then(Value::as_array).ok_or("there are no `choices`")?;
    let mut store = Store::new(cpu);
    for (number, one) in list.iter().enumerate() {
        let answer = |name: &str| {
            let text = text(one, name)?;
            text.parse::<Answer>().map_err(|()| format!("`{text}` is no answer"))
        };
        let seconds = |name: &str| match one.get(name).and_then(Value::as_f64) {
            Some(ms) if (0.0..=MAX_MS).contains(&ms) => Ok(ms * 1e-3),
            _ => Err(format!("`{name}` is no time")),
        };
        let entry = || {
            let threads = match one.get("threads") {
                None | Some(Value::Null) => None,
                Some(n) => {
                    let n = n.as_u64().and_then(|n| usize::try_from(n).ok());
                    Some(n.ok_or("`threads` is no number")?)
                }
            };
            let entry = Entry {
                layers: text(one, "layers")?,
                instructions: text(one, "instructions")?,
                threads,
            };
            let measured = Measured {
                answer: answer("answer")?,
                seconds: seconds("ms")?,
                model: answer("estimated")?,
                model_seconds: seconds("estimated_ms")?,
            };
            Ok((entry, measured))
        };
        let (entry, measured) =
            entry().map_err(|cause: String| format!("choice {}: {cause}", number + 1))?;
        store.entries.insert(entry, measured);
    }
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(id: &str) -> Cpu {
        Cpu { id: id.into(), name: format!("CPU {id}") }
    }

    fn some() -> Store {
        let measured =
            |answer, model| Measured { answer, seconds: 1.25e-3, model, model_seconds: 1.5e-3 };
        let first = Answer::DepthFirst { stages: 3, rows: 7 };
        let choices = [
            ("a then b".to_string(), measured(first, Answer::Alone)),
            ("c".to_string(), measured(Answer::Winograd(4), Answer::Plain)),
        ];
        let mut store = Store::new(cpu("a"));
        store.add(&choices.into_iter().collect(), "avx2", 2);
        store
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.json");
        assert_eq!(Store::read(&path, None).unwrap(), None);
        some().write(&path).unwrap();
        assert_eq!(Store::read(&path, Some(&cpu("a"))).unwrap(), Some(some()));
        let text = std::fs::read_to_string(&path).unwrap();
        insta::assert_snapshot!(text.replace(VERSION, "VERSION"), @r#"
        {"about":"what `netwright tune` measured; delete it to forget","format":1,"netwright":"VERSION","cpu":{"id":"a","name":"CPU a"},"choices":[
        {"layers":"a then b","instructions":"avx2","threads":2,"answer":"depth first 3 by 7","ms":1.25,"estimated":"alone","estimated_ms":1.5},
        {"layers":"c","instructions":"avx2","threads":null,"answer":"winograd 4","ms":1.25,"estimated":"plain","estimated_ms":1.5}
        ]}
        "#);
    }

    #[test]
    fn choices_are_for_instructions_and_threads() {
        let keys = |instructions: &str, threads: usize| {
            let choices = some().choices(instructions, threads);
            choices.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(keys("avx2", 2), ["a then b", "c"]);
        assert_eq!(keys("avx2", 1), ["c"]);
        assert!(keys("avx512", 2).is_empty());
    }

    #[test]
    fn newer_measurements_replace_older_ones() {
        let mut store = some();
        let newer = Measured {
            answer: Answer::Plain,
            seconds: 1.0,
            model: Answer::Plain,
            model_seconds: 1.0,
        };
        store.add(&[("c".to_string(), newer)].into_iter().collect(), "avx2", 1);
        assert_eq!(store.len(), 2);
        assert_eq!(store.choices("avx2", 2).get("c"), Some(&newer));
    }

    #[test]
    fn files_that_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        some().write(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let mut text = String::new();
        for wrong in [
            String::new(),
            "[]".into(),
            good[..good.len() / 2].into(),
            good.replace("\"format\":1", "\"format\":2"),
            good.replace(VERSION, "0.0.1"),
            good.replace("winograd 4", "magic"),
            good.replace("1.25", "-1.25"),
            good.replace("\"threads\":2", "\"threads\":-2"),
            good.replace("\"id\":\"a\"", "\"id\":\"b\""),
            "[".repeat(100_000),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = Store::read(&path, Some(&cpu("a"))).unwrap_err();
            let shown = error.to_string().replace(&path.display().to_string(), "FILE");
            text += &shown.replace(VERSION, "VERSION");
            text.push('\n');
        }
        insta::assert_snapshot!(text, @"
        `FILE` has no choices that can be read: EOF while parsing a value at line 1 column 0; delete it, or measure again with `netwright tune`, which replaces it
        `FILE` has no choices that can be read: it does not say which netwright wrote it; delete it, or measure again with `netwright tune`, which replaces it
        `FILE` has no choices that can be read: EOF while parsing a string at line 2 column 62; delete it, or measure again with `netwright tune`, which replaces it
        `FILE` has no choices that can be read: its `format` is not 1; delete it, or measure again with `netwright tune`, which replaces it
        the choices in `FILE` were measured by netwright 0.0.1, and this is VERSION with other kernels: measure again with `netwright tune`
        `FILE` has no choices that can be read: choice 2: `magic` is no answer; delete it, or measure again with `netwright tune`, which replaces it
        `FILE` has no choices that can be read: choice 1: `ms` is no time; delete it, or measure again with `netwright tune`, which replaces it
        `FILE` has no choices that can be read: choice 1: `threads` is no number; delete it, or measure again with `netwright tune`, which replaces it
        the choices in `FILE` were measured on CPU a (b), and this is CPU a (a): measure again with `netwright tune`
        `FILE` has no choices that can be read: recursion limit exceeded at line 1 column 128; delete it, or measure again with `netwright tune`, which replaces it
        ");
        assert!(matches!(Store::read(folder.path(), None), Err(StoreError::Unreadable { .. })));
        // Whoever asks for a file by its name may take that of another CPU.
        std::fs::write(&path, good.replace("\"id\":\"a\"", "\"id\":\"b\"")).unwrap();
        assert_eq!(Store::read(&path, None).unwrap().map(|store| store.len()), Some(2));
    }

    #[test]
    fn where_the_file_is() {
        let found = |variables: &[(&str, &str)]| {
            let find =
                |name: &str| variables.iter().find(|one| one.0 == name).map(|one| one.1.into());
            folder(find, Some("/home/me".into())).unwrap()
        };
        assert_eq!(found(&[]), Path::new("/home/me/.cache/netwright/tune"));
        assert_eq!(found(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/netwright/tune"));
        let both = [("XDG_CACHE_HOME", "/x"), ("NETWRIGHT_CACHE", "/c")];
        assert_eq!(found(&both), Path::new("/c/tune"));
        assert_eq!(found(&[("NETWRIGHT_CACHE", "")]), Path::new("/home/me/.cache/netwright/tune"));
        assert_eq!(folder(|_| None, None), None);
    }
}
