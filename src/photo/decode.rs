//! Files to 8-bit pixels, upright.

use super::PhotoError;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

/// Longest side of a photo, in pixels.
pub const MAX_SIDE: u32 = 40_000;

/// Most pixels of a photo (three bytes each once decoded).
pub const MAX_PIXELS: u64 = 250_000_000;

/// Largest file in bytes.
pub const MAX_FILE: u64 = 512 << 20;

/// Most memory that a decoder may take: 16 bits and four channels at [`MAX_PIXELS`].
const MAX_DECODER_MEMORY: u64 = MAX_PIXELS * 8 + (64 << 20);

/// An upright photo: rows of red, green, blue, or of grey, in 8-bit levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 3, or 1 for grey.
    pub channels: usize,
    /// Levels, row by row, channels last.
    pub pixels: Vec<u8>,
}

/// Decodes a photo by its content, whatever its name says, and turns it upright as its EXIF
/// orientation asks.
///
/// Transparency is dropped, as Pillow's `convert("RGB")` does: the colours stored under it show.
/// Palettes are looked up, grey becomes three equal channels, and 16-bit levels are scaled to 8 bits.
/// Of an animation it is the first frame.
///
/// # Errors
/// A file that cannot be read, is no JPEG, PNG or WebP, is damaged, or is over one of the limits
/// [`MAX_FILE`], [`MAX_SIDE`], [`MAX_PIXELS`]; those are looked at before memory is taken.
pub fn decode(path: &Path) -> Result<Photo, PhotoError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(std::io::Error::other("it is a folder").into());
    }
    let too_long =
        || PhotoError::TooLarge(format!("the file is larger than {} MiB", MAX_FILE >> 20));
    if metadata.len() > MAX_FILE {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    // A pipe says nothing of its length, so the limit holds while reading too.
    BufReader::new(file).take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_long());
    }
    decode_bytes(&bytes)
}

fn decode_bytes(bytes: &[u8]) -> Result<Photo, PhotoError> {
    let format = image::guess_format(bytes).ok();
    if !matches!(format, Some(ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP)) {
        return Err(PhotoError::Format { found: describe(bytes, format) });
    }
    if format == Some(ImageFormat::Jpeg) && !jpeg_is_whole(bytes) {
        return Err(cut_off());
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(PhotoError::Damaged(format!("its size is {width} x {height}")));
    }
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PhotoError::TooLarge(format!(
            "{width} x {height} pixels; the limit is {MAX_SIDE} a side and {} million in all: scale \
             it down",
            MAX_PIXELS / 1_000_000
        )));
    }
    // A photo with a broken EXIF block is still a photo.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(explain)?;
    // Alpha is dropped, colours stay. Before the turn, which copies: fewer bytes a pixel.
    image = DynamicImage::ImageRgb8(image.into_rgb8());
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    Ok(Photo {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        channels: 3,
        pixels: rgb.into_raw(),
    })
}

impl Photo {
    /// Luma by the weights of ITU-R 601, in Pillow's 16-bit fixed point (`convert("L")`).
    pub fn to_grey(&self) -> Photo {
        if self.channels == 1 {
            return self.clone();
        }
        let luma = |rgb: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|i| u32::from(rgb[i]));
            // At most 255 after the shift: the weights add up to 2^16.
            ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
        };
        let pixels = self.pixels.chunks_exact(3).map(luma).collect();
        Photo { channels: 1, pixels, ..*self }
    }
}

fn cut_off() -> PhotoError {
    PhotoError::Damaged("it ends before the image does".into())
}

/// Whether a JPEG file reaches its end marker. The decoder fills in grey for what is missing, which
/// would be named like any photo.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    // Behind the start marker. In segments anything may stand (thumbnails with an end of their own),
    // so they are skipped by their lengths; in the coded data between them, 0xff is followed by 0
    // or a restart marker.
    let mut at = 2;
    while let Some(skipped) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xff))
    {
        at += skipped + 1;
        match bytes.get(at) {
            Some(&END_OF_IMAGE) => return true,
            // Stuffed, a restart, a fill byte, or another marker without a length.
            Some(0x00 | 0x01 | 0xd0..=0xd8 | 0xff) => {}
            Some(_) => match bytes.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
            None => return false,
        }
    }
    false
}

fn explain(error: ImageError) -> PhotoError {
    match error {
        ImageError::Limits(_) => {
            PhotoError::TooLarge("decoding it takes more memory than allowed: scale it down".into())
        }
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            cut_off()
        }
        other => PhotoError::Damaged(other.to_string()),
    }
}

/// What a file that is no photo seems to be.
fn describe(bytes: &[u8], format: Option<ImageFormat>) -> String {
    if bytes.is_empty() {
        return "an empty file".into();
    }
    if let Some(format) = format {
        return format!("a {} image", format!("{format:?}").to_uppercase());
    }
    let brand = bytes.get(4..12);
    match brand {
        Some(b"ftypheic" | b"ftypheix" | b"ftypmif1" | b"ftyphevc") => "a HEIC image".into(),
        _ if bytes.starts_with(b"%PDF") => "a PDF document".into(),
        _ if bytes.starts_with(b"\x93NUMPY") => "a NumPy array (pass it as --input)".into(),
        _ if bytes.starts_with(b"<svg") || bytes.starts_with(b"<?xml") => {
            "an SVG or XML file".into()
        }
        _ => "an unknown kind of file".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    /// A 2 x 1 photo: red, then blue.
    const PAIR: [u8; 6] = [255, 0, 0, 0, 0, 255];

    fn png(pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(pixels, width, height, color).unwrap();
        bytes
    }

    #[test]
    fn colour_types() {
        let rgb = decode_bytes(&png(&PAIR, 2, 1, ExtendedColorType::Rgb8)).unwrap();
        assert_eq!((rgb.width, rgb.height, rgb.channels), (2, 1, 3));
        assert_eq!(rgb.pixels, PAIR);
        let grey = decode_bytes(&png(&[7, 200], 2, 1, ExtendedColorType::L8)).unwrap();
        assert_eq!(grey.pixels, [7, 7, 7, 200, 200, 200]);
        // The colour under transparency shows.
        let clear = decode_bytes(&png(&[9, 8, 7, 0], 1, 1, ExtendedColorType::Rgba8)).unwrap();
        assert_eq!(clear.pixels, [9, 8, 7]);
        let deep = [0u16, 0x8080, 0xffff].map(u16::to_ne_bytes).concat();
        let deep = decode_bytes(&png(&deep, 1, 1, ExtendedColorType::Rgb16)).unwrap();
        assert_eq!(deep.pixels, [0, 128, 255]);
    }

    #[test]
    fn webp_and_jpeg() {
        let mut webp = Vec::new();
        image::codecs::webp::WebPEncoder::new_lossless(&mut webp)
            .write_image(&PAIR, 2, 1, ExtendedColorType::Rgb8)
            .unwrap();
        assert_eq!(decode_bytes(&webp).unwrap().pixels, PAIR);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 100)
            .write_image(&[40; 48], 4, 4, ExtendedColorType::Rgb8)
            .unwrap();
        let photo = decode_bytes(&jpeg).unwrap();
        assert!(photo.pixels.iter().all(|&level| level.abs_diff(40) <= 1), "{:?}", photo.pixels);
    }

    /// An EXIF block that says nothing but the orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        tiff
    }

    #[test]
    fn orientation_is_applied() {
        let mut turned = Vec::new();
        let mut encoder = PngEncoder::new(&mut turned);
        encoder.set_exif_metadata(exif(6)).unwrap();
        // Orientation 6: the camera was held so that the file has to be turned right by a quarter.
        encoder.write_image(&PAIR, 2, 1, ExtendedColorType::Rgb8).unwrap();
        let photo = decode_bytes(&turned).unwrap();
        assert_eq!((photo.width, photo.height), (1, 2));
        assert_eq!(photo.pixels, PAIR);
        let mut mirrored = Vec::new();
        let mut encoder = PngEncoder::new(&mut mirrored);
        encoder.set_exif_metadata(exif(2)).unwrap();
        encoder.write_image(&PAIR, 2, 1, ExtendedColorType::Rgb8).unwrap();
        assert_eq!(decode_bytes(&mirrored).unwrap().pixels, [0, 0, 255, 255, 0, 0]);
    }

    #[test]
    fn grey_as_pillow() {
        let photo =
            Photo { width: 3, height: 1, channels: 3, pixels: vec![255, 0, 0, 0, 255, 0, 1, 2, 3] };
        assert_eq!(photo.to_grey().pixels, [76, 150, 2]);
        assert_eq!(photo.to_grey().to_grey(), photo.to_grey());
    }

    #[test]
    fn a_huge_size_is_an_error_at_once() {
        let mut bytes = png(&PAIR, 2, 1, ExtendedColorType::Rgb8);
        bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let crc = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        let error = decode_bytes(&bytes).unwrap_err();
        assert!(matches!(error, PhotoError::TooLarge(_)), "{error}");
    }

    /// PNG's checksum, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
        };
        !bytes.iter().fold(!0, step)
    }

    /// Pixels that no coder makes small.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn every_cut_is_an_error_and_every_flip_an_answer() {
        let pixels = noise(24 * 16 * 3);
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).write_image(&pixels, 24, 16, ExtendedColorType::Rgb8).unwrap();
        let mut webp = Vec::new();
        image::codecs::webp::WebPEncoder::new_lossless(&mut webp)
            .write_image(&pixels, 24, 16, ExtendedColorType::Rgb8)
            .unwrap();
        for bytes in [png(&pixels, 24, 16, ExtendedColorType::Rgb8), jpeg, webp] {
            // Behind the pixels stand an end marker and checksums, which decoders may do without.
            for end in 0..bytes.len() - 40 {
                assert!(decode_bytes(&bytes[..end]).is_err(), "cut at {end} of {}", bytes.len());
            }
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x55;
                // Damage within the data may still decode; what counts is an answer.
                let _ = decode_bytes(&flipped);
            }
        }
    }

    #[test]
    fn a_thumbnail_does_not_end_a_jpeg() {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        assert!(!jpeg_is_whole(&bytes));
        bytes.extend([0xff, 0xda, 0, 2, 7, 0xff, 0, 0xff, 0xd0, 7]);
        assert!(!jpeg_is_whole(&bytes));
        bytes.extend([0xff, 0xd9, b'm', b'o', b'r', b'e']);
        assert!(jpeg_is_whole(&bytes));
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"GIF89a......", "a GIF image"),
            (b"\x93NUMPY\x01\0", "a NumPy array"),
            (b"\0\0\0\x18ftypheic", "a HEIC image"),
            (b"hello", "an unknown kind of file"),
        ] {
            let error = decode_bytes(bytes).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
