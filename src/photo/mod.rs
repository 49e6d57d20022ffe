//! From the file of a photo to the network's input: decode, turn upright, resize, crop, normalise.
//!
//! The order and the arithmetic are those of the evaluation pipelines of torchvision and timm, on
//! Pillow images: 8-bit levels until the end, antialiased resizing of the shorter side, a centre
//! crop, then `(level / 255 - mean) / std`.
//!
//! **How close to Pillow.** Measured with Pillow 13 on four photos (the two in `assets/`, and two
//! JPEG files of scikit-image) at eleven pairs of sizes from 96 to 600, in levels of 255, and
//! repeated by `tools/compare_with_pillow.py`:
//!
//! | filter | largest difference | mean difference |
//! |---|---|---|
//! | bilinear | 2 | 0.01; 0.15 where the scale is exactly a half, so that many values lie between two levels |
//! | bicubic | 3 | 0.02 |
//!
//! The nearest filter takes a neighbouring pixel where Pillow's sums of steps have drifted past an
//! edge.

mod decode;
mod preprocess;

pub use decode::{MAX_FILE, MAX_PIXELS, MAX_SIDE, Photo, decode};
pub use preprocess::{Filter, Preprocess, Resize};

use thiserror::Error;

/// Why a photo cannot be used.
#[derive(Debug, Error)]
pub enum PhotoError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// Neither JPEG nor PNG nor WebP.
    #[error("{found} instead of a JPEG, PNG or WebP image: convert it to one of these")]
    Format {
        /// What it seems to be.
        found: String,
    },
    /// It begins as an image, but is damaged or ends too early.
    #[error("damaged or cut off: {0}")]
    Damaged(String),
    /// Larger than the limits.
    #[error("{0}")]
    TooLarge(String),
    /// The dialect cuts out another size than the network takes.
    #[error(
        "the spec's `crop` is {}x{}, the network's input is {}x{}", crop[0], crop[1], input[0], input[1]
    )]
    Crop {
        /// Rows and columns of the crop.
        crop: [usize; 2],
        /// Rows and columns of the input.
        input: [usize; 2],
    },
    /// The network takes images of a kind that a photo is not.
    #[error(
        "the network takes {0} channels, a photo has 3 (or 1, as grey): give an array with --input"
    )]
    Channels(usize),
}
