//! Reads one piece of a file by a rule of the grammar, within bounds.

use pest::Parser;
use pest::iterators::Pair;

use crate::ast::Span;
use crate::brackets::MAX_DEPTH;
use crate::diagnostic::Diagnostic;
use crate::explain;

/// The grammar.
#[derive(pest_derive::Parser)]
#[grammar = "arch.pest"]
pub(crate) struct Arch;

/// How often a piece may say `if`, since each may nest in the one before.
const MAX_IFS: usize = 32;

/// Longest line, in bytes: nobody can read more, and a long one takes long to refuse.
const MAX_PIECE: usize = 32 << 10;

/// Text of a piece and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// The text; a comment at its end may be part of it.
    pub text: &'a str,
    /// Its file.
    pub file: u32,
    /// Its first byte in the file.
    pub start: u32,
}

impl Piece<'_> {
    /// The place of a range of this piece's bytes.
    pub fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: self.start + start as u32, end: self.start + end as u32 }
    }
}

/// Reads `piece` by `rule`.
pub(crate) fn read<'a>(rule: Rule, piece: Piece<'a>) -> Result<Pair<'a, Rule>, Box<Diagnostic>> {
    bounds(piece)?;
    match Arch::parse(rule, piece.text) {
        // A rule of the grammar that is asked for gives exactly one pair; an empty result cannot be.
        Ok(mut pairs) => pairs.next().ok_or_else(|| {
            Box::new(Diagnostic::error("E0001", piece.span(0, piece.text.len()), "nothing here"))
        }),
        Err(error) => Err(Box::new(explain::explain(rule, piece, &error))),
    }
}

/// The grammar recurses into brackets and into `if`: both are counted first, in one pass.
fn bounds(piece: Piece) -> Result<(), Box<Diagnostic>> {
    let too_deep = |at: usize, what: &str| {
        Err(Box::new(
            Diagnostic::error("E0602", piece.span(at, at + 1), format!("{what} too deeply"))
                .label("this one is too much")
                .help("give the inner parts lines of their own"),
        ))
    };
    if piece.text.len() > MAX_PIECE {
        return Err(Box::new(
            Diagnostic::error("E0604", piece.span(0, 0), "the line is longer than 32 KiB")
                .label("it starts here")
                .help("give parts of it lines of their own"),
        ));
    }
    let mut depth = 0usize;
    let mut ifs = 0usize;
    for (at, byte) in piece.text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'i' if is_if(piece.text.as_bytes(), at) => ifs += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return too_deep(at, "brackets are nested");
        }
        if ifs > MAX_IFS {
            return too_deep(at, "`if` is nested");
        }
    }
    Ok(())
}

/// Whether the word `if` stands at `at`.
fn is_if(text: &[u8], at: usize) -> bool {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    text[at..].starts_with(b"if")
        && !text.get(at + 2).is_some_and(letter)
        && !at.checked_sub(1).and_then(|b| text.get(b)).is_some_and(letter)
}
