//! Findings as text for people, with the lines of the source that they are about.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::ast::Span;
use crate::diagnostic::{Diagnostic, Severity};
use crate::sources::{Sources, floor_char};

/// Lines longer than this are cut around the place in question.
const WIDTH: usize = 140;

/// Renders findings one after the other, an empty line between them; with `colour`, for a terminal.
///
/// The last line has a line end. Findings that point nowhere (no such file) are given without a
/// source.
pub fn render(sources: &Sources, diagnostics: &[Diagnostic], colour: bool) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&render_one(sources, diagnostic, colour));
        text.push('\n');
    }
    text
}

/// As [`render`], for one finding and without the last line end.
pub fn render_one(sources: &Sources, diagnostic: &Diagnostic, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        Group::with_title(level.primary_title(visible(&diagnostic.message)).id(diagnostic.code));
    for snippet in snippets(sources, diagnostic) {
        group = group.element(snippet);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&[group])
}

/// Places further apart than this many bytes are shown in snippets of their own.
const WINDOW: usize = 16 << 10;

/// Lines longer than this many bytes are cut before they are laid out.
const MAX_LINE: usize = 4 << 10;

/// A place and what is said there.
struct Mark<'a> {
    range: Range<usize>,
    label: &'a str,
    kind: AnnotationKind,
}

/// The places of a finding in the lines around them: one snippet for each file and neighbourhood, the
/// finding's own place first.
fn snippets<'a>(
    sources: &'a Sources,
    diagnostic: &'a Diagnostic,
) -> Vec<Snippet<'a, Annotation<'a>>> {
    let mut marks: Vec<(u32, Mark)> = Vec::new();
    let first = (diagnostic.span, diagnostic.label.as_str(), AnnotationKind::Primary);
    let others = diagnostic.related.iter().map(|(s, l)| (*s, l.as_str(), AnnotationKind::Context));
    for (span, label, kind) in std::iter::once(first).chain(others) {
        if sources.files.get(span.file as usize).is_some_and(|f| !f.1.is_empty()) {
            let range = range(sources.text(span.file), span);
            marks.push((span.file, Mark { range, label, kind }));
        }
    }
    let mut snippets = Vec::new();
    while let Some((file, first)) = marks.first() {
        let (file, centre) = (*file, first.range.start);
        let near = |(f, m): &(u32, Mark)| *f == file && m.range.start.abs_diff(centre) < WINDOW;
        let (shown, rest): (Vec<_>, Vec<_>) = marks.into_iter().partition(near);
        marks = rest;
        snippets.push(snippet(sources, file, shown.into_iter().map(|(_, m)| m).collect()));
    }
    snippets
}

/// The lines from the first to the last of `marks`, all of one file.
fn snippet<'a>(
    sources: &'a Sources,
    file: u32,
    marks: Vec<Mark<'a>>,
) -> Snippet<'a, Annotation<'a>> {
    let text = sources.text(file);
    let first = marks.iter().map(|m| m.range.start).min().unwrap_or(0);
    let last = marks.iter().map(|m| m.range.end).max().unwrap_or(0);
    let line_start = text[..first].rfind('\n').map_or(0, |n| n + 1);
    let start = line_start.max(floor_char(text, first.saturating_sub(MAX_LINE)));
    let end = text[last..].find('\n').map_or(text.len(), |n| last + n);
    let end = floor_char(text, end.min(last + MAX_LINE)).max(last);
    let number = text[..first].bytes().filter(|b| *b == b'\n').count() + 1;
    let mut snippet =
        Snippet::source(&text[start..end]).path(sources.path(file)).line_start(number).fold(true);
    for mark in marks {
        let place = mark.kind.span(mark.range.start - start..mark.range.end - start);
        snippet = snippet.annotation(match mark.label {
            "" => place,
            label => place.label(visible(label)),
        });
    }
    snippet
}

/// A range that lies within `text`, between characters, and on one line: of a place that spans
/// several lines, or a very long stretch, the start is shown.
fn range(text: &str, span: Span) -> Range<usize> {
    let start = floor_char(text, span.start as usize);
    let end = floor_char(text, (span.end as usize).min(start + MAX_LINE)).max(start);
    let line = text[start..end].find('\n').map_or(end, |n| start + n);
    start..line
}

/// Words longer than this many characters are cut.
const MAX_WORD: usize = 120;

/// Characters of a long word that are shown, at its start and at its end.
const SHOWN: (usize, usize) = (60, 20);

/// Long words cut in the middle, and control characters made visible, so that a file cannot steer the
/// terminal.
fn visible(text: &str) -> String {
    let words = text.split_inclusive([' ', '\n', '\t']).map(|word| {
        // Bytes first: counting characters is for long words only.
        if word.len() <= MAX_WORD || word.chars().count() <= MAX_WORD {
            return Cow::Borrowed(word);
        }
        let at = |n: usize| word.char_indices().nth(n).map_or(word.len(), |(at, _)| at);
        let end = word.char_indices().rev().nth(SHOWN.1 - 1).map_or(0, |(at, _)| at);
        Cow::Owned(format!("{}…{}", &word[..at(SHOWN.0)], &word[end..]))
    });
    let text: String = words.collect();
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{FFFD}',
            c => c,
        })
        .collect()
}
