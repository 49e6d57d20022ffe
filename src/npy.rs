//! NumPy's `.npy` files: `f32` arrays in and out.
//!
//! The format is a magic word, a version, the length of a header, the header (a Python dictionary
//! in text: type, order, shape), and the elements. Files come from anywhere, so every number of the
//! header is checked against the length of the file before it is used.
//!
//! The `npyz` crate is not used: it takes memory for a header as long as the file claims (up to 4
//! GiB), multiplies the axes of a shape unchecked, and repeats a damaged header whole in its message.

use crate::file::{self, FileError};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use thiserror::Error;

/// A dense array, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of the axes, outermost first.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: Vec<f32>,
}

/// Why an array cannot be read.
#[derive(Debug, Error)]
pub enum NpyError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is no `.npy` file.
    #[error("not a NumPy array (.npy): {0}")]
    Format(String),
    /// Its elements are of another type.
    #[error(
        "its elements are `{0}`, not 32-bit floats: save it with numpy.save(path, \
         x.astype(\"float32\"))"
    )]
    Type(String),
    /// Its length is not that of its shape.
    #[error(
        "the shape {shape:?} needs {needed} bytes of data, the file has {found}: it is cut off or \
         damaged"
    )]
    Length {
        /// The shape.
        shape: Vec<u64>,
        /// Bytes of data that the shape asks for.
        needed: u128,
        /// Bytes of data.
        found: u64,
    },
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header in bytes; NumPy's own are below 200.
const MAX_HEADER: u64 = 64 << 10;

/// Reads an array of `f32`, or of `f64` (which is rounded), in C or Fortran order.
///
/// # Errors
/// A file that is no array, whose elements are of another type, or that is shorter or longer than
/// its shape says; all before memory for the elements is taken.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(NpyError::Format("it is not a regular file".into()));
    }
    let (text, begin) = header(&mut file)?;
    let header =
        Header::parse(&text).ok_or_else(|| NpyError::Format("its header is damaged".into()))?;
    let (size, big_endian) = match header.descr.as_str() {
        "'<f4'" => (4, false),
        "'>f4'" => (4, true),
        "'<f8'" => (8, false),
        "'>f8'" => (8, true),
        other => return Err(NpyError::Type(other.trim_matches('\'').to_string())),
    };
    let found = metadata.len().saturating_sub(begin);
    let elements =
        header.shape.iter().try_fold(1u128, |product, &axis| product.checked_mul(axis.into()));
    let needed = elements.and_then(|n| n.checked_mul(size)).unwrap_or(u128::MAX);
    if needed != u128::from(found) {
        return Err(NpyError::Length { shape: header.shape, needed, found });
    }
    let mut bytes = Vec::new();
    file.take(found).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != found {
        // Someone cut it between the look at its length and the reading.
        return Err(NpyError::Length { shape: header.shape, needed, found: bytes.len() as u64 });
    }
    let data = match (size, big_endian) {
        (4, false) => decode(&bytes, f32::from_le_bytes),
        (4, true) => decode(&bytes, f32::from_be_bytes),
        (_, false) => decode(&bytes, |bytes: [u8; 8]| f64::from_le_bytes(bytes) as f32),
        (_, true) => decode(&bytes, |bytes: [u8; 8]| f64::from_be_bytes(bytes) as f32),
    };
    // An array without elements may have one absurdly long axis beside the empty one.
    let shape: Result<Vec<usize>, _> =
        header.shape.iter().map(|&axis| usize::try_from(axis)).collect();
    let shape = shape.map_err(|_| NpyError::Format("its shape is damaged".into()))?;
    let data = if header.fortran { from_fortran(&shape, &data) } else { data };
    Ok(Array { shape, data })
}

fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| value(chunk)).collect()
}

/// The header's text, and where the data begin.
fn header(file: &mut File) -> Result<(String, u64), NpyError> {
    let short = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => NpyError::Format("it is too short".into()),
        _ => NpyError::Read(error),
    };
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(short)?;
    if !start.starts_with(MAGIC) {
        let what = match start.starts_with(b"PK") {
            true => "it is an .npz archive; save one array with numpy.save",
            false => "it does not begin like one",
        };
        return Err(NpyError::Format(what.into()));
    }
    let mut length = [0; 4];
    let digits = match start[6] {
        1 => 2,
        2 | 3 => 4,
        other => return Err(NpyError::Format(format!("version {other} of the format is unknown"))),
    };
    file.read_exact(&mut length[..digits]).map_err(short)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > MAX_HEADER {
        return Err(NpyError::Format(format!("its header claims to be {length} bytes long")));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(short)?;
    let text =
        String::from_utf8(text).map_err(|_| NpyError::Format("its header is not text".into()))?;
    Ok((text, 8 + digits as u64 + length))
}

struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }`; keys in any order.
    fn parse(text: &str) -> Option<Header> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':')?;
            let (value, after) = split_value(after);
            match key.trim() {
                "'descr'" => descr = Some(value.to_string()),
                "'fortran_order'" => {
                    fortran = Some(match value {
                        "True" => true,
                        "False" => false,
                        _ => return None,
                    });
                }
                "'shape'" => {
                    let axes = value.strip_prefix('(')?.strip_suffix(')')?;
                    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
                    shape = Some(axes.map(|axis| axis.parse().ok()).collect::<Option<_>>()?);
                }
                _ => return None,
            }
            rest = after.trim();
        }
        Some(Header { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

/// A value up to the comma that is inside no brackets, and what follows that.
fn split_value(text: &str) -> (&str, &str) {
    let mut depth = 0i64;
    let end = text.find(|letter| {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    match end {
        Some(end) => (text[..end].trim(), &text[end + 1..]),
        None => (text.trim(), ""),
    }
}

/// Column-major to row-major.
fn from_fortran(shape: &[usize], data: &[f32]) -> Vec<f32> {
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(data.len());
    for _ in 0..data.len() {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &length)| at * length + i);
        out.push(data[at]);
        for (i, &length) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < length {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// Writes an array, all of it or nothing (see [`file::write`]).
///
/// # Errors
/// When the file cannot be written; then a file that was there before is as it was.
///
/// # Panics
/// When `data` has not as many elements as `shape` says (a programming error).
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<(), FileError> {
    assert_eq!(shape.iter().product::<usize>(), data.len(), "array of shape {shape:?}");
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let axes = match shape.len() {
        1 => axes.trim_end(),
        _ => axes.trim_end_matches(", "),
    };
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({axes}), }}");
    // NumPy aligns the data to 64 bytes and ends the header with a line break.
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    file::write(path, |file| {
        let mut out = BufWriter::new(file);
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        // Some thousand axes would be needed for a header that 16 bits cannot count.
        let length = u16::try_from(header.len()).map_err(std::io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for value in data {
            out.write_all(&value.to_le_bytes())?;
        }
        out.flush()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn header(text: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        for shape in [vec![], vec![3], vec![2, 3, 1], vec![0, 4]] {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 - 0.5).collect();
            write(&path, &shape, &data).unwrap();
            assert_eq!(read(&path).unwrap(), Array { shape, data });
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_bytes_are_numpys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        write(&path, &[1], &[1.0]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        // numpy.save(path, numpy.ones(1, "float32"))
        let mut expected = b"\x93NUMPY\x01\0v\0".to_vec();
        expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }");
        expected.resize(127, b' ');
        expected.extend(b"\n\0\0\x80?");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn fortran_order_and_other_floats() {
        let mut bytes = header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }");
        for value in [1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0] {
            bytes.extend(value.to_le_bytes());
        }
        let array = read(file(&bytes).path()).unwrap();
        assert_eq!(array.data, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut bytes = header("{'shape': (1,), 'descr': '>f8', 'fortran_order': False}");
        bytes.extend(2.5f64.to_be_bytes());
        assert_eq!(read(file(&bytes).path()).unwrap().data, [2.5]);
    }

    #[test]
    fn dishonest_files() {
        let mut errors = Vec::new();
        for bytes in [
            b"".to_vec(),
            b"hello world".to_vec(),
            b"PK\x03\x04 and so on".to_vec(),
            b"\x93NUMPY\x09\0\0\0".to_vec(),
            b"\x93NUMPY\x02\0\xff\xff\xff\xff{".to_vec(),
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 9999999999), }"),
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"),
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2), }"),
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }"),
            header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"),
            header("{'descr': '<f4'"),
            header("{'descr': '<f4', 'shape': ()}"),
        ] {
            errors.push(read(file(&bytes).path()).unwrap_err().to_string());
        }
        insta::assert_snapshot!(errors.join("\n"));
    }
}
