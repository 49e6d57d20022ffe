//! Safetensors files, memory-mapped: one, or several with an index.
//!
//! A file is the length of its header (8 bytes, little-endian), the header (a JSON object: name to
//! type, shape and byte range), and the tensors' bytes. Nothing in the header is believed before it
//! is checked against the length of the file.
//!
//! The `safetensors` crate reads headers in the tests alone, as a second opinion: its errors do not say
//! which tensor is cut short or of another length, it takes the last of two tensors of one name, and
//! it refuses a whole file for one tensor of a type that it does not know, which here may be left out.

use super::entries::Entries;
use super::index::{self, Index};
use super::shown::shown;
use super::{WeightsError, foreign};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use memmap2::Mmap;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Longest header that is read: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Longest `config.json` that is read.
const MAX_CONFIG: u64 = 1 << 20;

/// Shortest part of a file that is worth telling the system about.
const WORTH_RELEASING: usize = 1 << 16;

/// Most axes of a tensor.
const MAX_AXES: usize = 16;

/// Type of a tensor's elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    F16,
    /// The upper half of a 32-bit floating point number.
    Bf16,
    /// Any other, by the format's name for it: such tensors can only be dropped.
    Other(String),
}

impl Dtype {
    fn read(name: &str) -> Dtype {
        match name {
            "F32" => Dtype::F32,
            "F16" => Dtype::F16,
            "BF16" => Dtype::Bf16,
            other => Dtype::Other(other.to_string()),
        }
    }

    /// Bytes of an element, `None` where they are not known.
    fn size(&self) -> Option<usize> {
        match self {
            Dtype::F32 => Some(4),
            Dtype::F16 | Dtype::Bf16 => Some(2),
            Dtype::Other(name) => match name.as_str() {
                "F64" | "I64" | "U64" | "C64" => Some(8),
                "I32" | "U32" => Some(4),
                "I16" | "U16" => Some(2),
                "I8" | "U8" | "BOOL" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => Some(1),
                _ => None,
            },
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Other(name) => return f.write_str(&shown(name)),
        })
    }
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct FileTensor {
    /// Its name.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Which of the files has it.
    part: usize,
    range: Range<usize>,
}

/// A safetensors file, or several that an index joins. Tensors are read when they are asked for.
pub struct WeightFile {
    path: PathBuf,
    /// The bytes of each file.
    parts: Vec<Mmap>,
    tensors: Vec<FileTensor>,
    by_name: HashMap<String, usize>,
    metadata: BTreeMap<String, String>,
    config: PathBuf,
}

impl fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeightFile({}, {} tensors)", self.path.display(), self.tensors.len())
    }
}

impl WeightFile {
    /// Opens a file and checks its header; for an index (`model.safetensors.index.json`) all files
    /// that it names, which are beside it.
    ///
    /// # Errors
    /// A file cannot be read, is of another format (with advice), or contradicts itself; an index
    /// and its files do not agree.
    pub fn open(path: impl AsRef<Path>) -> Result<WeightFile, WeightsError> {
        let path = path.as_ref();
        let mut whole = WeightFile {
            path: path.to_path_buf(),
            parts: Vec::new(),
            tensors: Vec::new(),
            by_name: HashMap::new(),
            metadata: BTreeMap::new(),
            config: path.with_file_name("config.json"),
        };
        let map = map(path)?;
        if index::is_index(path) && foreign::is_text(&map[..map.len().min(64)]) {
            drop(map);
            whole.join(path)?;
        } else {
            let (tensors, metadata) = read(path, &map)?;
            whole.metadata = metadata;
            whole.take(map, tensors, None)?;
        }
        Ok(whole)
    }

    /// Opens the files of an index.
    fn join(&mut self, path: &Path) -> Result<(), WeightsError> {
        let broken = |message| WeightsError::Broken { path: path.to_path_buf(), message };
        let index = Index::read(path).map_err(broken)?;
        for shard in &index.shards {
            let place = path.with_file_name(shard);
            let (map, tensors, metadata) = map(&place)
                .and_then(|map| read(&place, &map).map(|(tensors, about)| (map, tensors, about)))
                .map_err(|error| match error {
                    WeightsError::Read { path: place, message } => WeightsError::Read {
                        path: place,
                        message: format!("{message}; {} names it", path.display()),
                    },
                    other => other,
                })?;
            for (key, text) in metadata {
                self.metadata.entry(key).or_insert(text);
            }
            self.take(map, tensors, Some(&index))?;
        }
        for (tensor, &at) in &index.tensors {
            let missing = match self.find(tensor) {
                Some(found) => self.tensors[found].part != at,
                None => true,
            };
            if missing {
                return Err(broken(format!(
                    "tensor `{}` should be in {}, but is not",
                    shown(tensor),
                    shown(&index.shards[at])
                )));
            }
        }
        Ok(())
    }

    /// Adds a file's tensors.
    fn take(
        &mut self,
        map: Mmap,
        tensors: Vec<FileTensor>,
        index: Option<&Index>,
    ) -> Result<(), WeightsError> {
        let part = self.parts.len();
        for mut tensor in tensors {
            tensor.part = part;
            if let Some(other) = self.by_name.insert(tensor.name.clone(), self.tensors.len()) {
                let shard =
                    |part: usize| index.map_or("".into(), |index| shown(&index.shards[part]));
                return Err(WeightsError::Broken {
                    path: self.path.clone(),
                    message: format!(
                        "tensor `{}` is in {} and in {}",
                        shown(&tensor.name),
                        shard(self.tensors[other].part),
                        shard(part)
                    ),
                });
            }
            self.tensors.push(tensor);
        }
        self.parts.push(map);
        Ok(())
    }

    /// The file's path; for several files that of their index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors, in the order of the files and of their bytes.
    pub fn tensors(&self) -> &[FileTensor] {
        &self.tensors
    }

    /// The index of a tensor.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// What the header says beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Takes another file than the `config.json` beside this one for [`WeightFile::config`].
    #[must_use]
    pub fn with_config(mut self, path: PathBuf) -> WeightFile {
        self.config = path;
        self
    }

    /// What the `config.json` beside the file says, if there is one that can be read.
    pub fn config(&self) -> Option<Json> {
        let about = std::fs::metadata(&self.config).ok()?;
        if !about.is_file() || about.len() > MAX_CONFIG {
            return None;
        }
        serde_json::from_slice(&std::fs::read(&self.config).ok()?).ok()
    }

    /// Rows and columns of the images that the file was made for, if its metadata or the `config.json`
    /// beside it say so: `image_size` (a number or a list), or timm's `img_size` and `input_size`.
    pub fn image_size(&self) -> Option<[usize; 2]> {
        let text = |key: &&str| self.metadata.get(*key);
        if let Some(text) = ["image_size", "img_size"].iter().find_map(text) {
            let sides: Option<Vec<usize>> =
                text.split(['x', ',']).map(|side| side.trim().parse().ok()).collect();
            return last_two(&sides?);
        }
        let config = self.config()?;
        let places =
            ["/image_size", "/model_args/img_size", "/pretrained_cfg/input_size", "/input_size"];
        places.iter().find_map(|place| {
            let value = config.pointer(place)?;
            let side = |value: &Json| value.as_u64().and_then(|side| usize::try_from(side).ok());
            match value.as_array() {
                Some(list) => last_two(&list.iter().map(side).collect::<Option<Vec<_>>>()?),
                None => last_two(&[side(value)?]),
            }
        })
    }

    /// The values of a tensor: borrowed from the file where it holds `f32` at an aligned place.
    /// `None` for other types than f32, f16 and bf16, and for an index that does not exist.
    pub fn values(&self, index: usize) -> Option<Cow<'_, [f32]>> {
        if let Some(values) = self.slice(index) {
            return Some(Cow::Borrowed(values));
        }
        let mut values = vec![0.0; self.len(index)?];
        self.read(index, 0, &mut values);
        Some(Cow::Owned(values))
    }

    /// Number of a tensor's values. `None` as in [`WeightFile::values`].
    pub fn len(&self, index: usize) -> Option<usize> {
        let tensor = self.tensors.get(index)?;
        match tensor.dtype {
            Dtype::F32 => Some(tensor.range.len() / 4),
            Dtype::F16 | Dtype::Bf16 => Some(tensor.range.len() / 2),
            Dtype::Other(_) => None,
        }
    }

    /// The values of a tensor where the file holds them as `f32` at an aligned place.
    pub fn slice(&self, index: usize) -> Option<&[f32]> {
        let tensor = self.tensors.get(index).filter(|tensor| tensor.dtype == Dtype::F32)?;
        borrowed(self.parts.get(tensor.part)?.get(tensor.range.clone())?)
    }

    /// Copies a tensor's values from index `start` on, widened to `f32`.
    ///
    /// # Panics
    /// When it has not as many, or has none by [`WeightFile::len`].
    pub fn read(&self, index: usize, start: usize, out: &mut [f32]) {
        let tensor = &self.tensors[index];
        let bytes = &self.parts[tensor.part][tensor.range.clone()];
        match tensor.dtype {
            Dtype::F32 => {
                let quads = bytes[start * 4..(start + out.len()) * 4].as_chunks().0;
                out.iter_mut().zip(quads).for_each(|(v, quad)| *v = f32::from_le_bytes(*quad));
            }
            Dtype::F16 => widen(&bytes[start * 2..], out, |bits, out| {
                bits.reinterpret_cast::<half::f16>().convert_to_f32_slice(out);
            }),
            Dtype::Bf16 => widen(&bytes[start * 2..], out, |bits, out| {
                bits.reinterpret_cast::<half::bf16>().convert_to_f32_slice(out);
            }),
            Dtype::Other(_) => panic!("values of type {} cannot be read", tensor.dtype),
        }
    }

    /// Lets the system take a tensor's part of the file out of this process's memory until it is read
    /// again.
    pub fn release(&self, index: usize) {
        let Some(tensor) = self.tensors.get(index) else { return };
        #[cfg(unix)]
        if tensor.range.len() >= WORTH_RELEASING {
            // SAFETY: the map is of a file and never written, so a page that is dropped has the same
            // bytes when it is read again. It is advice: whether it is taken does not matter.
            let _ = unsafe {
                self.parts[tensor.part].unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    tensor.range.start,
                    tensor.range.len(),
                )
            };
        }
    }
}

/// Widens little-endian halves; `bytes` may go on.
fn widen(bytes: &[u8], out: &mut [f32], convert: impl Fn(&[u16], &mut [f32])) {
    let mut bits = [0u16; 512];
    for (out, bytes) in out.chunks_mut(bits.len()).zip(bytes.chunks(2 * bits.len())) {
        let bits = &mut bits[..out.len()];
        for (bits, pair) in bits.iter_mut().zip(bytes.as_chunks().0) {
            *bits = u16::from_le_bytes(*pair);
        }
        convert(bits, out);
    }
}

/// Maps a file's bytes.
fn map(path: &Path) -> Result<Mmap, WeightsError> {
    let read = |message: String| WeightsError::Read { path: path.to_path_buf(), message };
    let file = File::open(path).map_err(|error| read(error.to_string()))?;
    let about = file.metadata().map_err(|error| read(error.to_string()))?;
    if !about.is_file() {
        return Err(read("this is no regular file; give the path of a safetensors file".into()));
    }
    if about.len() == 0 {
        return Err(read("the file is empty".into()));
    }
    // SAFETY: the map is only read. Its bytes are checked each time they are interpreted (any bits
    // make a float), so a file that another program changes meanwhile gives other numbers; a
    // file that is cut short meanwhile ends the process with a bus error, as in every program
    // that maps files.
    unsafe { Mmap::map(&file) }.map_err(|error| read(error.to_string()))
}

/// What a file's header says.
fn read(path: &Path, bytes: &[u8]) -> Result<Parsed, WeightsError> {
    let start = &bytes[..bytes.len().min(64)];
    let other = |advice| WeightsError::Foreign { path: path.to_path_buf(), advice };
    if let Some(advice) = foreign::advice(path, start, false) {
        return Err(other(advice));
    }
    parse(bytes).map_err(|message| match foreign::advice(path, start, true) {
        Some(advice) => other(advice),
        None => WeightsError::Broken { path: path.to_path_buf(), message },
    })
}

/// The bytes as the floats that they are, if they are aligned.
fn borrowed(bytes: &[u8]) -> Option<&[f32]> {
    if cfg!(target_endian = "big") {
        return None;
    }
    // SAFETY: every pattern of four bytes is an `f32`; `align_to` sees to alignment and length.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty()).then_some(values)
}

type Parsed = (Vec<FileTensor>, BTreeMap<String, String>);

/// `[side]`, `[rows, columns]` or `[channels, rows, columns]` as rows and columns.
fn last_two(sides: &[usize]) -> Option<[usize; 2]> {
    match *sides {
        [side] => Some([side, side]),
        [rows, columns] | [_, rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or("the file is too short for a safetensors file (8 bytes and a header)")?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!(
            "this is no safetensors file: its header would have {length} bytes, at most \
             {MAX_HEADER} are allowed"
        ));
    }
    // At most 10^8: it fits.
    let length = length as usize;
    if length > rest.len() {
        return Err(format!(
            "the file is cut short, or no safetensors file: its header has {length} bytes, {} follow",
            rest.len()
        ));
    }
    let (header, data) = rest.split_at(length);
    let entries: Entries = serde_json::from_slice(header).map_err(|error| {
        let what = if error.is_data() { "no object of tensors" } else { "no sound JSON" };
        format!("this is no safetensors file: its header is {what} ({})", shown(&error.to_string()))
    })?;
    let mut tensors: Vec<FileTensor> = Vec::new();
    let mut metadata = BTreeMap::new();
    for (name, entry) in entries.0 {
        if name == "__metadata__" {
            let pairs = entry.as_object().into_iter().flatten();
            metadata.extend(
                pairs.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_string()))),
            );
            continue;
        }
        let tensor = read_entry(&name, &entry, data.len())
            .map_err(|message| format!("tensor `{}`: {message}", shown(&name)))?;
        tensors.push(tensor);
    }
    check(&mut tensors, data.len())?;
    let at = 8 + length;
    for tensor in &mut tensors {
        tensor.range = tensor.range.start + at..tensor.range.end + at;
    }
    Ok((tensors, metadata))
}

fn read_entry(name: &str, entry: &Json, available: usize) -> Result<FileTensor, String> {
    let whole = |value: &Json| value.as_u64().and_then(|whole| usize::try_from(whole).ok());
    let wholes = |key: &str| -> Option<Vec<usize>> {
        entry.get(key)?.as_array()?.iter().map(whole).collect()
    };
    let dtype = entry.get("dtype").and_then(Json::as_str).ok_or("its entry has no `dtype`")?;
    let dtype = Dtype::read(dtype);
    let shape = wholes("shape").ok_or("its `shape` is no list of whole numbers")?;
    if shape.len() > MAX_AXES {
        return Err(format!("it has {} axes, at most {MAX_AXES} make sense", shape.len()));
    }
    let offsets = wholes("data_offsets").ok_or("its `data_offsets` are no whole numbers")?;
    let [start, end] = offsets[..] else {
        return Err("its `data_offsets` are not two numbers".into());
    };
    if start > end {
        return Err(format!("its bytes end ({end}) before they start ({start})"));
    }
    if end > available {
        return Err(format!(
            "its bytes end at {end}, the file has {available}: it is cut short, perhaps a download \
             that was broken off"
        ));
    }
    if let Some(size) = dtype.size() {
        let wanted = shape.iter().try_fold(size, |product, &side| product.checked_mul(side));
        if wanted != Some(end - start) {
            return Err(format!(
                "a shape of {shape:?} in {dtype} does not take {} bytes",
                end - start
            ));
        }
    }
    Ok(FileTensor { name: name.to_string(), dtype, shape, part: 0, range: start..end })
}

/// Sorts the tensors by their bytes; no name twice, no byte in two tensors or in none.
fn check(tensors: &mut [FileTensor], available: usize) -> Result<(), String> {
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("tensor `{}` is there twice", shown(pair[0])));
    }
    tensors.sort_by_key(|tensor| (tensor.range.start, tensor.range.end));
    let mut at = 0;
    let mut before = "";
    for tensor in tensors.iter() {
        if tensor.range.start < at {
            let (before, after) = (shown(before), shown(&tensor.name));
            return Err(format!("tensors `{before}` and `{after}` overlap"));
        }
        if tensor.range.start > at {
            let gap = tensor.range.start - at;
            let name = shown(&tensor.name);
            return Err(format!("{gap} bytes before tensor `{name}` belong to none"));
        }
        at = tensor.range.end;
        before = &tensor.name;
    }
    if at != available {
        return Err(format!("{} bytes after the last tensor belong to none", available - at));
    }
    Ok(())
}
