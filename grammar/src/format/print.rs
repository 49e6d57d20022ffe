//! Lays entries out: indentation and alignment.

use super::entry::{Body, Entry, Line};
use crate::outline::ItemKind;
use crate::width::{pad, width};

/// Parts longer than this do not push their neighbours to the right.
const MAX_PART: usize = 28;

/// Lines longer than this have their `when` directly after them.
const MAX_ALIGNED: usize = 90;

/// The whole file.
pub(crate) fn print(entries: &[Entry]) -> String {
    let mut text = String::new();
    section(entries, 0, &mut text);
    text
}

/// The lines of a section.
fn section(entries: &[Entry], indent: usize, text: &mut String) {
    let widths = columns(entries);
    let mut start = 0;
    while start < entries.len() {
        let run = run(&entries[start..]);
        let layout = Layout::of(&entries[start..start + run]);
        for entry in &entries[start..start + run] {
            if entry.blank {
                text.push('\n');
            }
            self::entry(entry, &layout, &widths, indent, text);
        }
        start += run;
    }
}

/// How many entries belong to the run that starts here: to the next empty line, or to a section of
/// several lines.
fn run(entries: &[Entry]) -> usize {
    let section = |e: &Entry| matches!(e.body, Body::Section { .. });
    let ends = entries.windows(2).position(|w| w[1].blank || section(&w[0]) || section(&w[1]));
    ends.map_or(entries.len(), |p| p + 1)
}

/// Widths that the lines of a run share.
struct Layout {
    /// For statements, declarations and rules: the widths of their parts.
    parts: [Vec<usize>; 4],
    /// Where `when` starts in statements.
    when: usize,
    /// Where comments at the ends of lines start.
    comment: usize,
}

/// Which lines are aligned with each other; no group: none.
fn group(kind: ItemKind) -> Option<usize> {
    match kind {
        ItemKind::Statement => Some(0),
        ItemKind::Setting
        | ItemKind::Operator
        | ItemKind::Column
        | ItemKind::Expect
        | ItemKind::Output
        | ItemKind::Heading => Some(1),
        ItemKind::Rule => Some(2),
        ItemKind::PreprocessItem => Some(3),
        _ => None,
    }
}

impl Layout {
    fn of(entries: &[Entry]) -> Self {
        let mut layout = Layout { parts: Default::default(), when: 0, comment: 0 };
        let lines: Vec<&Line> = entries.iter().filter_map(alone).collect();
        for line in &lines {
            let Some(group) = group(line.kind) else { continue };
            let widths = &mut layout.parts[group];
            for (at, part) in line.parts.iter().enumerate() {
                if widths.len() <= at {
                    widths.push(0);
                }
                if width(part) <= MAX_PART {
                    widths[at] = widths[at].max(width(part));
                }
            }
        }
        for line in &lines {
            let width = width(&layout.body(line));
            if line.when.is_some() && width <= MAX_ALIGNED {
                layout.when = layout.when.max(width);
            }
        }
        for entry in entries.iter().filter(|e| e.trailing.is_some()) {
            let width = alone(entry).map_or(0, |line| width(&layout.line(line)));
            if width <= MAX_ALIGNED {
                layout.comment = layout.comment.max(width);
            }
        }
        layout
    }

    /// A line without its `when`, its parts aligned.
    fn body(&self, line: &Line) -> String {
        let widths = group(line.kind).map_or(&[][..], |g| self.parts[g].as_slice());
        let mut text = String::new();
        for (at, part) in line.parts.iter().enumerate() {
            let columns = widths.get(at).copied().unwrap_or(0);
            text.push_str(&pad(part, if part.contains('\n') { 0 } else { columns }));
            text.push(' ');
        }
        text + &line.rest
    }

    fn line(&self, line: &Line) -> String {
        let body = self.body(line);
        match &line.when {
            None => body,
            Some(when) if width(&body) <= MAX_ALIGNED && !body.contains('\n') => {
                format!("{}  {when}", pad(&body, self.when))
            }
            Some(when) => format!("{body}  {when}"),
        }
    }
}

/// The line of an entry that has it to itself.
fn alone(entry: &Entry) -> Option<&Line> {
    match &entry.body {
        Body::Line(lines) if lines.len() == 1 => lines.first(),
        _ => None,
    }
}

/// Widths of a table's columns.
fn columns(entries: &[Entry]) -> Vec<usize> {
    let mut widths = Vec::new();
    for entry in entries {
        if let Body::Row { cells, .. } = &entry.body {
            for (at, cell) in cells.iter().enumerate() {
                if widths.len() <= at {
                    widths.push(1);
                }
                widths[at] = widths[at].max(width(cell));
            }
        }
    }
    widths
}

fn entry(entry: &Entry, layout: &Layout, widths: &[usize], indent: usize, text: &mut String) {
    let trailing = entry.trailing.as_deref();
    match &entry.body {
        Body::Comment(comment) => lines(comment, trailing, indent, text),
        Body::Separator => lines("---", trailing, indent, text),
        Body::Row { cells, when } => {
            let mut row = String::from("|");
            for (cell, width) in cells.iter().zip(widths) {
                row.push(' ');
                row.push_str(&pad(cell, *width));
                row.push_str(" |");
            }
            if let Some(when) = when {
                row.push(' ');
                row.push_str(when);
            }
            lines(&row, trailing, indent, text);
        }
        Body::Line(shared) => match shared.as_slice() {
            [line] => {
                let line = layout.line(line);
                let line = match trailing {
                    Some(_) if !line.contains('\n') => pad(&line, layout.comment),
                    _ => line.trim_end().to_string(),
                };
                lines(&line, trailing, indent, text);
            }
            shared => {
                let shared: Vec<String> = shared.iter().map(Line::text).collect();
                lines(&shared.join("  "), trailing, indent, text);
            }
        },
        Body::Section { head, comment, entries } => {
            lines(&format!("{} {{", head.text()), comment.as_deref(), indent, text);
            section(entries, indent + 2, text);
            lines("}", trailing, indent, text);
        }
    }
}

/// Writes a line and the comment after it; what follows line breaks is indented more, closing
/// brackets excepted.
fn lines(line: &str, comment: Option<&str>, indent: usize, text: &mut String) {
    for (at, part) in line.split('\n').enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let extra = if at == 0 || part.starts_with([')', ']']) { 0 } else { 4 };
        text.extend(std::iter::repeat_n(' ', indent + extra));
        text.push_str(if comment.is_some() { part } else { part.trim_end() });
    }
    if let Some(comment) = comment {
        text.push_str("  ");
        text.push_str(comment);
    }
    text.push('\n');
}
