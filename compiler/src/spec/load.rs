//! Finding and reading the files of a spec.

use super::{Spec, builtin};
use crate::expand::codes;
use crate::names::near_miss;
use netwright_grammar::ast::{File, Name};
use netwright_grammar::{Diagnostic, Sources};
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use thiserror::Error;

/// Largest spec file in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// Most files that one spec may use.
const MAX_FILES: usize = 100;

/// Why a spec could not be read at all. What is wrong *in* a spec is in [`Spec::diagnostics`].
#[derive(Debug, Error)]
#[error("{message}")]
pub struct LoadError {
    /// What happened and what to do about it.
    pub message: String,
}

/// Splits `efficientnet:b3` or `specs/mine.arch:xs` into the spec and the variant.
pub fn split_variant(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        // `C:\nets\mine.arch` has no variant, nor has the name of a file that contains a colon.
        Some((spec, variant))
            if !(spec.is_empty()
                || variant.contains(['/', '\\'])
                || variant.ends_with(".arch") && Path::new(reference).exists()) =>
        {
            (spec, Some(variant))
        }
        _ => (reference, None),
    }
}

enum Origin {
    Builtin,
    Path(PathBuf),
}

impl Spec {
    /// Loads a built-in spec by name (`mobilenet_v2`, `road/03_depthwise`), or a file by path; a variant may follow after
    /// a colon. Files named by `use` are loaded with it, `std.arch` always.
    ///
    /// # Errors
    /// A name that is neither a built-in spec nor a file; a file that cannot be read, is larger than
    /// [`MAX_FILE`] or is not UTF-8. Mistakes in the text of the spec are no errors here: they are in
    /// [`Spec::diagnostics`], and every expansion reports them.
    pub fn load(reference: &str) -> Result<Spec, LoadError> {
        let (name, variant) = split_variant(reference);
        let variant = variant.map(str::to_string);
        let is_file_name = Path::new(name).extension().is_some_and(|e| e == "arch");
        if !is_file_name && let Some(text) = builtin::builtin_text(name) {
            let label = format!("{name}.arch");
            return Ok(assemble(name, variant, label, text.to_string(), &Origin::Builtin));
        }
        let path = Path::new(name);
        let known = builtin::builtin_names();
        // `road/gelu` may mean a built-in spec of a folder, `nets/gelu` only a file.
        let in_known_folder = |(folder, _): (&str, &str)| {
            known.iter().any(|name| name.split_once('/').is_some_and(|(known, _)| known == folder))
        };
        let may_be_builtin = !is_file_name
            && !name.contains('\\')
            && name.split_once('/').is_none_or(in_known_folder);
        if may_be_builtin && !path.exists() {
            let near = match near_miss(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? "),
                None => String::new(),
            };
            return Err(LoadError {
                message: format!(
                    "there is no built-in spec `{name}` and no such file: {near}the built-in specs \
                     are {}",
                    builtin::builtin_list()
                ),
            });
        }
        let text = read(path)?;
        Ok(assemble(name, variant, name.to_string(), text, &Origin::Path(path.to_path_buf())))
    }

    /// A spec of a text that is already there. `use` finds files relative to the working directory.
    pub fn from_text(name: &str, text: &str) -> Spec {
        let (spec, variant) = split_variant(name);
        let origin = Origin::Path(PathBuf::from(spec));
        assemble(spec, variant.map(str::to_string), spec.to_string(), text.to_string(), &origin)
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    let shown = path.display();
    let fail = |why: String| LoadError { message: format!("cannot read `{shown}`: {why}") };
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    let kind = file.metadata().map_err(|error| fail(error.to_string()))?;
    if kind.is_dir() {
        return Err(fail("it is a folder; name the .arch file in it".into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(fail(format!("it is larger than {} KiB; a spec is text", MAX_FILE >> 10)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fail(format!("it is not UTF-8 text (byte {at}); save it as UTF-8"))
    })
}

/// `a/b/../c` as `a/c`, so that one file has one name.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts
}

struct Loader {
    sources: Sources,
    files: Vec<File>,
    origins: Vec<String>,
    uses: Vec<Vec<usize>>,
    open: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
}

impl Loader {
    fn add(&mut self, key: String, label: String, text: String) -> usize {
        let index = self.files.len();
        let (file, diagnostics) = netwright_grammar::parse_file(&mut self.sources, label, text);
        self.files.push(file);
        self.origins.push(key);
        self.uses.push(Vec::new());
        self.diagnostics.extend(diagnostics);
        index
    }

    fn follow(&mut self, index: usize, origin: &Origin) {
        self.open.push(index);
        let wanted = self.files[index].uses.clone();
        for name in wanted {
            if let Err(diagnostic) = self.use_file(index, &name, origin) {
                self.diagnostics.push(*diagnostic);
            }
        }
        self.open.pop();
    }

    fn use_file(
        &mut self,
        from: usize,
        name: &Name,
        origin: &Origin,
    ) -> Result<(), Box<Diagnostic>> {
        let error = |message: String| Box::new(Diagnostic::error(codes::USE, name.span, message));
        let stem = name.text.strip_suffix(".arch").unwrap_or(&name.text);
        let near = match origin {
            Origin::Path(path) => {
                let beside = path.parent().unwrap_or(Path::new("")).join(&name.text);
                Some(normal(&beside))
            }
            Origin::Builtin => None,
        };
        let builtin = builtin::builtin_text(stem);
        let (key, label, text, inner) = match near {
            Some(path) if builtin.is_none() || path.exists() => {
                let text = read(&path).map_err(|cause| {
                    Box::new(
                        Diagnostic::error(codes::USE, name.span, cause.message)
                            .help("the path is relative to the file that says `use`"),
                    )
                })?;
                (path.display().to_string(), path.display().to_string(), text, Origin::Path(path))
            }
            _ => match builtin {
                Some(text) => (
                    format!("builtin {stem}"),
                    format!("{stem}.arch"),
                    text.into(),
                    Origin::Builtin,
                ),
                None => return Err(error(format!("there is no built-in file `{}`", name.text))),
            },
        };
        if let Some(known) = self.origins.iter().position(|origin| *origin == key) {
            if self.open.contains(&known) {
                let circle = match known == from {
                    true => "a file cannot use itself".to_string(),
                    false => format!("`{}` uses this file itself", name.text),
                };
                return Err(Box::new(
                    Diagnostic::error(codes::USE, name.span, circle)
                        .help("move what both need into a third file"),
                ));
            }
            self.uses[from].push(known);
            return Ok(());
        }
        if self.files.len() >= MAX_FILES {
            return Err(error(format!("a spec may use {MAX_FILES} files")));
        }
        let index = self.add(key, label, text);
        self.uses[from].push(index);
        self.follow(index, &inner);
        Ok(())
    }
}

fn assemble(
    name: &str,
    variant: Option<String>,
    label: String,
    text: String,
    origin: &Origin,
) -> Spec {
    let mut loader = Loader {
        sources: Sources::default(),
        files: Vec::new(),
        origins: Vec::new(),
        uses: Vec::new(),
        open: Vec::new(),
        diagnostics: Vec::new(),
    };
    let key = match origin {
        Origin::Builtin => format!("builtin {name}"),
        Origin::Path(path) => normal(path).display().to_string(),
    };
    let main = loader.add(key, label, text);
    loader.follow(main, origin);
    let std = match loader.origins.iter().position(|origin| origin == "builtin std") {
        Some(known) => Some(known),
        None => builtin::builtin_text("std")
            .map(|text| loader.add("builtin std".into(), "std.arch".into(), text.to_string())),
    };
    let mut spec = Spec {
        name: name.to_string(),
        variant,
        sources: loader.sources,
        files: loader.files,
        diagnostics: loader.diagnostics,
        blocks: Vec::new(),
        keys: Vec::new(),
        visible: Vec::new(),
    };
    spec.index(&loader.uses, std);
    spec
}
