//! Weights beside the object: a header of 64 bytes, then the packed weights.
//!
//! | bytes | |
//! |---|---|
//! | 0 .. 8 | `NETWRGHT` |
//! | 8 .. 12 | version, 1 |
//! | 12 .. 16 | bytes of the header, 64 |
//! | 16 .. 24 | bytes that follow the header |
//! | 24 .. 32 | [`hash`] of these bytes |
//! | 32 .. 64 | the network's name, cut off, filled with zeros |
//!
//! Numbers are little-endian. The object knows the first 32 bytes and takes no other file.

use crate::validate::Table;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// What the file begins with.
pub const MAGIC: [u8; 8] = *b"NETWRGHT";
/// Version of the format.
pub const VERSION: u32 = 1;

/// Bytes of a row of [`table_rows`].
pub const TABLE_ROW: usize = 32;

/// The first half of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the packed weights.
    pub bytes: usize,
    /// Their [`hash`].
    pub hash: u64,
}

impl Header {
    /// The header of packed weights.
    pub fn of(weights: &[u8]) -> Header {
        Header { bytes: weights.len(), hash: hash(weights) }
    }

    /// As the words that the file begins with.
    pub fn words(&self) -> [u64; 4] {
        let version = u64::from(VERSION) | (HEADER_BYTES as u64) << 32;
        [u64::from_le_bytes(MAGIC), version, self.bytes as u64, self.hash]
    }

    /// The header of a file for that network.
    pub fn to_bytes(self, name: &str) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        for (place, byte) in bytes[32..].iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        bytes
    }
}

/// FNV-1a over 64-bit little-endian words; a rest is filled with zeros. It tells files apart, and is no
/// protection against forgery.
pub fn hash(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = if rest.is_empty() { None } else { Some(&last) };
    words.iter().chain(last).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The index tables as data that the generated code walks: offset, count, stride, limit.
pub(super) fn table_rows(tables: &[Table]) -> Vec<u8> {
    let words = tables.iter().flat_map(|t| [t.offset, t.count, t.stride, t.limit]);
    words.flat_map(|word| (word as u64).to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_as_documented() {
        let header = Header::of(&[1; 16]);
        let bytes = header.to_bytes("a_network_with_a_name_longer_than_the_field");
        assert_eq!(&bytes[..8], b"NETWRGHT");
        assert_eq!(bytes[8..16], [1, 0, 0, 0, 64, 0, 0, 0]);
        assert_eq!(bytes[16..24], 16u64.to_le_bytes());
        assert_eq!(&bytes[32..], b"a_network_with_a_name_longer_tha");
        assert_eq!(hash(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(&[7, 0, 0]), hash(&[7, 0, 0, 0, 0, 0, 0, 0]));
        assert_ne!(hash(&[1; 8]), hash(&[1; 16]));
    }
}
