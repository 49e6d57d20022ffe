//! `preprocess` sections: what a photo goes through before the network.

use super::codes;
use super::expander::{Eval, Expander};
use crate::names::near_miss;
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::{PreprocessItem, Weights};

/// What a photo goes through: resized, cropped in the middle, scaled to 0..1, normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// The size after resizing.
    pub resize: Resize,
    /// How it is resized.
    pub interpolation: Filter,
    /// Rows and columns that are cut out of the middle.
    pub crop: [usize; 2],
    /// Subtracted, one a channel.
    pub mean: Vec<f64>,
    /// Divided by, one a channel.
    pub std: Vec<f64>,
    /// Channels in the order blue, green, red; `mean` and `std` are in that order, too.
    pub bgr: bool,
    /// Names of the classes: `imagenet`.
    pub labels: Option<String>,
}

/// The size after resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side; the photo keeps its proportions.
    ShortSide(usize),
    /// Rows and columns.
    Exact([usize; 2]),
}

/// How a photo is resized (with antialiasing, as PIL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest cell.
    Nearest,
    /// A triangle.
    Bilinear,
    /// A cubic, a = -0.5.
    Bicubic,
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
const KEYS: [&str; 6] = ["resize", "crop", "order", "mean", "std", "labels"];

/// One value a channel. Of another number of channels than given, each has the mean of those given,
/// as timm does for grey images.
fn spread(values: Vec<f64>, channels: usize) -> Vec<f64> {
    if values.len() == channels || values.is_empty() {
        return values;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    vec![mean; channels]
}

impl Expander<'_> {
    /// Evaluates the preprocessing of a dialect, or of those it is like.
    pub fn preprocess(
        &mut self,
        chain: &[&Weights],
        resolution: [usize; 2],
        channels: usize,
    ) -> Preprocess {
        let mut result = Preprocess {
            resize: Resize::ShortSide(256),
            interpolation: Filter::Bilinear,
            crop: resolution,
            mean: spread(IMAGENET_MEAN.to_vec(), channels),
            std: spread(IMAGENET_STD.to_vec(), channels),
            bgr: false,
            labels: Some("imagenet".into()),
        };
        let items = chain.iter().find(|weights| !weights.preprocess.is_empty());
        let Some(weights) = items else { return result };
        let mut seen: Vec<&str> = Vec::new();
        for item in &weights.preprocess {
            if seen.contains(&item.key.text.as_str()) {
                let message = format!("`{}` is there twice", item.key.text);
                self.report(Diagnostic::error(codes::PREPROCESS, item.key.span, message));
                continue;
            }
            seen.push(&item.key.text);
            if let Err(fault) = self.preprocess_item(item, channels, &mut result) {
                self.report_fault(fault);
            }
        }
        result
    }

    fn preprocess_item(
        &mut self,
        item: &PreprocessItem,
        channels: usize,
        result: &mut Preprocess,
    ) -> Eval<()> {
        let key = item.key.text.as_str();
        let span = item.key.span;
        let error = |message: String| Diagnostic::error(codes::PREPROCESS, span, message);
        if !KEYS.contains(&key) {
            let error = error(format!("`{key}` is no step of preprocessing"));
            return Err(match near_miss(key, KEYS) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("the steps are {}", KEYS.join(", "))),
            }
            .into());
        }
        let mut values = Vec::new();
        if key == "labels" {
            // Names of label sets stand for themselves.
            let text = item.values.first().map(|value| self.text(value.span).trim_matches('"'));
            result.labels = match text {
                Some("none" | "-") | None => None,
                Some(text) => Some(text.to_string()),
            };
            return Ok(());
        }
        for value in &item.values {
            values.push((self.option(value, span)?, value.span));
        }
        match key {
            "resize" => {
                let Some((size, place)) = values.first() else {
                    return Err(error("`resize` needs a size".into()).into());
                };
                result.resize = match size {
                    Value::List(_) => Resize::Exact(size.as_size2("`resize`", 1, *place)?),
                    _ => Resize::ShortSide(size.as_count("`resize`", *place)?),
                };
                if let Some((filter, place)) = values.get(1) {
                    let word = filter.as_text("the interpolation of `resize`", *place)?;
                    result.interpolation = match &*word {
                        "nearest" => Filter::Nearest,
                        "bilinear" => Filter::Bilinear,
                        "bicubic" => Filter::Bicubic,
                        other => {
                            let message = format!("`{other}` is no interpolation");
                            return Err(Diagnostic::error(codes::PREPROCESS, *place, message)
                                .help("it is nearest, bilinear or bicubic")
                                .into());
                        }
                    };
                }
            }
            "order" => {
                let [(order, place)] = &values[..] else {
                    return Err(error("`order` needs one word, rgb or bgr".into()).into());
                };
                result.bgr = match &*order.as_text("`order`", *place)? {
                    "rgb" => false,
                    "bgr" => true,
                    other => {
                        let message = format!("`{other}` is no order of channels");
                        let error = Diagnostic::error(codes::PREPROCESS, *place, message);
                        return Err(error.help("it is rgb or bgr").into());
                    }
                };
            }
            "crop" => {
                let Some((size, place)) = values.first() else {
                    return Err(error("`crop` needs a size".into()).into());
                };
                result.crop = size.as_size2("`crop`", 1, *place)?;
            }
            _ => {
                let mut numbers = Vec::new();
                for (value, place) in &values {
                    for item in value.as_items(&format!("`{key}`"), *place)? {
                        let number = item.as_number(&format!("`{key}`"), *place)?;
                        if key == "std" && number <= 0.0 {
                            return Err(error("`std` must be greater than 0".into()).into());
                        }
                        numbers.push(number);
                    }
                }
                if numbers.is_empty() {
                    return Err(error(format!("`{key}` needs a number for each channel")).into());
                }
                let numbers = spread(numbers, channels);
                match key {
                    "mean" => result.mean = numbers,
                    _ => result.std = numbers,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn grey_images_have_the_mean() {
        assert_eq!(spread(vec![0.25, 0.5, 0.75], 1), [0.5]);
        assert_eq!(spread(vec![0.5], 3), [0.5; 3]);
        assert_eq!(spread(vec![0.1, 0.2, 0.3], 3), [0.1, 0.2, 0.3]);
    }
}
