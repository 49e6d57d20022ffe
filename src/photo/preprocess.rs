//! Resize, crop, normalise.

use super::{Photo, PhotoError};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use netwright_compiler::expand::{self, Expanded};

/// How levels are interpolated. The two smooth filters widen with the scale (antialiasing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel.
    Nearest,
    /// A triangle.
    Bilinear,
    /// A cubic with a = -0.5, as Pillow's `BICUBIC`.
    Bicubic,
}

/// The size of a photo after resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes that long; the longer follows, rounded down as in torchvision.
    ShortSide(usize),
    /// The photo is scaled until it covers these rows and columns, as timm does for networks that are
    /// not square.
    Cover([usize; 2]),
}

/// What happens between a photo and the network's input.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// The size after resizing.
    pub resize: Resize,
    /// The filter.
    pub filter: Filter,
    /// Rows and columns of the centre crop: the network's input. What a photo is smaller than the
    /// crop is filled with black.
    pub crop: [usize; 2],
    /// Mean of each channel, of levels from 0 to 1.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel.
    pub std: Vec<f64>,
    /// Channels in the order blue, green, red.
    pub bgr: bool,
    /// Channels of the network's input: 3, or 1 for grey.
    pub channels: usize,
}

impl Preprocess {
    /// What a network's dialect says.
    ///
    /// # Errors
    /// When its crop is not the network's input, or that has neither 1 nor 3 channels.
    pub fn of(network: &Expanded) -> Result<Preprocess, PhotoError> {
        let [_, rows, columns, channels] = network.input;
        let own = &network.preprocess;
        if own.crop != [rows, columns] {
            return Err(PhotoError::Crop { crop: own.crop, input: [rows, columns] });
        }
        if channels != 1 && channels != 3 {
            return Err(PhotoError::Channels(channels));
        }
        Ok(Preprocess {
            resize: match own.resize {
                expand::Resize::ShortSide(side) => Resize::ShortSide(side),
                expand::Resize::Exact(sides) => Resize::Cover(sides),
            },
            filter: match own.interpolation {
                expand::Filter::Nearest => Filter::Nearest,
                expand::Filter::Bilinear => Filter::Bilinear,
                expand::Filter::Bicubic => Filter::Bicubic,
            },
            crop: own.crop,
            mean: own.mean.clone(),
            std: own.std.clone(),
            bgr: own.bgr && channels == 3,
            channels,
        })
    }

    /// Number of values that [`Preprocess::apply`] writes.
    pub fn elements(&self) -> usize {
        self.channels * self.crop[0] * self.crop[1]
    }

    /// Writes the photo as the network's input `[C, H, W]`.
    ///
    /// A grey network sees luma; where mean and standard deviation are given for three channels, it
    /// takes their averages.
    ///
    /// # Errors
    /// When the network takes neither 1 nor 3 channels.
    ///
    /// # Panics
    /// When `out` is not [`Preprocess::elements`] long (a programming error).
    pub fn apply(&self, photo: &Photo, out: &mut [f32]) -> Result<(), PhotoError> {
        assert_eq!(out.len(), self.elements(), "length of the input of one image");
        let levels = self.bytes(photo)?;
        let plane = self.crop[0] * self.crop[1];
        for (channel, out) in out.chunks_exact_mut(plane.max(1)).enumerate() {
            let from = if self.bgr && self.channels == 3 { 2 - channel } else { channel };
            let table = self.levels(channel);
            for (value, pixel) in out.iter_mut().zip(levels.chunks_exact(self.channels)) {
                *value = table[usize::from(pixel[from])];
            }
        }
        Ok(())
    }

    /// The photo resized and cropped, levels as they are: `[H, W, C]`.
    ///
    /// # Errors
    /// When the network takes neither 1 nor 3 channels.
    pub fn bytes(&self, photo: &Photo) -> Result<Vec<u8>, PhotoError> {
        match self.channels {
            1 => Ok(self.crop_of(&photo.to_grey())),
            3 => Ok(self.crop_of(photo)),
            other => Err(PhotoError::Channels(other)),
        }
    }

    /// What the 256 levels of a channel become: each is normalised once, in `f32` as PyTorch does.
    pub fn levels(&self, channel: usize) -> [f32; 256] {
        let mean = self.statistic(&self.mean, channel, 0.0);
        let std = self.statistic(&self.std, channel, 1.0);
        std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
    }

    fn statistic(&self, values: &[f64], channel: usize, default: f64) -> f32 {
        let value = match values {
            [] => default,
            [one] => *one,
            all if self.channels == 1 => all.iter().sum::<f64>() / all.len() as f64,
            all => all.get(channel).copied().unwrap_or(default),
        };
        value as f32
    }

    /// Rows and columns of the whole photo once resized.
    fn resized(&self, photo: &Photo) -> [f64; 2] {
        let [rows, columns] = [photo.height as f64, photo.width as f64];
        match self.resize {
            Resize::ShortSide(side) => {
                let side = side.max(1) as f64;
                let long = |short: f64, long: f64| (side * long / short).floor();
                match rows < columns {
                    true => [side, long(rows, columns)],
                    false => [long(columns, rows), side],
                }
            }
            Resize::Cover(sides) => {
                let [want_rows, want_columns] = sides.map(|side| side.max(1) as f64);
                let ratio = (rows / want_rows).min(columns / want_columns);
                [(rows / ratio).round_ties_even(), (columns / ratio).round_ties_even()]
            }
        }
    }

    /// The cropped levels, channels last. Only what the crop shows is resized, so that a very long
    /// and thin photo costs no more than another.
    fn crop_of(&self, photo: &Photo) -> Vec<u8> {
        let channels = photo.channels;
        let [rows, columns] = self.resized(photo);
        let y = Axis::new(photo.height, rows, self.crop[0]);
        let x = Axis::new(photo.width, columns, self.crop[1]);
        let mut out = vec![0; self.crop[0] * self.crop[1] * channels];
        if x.len == 0 || y.len == 0 {
            return out;
        }
        let part = resize_part(photo, &x, &y, self.filter);
        let (from, to) = (x.len * channels, self.crop[1] * channels);
        for row in 0..y.len {
            let start = (y.at + row) * to + x.at * channels;
            out[start..start + from].copy_from_slice(&part[row * from..(row + 1) * from]);
        }
        out
    }
}

/// One axis of the crop: which part of the photo it shows, and where.
struct Axis {
    /// Where the shown part begins in the photo, in its pixels.
    start: f64,
    /// How much of the photo is shown, in its pixels.
    extent: f64,
    /// Where it begins in the crop.
    at: usize,
    /// Its length in the crop.
    len: usize,
}

impl Axis {
    fn new(source: usize, resized: f64, crop: usize) -> Axis {
        let scale = source as f64 / resized;
        // torchvision pads a smaller image by half of what is missing, rounded down before; a larger
        // one is cut at half of what is too much, rounded to even.
        let (first, at, len) = if resized < crop as f64 {
            (0.0, (crop - resized as usize) / 2, resized as usize)
        } else {
            (((resized - crop as f64) / 2.0).round_ties_even(), 0, crop)
        };
        let start = first * scale;
        let extent = (len as f64 * scale).min(source as f64 - start);
        Axis { start, extent, at, len }
    }
}

/// Columns first, then rows, each rounded to 8-bit levels: the order changes levels, and this is
/// Pillow's.
fn resize_part(photo: &Photo, x: &Axis, y: &Axis, filter: Filter) -> Vec<u8> {
    let kind = if photo.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let algorithm = match filter {
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
    };
    let options = ResizeOptions::new().resize_alg(algorithm).use_alpha(false);
    let (columns, rows) = (photo.width as u32, photo.height as u32);
    let source = ImageRef::new(columns, rows, &photo.pixels, kind)
        .expect("a photo has as many levels as its size says");
    let mut narrow = Image::new(x.len as u32, rows, kind);
    let mut target = Image::new(x.len as u32, y.len as u32, kind);
    let mut resizer = Resizer::new();
    let across = options.crop(x.start, 0.0, x.extent, f64::from(rows));
    let down = options.crop(0.0, y.start, x.len as f64, y.extent);
    resizer
        .resize(&source, &mut narrow, &across)
        .and_then(|()| resizer.resize(&narrow, &mut target, &down))
        .expect("all have the same kind of pixel, and the crops lie within the images");
    target.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(crop: [usize; 2], resize: Resize) -> Preprocess {
        let (mean, std) = (vec![0.0; 3], vec![1.0; 3]);
        Preprocess { resize, filter: Filter::Bilinear, crop, mean, std, channels: 3, bgr: false }
    }

    /// A photo whose red tells the column and whose green tells the row.
    fn ramp(width: usize, height: usize) -> Photo {
        let pixel = |at: usize| [(at % width) as u8, (at / width) as u8, 255];
        let pixels = (0..width * height).flat_map(pixel).collect();
        Photo { width, height, channels: 3, pixels }
    }

    fn apply(preprocess: &Preprocess, photo: &Photo) -> Vec<f32> {
        let mut out = vec![f32::NAN; preprocess.elements()];
        preprocess.apply(photo, &mut out).unwrap();
        out
    }

    #[test]
    fn crop_without_scaling_is_exact() {
        let out = apply(&plain([4, 6], Resize::ShortSide(10)), &ramp(20, 10));
        // 20 - 6 = 14 columns too many, 10 - 4 = 6 rows: the crop begins at column 7, row 3.
        let red: Vec<f32> = out[..6].iter().map(|value| (value * 255.0).round()).collect();
        assert_eq!(red, [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        let green: Vec<f32> = out[24..48].iter().map(|value| (value * 255.0).round()).collect();
        assert_eq!((green[0], green[23]), (3.0, 6.0));
        assert!(out[48..].iter().all(|&blue| blue == 1.0));
    }

    #[test]
    fn a_small_photo_gets_a_black_frame() {
        let white = Photo { width: 3, height: 3, channels: 3, pixels: vec![255; 27] };
        let out = apply(&plain([6, 6], Resize::ShortSide(3)), &white);
        let rows: Vec<f32> = out[..36].chunks(6).map(|row| row.iter().sum()).collect();
        assert_eq!(rows, [0.0, 3.0, 3.0, 3.0, 0.0, 0.0]);
    }

    #[test]
    fn extreme_shapes_cost_little() {
        let start = std::time::Instant::now();
        for (width, height) in [(1, 40_000), (40_000, 1), (1, 1), (2, 3)] {
            let out = apply(&plain([224, 224], Resize::ShortSide(256)), &ramp(width, height));
            assert!(out.iter().all(|value| value.is_finite()));
        }
        assert!(start.elapsed().as_secs() < 5);
    }

    #[test]
    fn grey_networks_take_averages() {
        let mut preprocess = plain([1, 1], Resize::ShortSide(1));
        preprocess.channels = 1;
        preprocess.mean = vec![0.3, 0.4, 0.5];
        preprocess.std = vec![0.1, 0.2, 0.3];
        let white = Photo { width: 1, height: 1, channels: 3, pixels: vec![255; 3] };
        assert!((apply(&preprocess, &white)[0] - 3.0).abs() < 1e-6);
        preprocess.channels = 4;
        assert!(matches!(preprocess.apply(&white, &mut [0.0; 4]), Err(PhotoError::Channels(4))));
    }

    #[test]
    fn different_sides_cover_both() {
        let preprocess = plain([32, 64], Resize::Cover([32, 64]));
        assert_eq!(preprocess.resized(&ramp(100, 100)), [64.0, 64.0]);
        assert_eq!(preprocess.resized(&ramp(200, 50)), [32.0, 128.0]);
        let square = plain([224, 224], Resize::ShortSide(256));
        assert_eq!(square.resized(&ramp(451, 300)), [256.0, 384.0]);
        assert_eq!(square.resized(&ramp(300, 451)), [384.0, 256.0]);
    }

    #[test]
    fn channels_in_the_other_order() {
        let photo = Photo { width: 1, height: 1, channels: 3, pixels: vec![0, 51, 255] };
        let mut preprocess = plain([1, 1], Resize::ShortSide(1));
        let mut out = [0.0f32; 3];
        preprocess.apply(&photo, &mut out).unwrap();
        assert_eq!(out, [0.0, 0.2, 1.0]);
        preprocess.bgr = true;
        preprocess.apply(&photo, &mut out).unwrap();
        assert_eq!(out, [1.0, 0.2, 0.0]);
    }
}
