//! What a terminal shows while weights are fetched.

use super::common;
use super::numbers;
use crate::hub::Event;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use std::io::IsTerminal;

/// A bar on a terminal, one line elsewhere.
#[derive(Default)]
pub struct Fetching {
    bar: Option<ProgressBar>,
    /// What was announced last: it is said once, however often a transfer is taken up again.
    said: String,
}

impl Fetching {
    /// Shows what happens.
    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Start { url, files, bytes, kept } => self.start(url, files, bytes, kept),
            Event::At(bytes) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes);
                }
            }
            Event::End => self.bar = None,
            Event::Note(text) => {
                let say = || common::say(&format!("note: {text}"));
                match &self.bar {
                    Some(bar) => bar.suspend(say),
                    None => say(),
                }
            }
        }
    }

    fn start(&mut self, url: &str, files: usize, bytes: Option<u64>, kept: u64) {
        // What stands behind the question mark is a signature, and long.
        let url = url.split('?').next().unwrap_or(url);
        let size = match (bytes, kept) {
            (None, _) => String::new(),
            (Some(bytes), 0) => format!(" ({})", size(bytes)),
            (Some(bytes), kept) => format!(" ({}, {} are there)", size(bytes), size(kept)),
        };
        if self.said != url {
            let others = match files {
                0 | 1 => String::new(),
                files => format!(" and {} more", files - 1),
            };
            common::say(&format!("fetching {url}{others}{size}"));
            self.said = url.to_string();
        }
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = match bytes {
            Some(bytes) => ProgressBar::new(bytes),
            None => ProgressBar::no_length(),
        };
        // Gone when the transfer is over, well or not.
        let bar = bar.with_finish(ProgressFinish::AndClear).with_position(kept);
        let template = match bytes {
            Some(_) => {
                "{bar:32} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} to go"
            }
            None => "{spinner} {binary_bytes}, {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        self.bar = Some(bar);
    }
}

fn size(bytes: u64) -> String {
    numbers::bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
}
