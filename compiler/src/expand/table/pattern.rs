//! Operator patterns with holes: `"MBConv{e}, k{k}x{k}"` against the text of a cell.
//!
//! Blanks do not matter and `×` is `x`. A hole takes any text without a comma or a blank; where a
//! name stands in several holes, all must have the same text.

use crate::expand::limits::MAX_OPERATOR_CELL;

/// A pattern, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
    /// Number of letters outside holes: of several patterns that fit, the one with most wins.
    pub letters: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Letter(char),
    Hole(String),
}

/// What a pattern found: the text of each hole with its place in the cell, and where the rest begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Match {
    pub holes: Vec<(String, usize, usize)>,
    pub end: usize,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what cannot be read.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        if text.len() > MAX_OPERATOR_CELL {
            return Err(format!("a pattern has at most {MAX_OPERATOR_CELL} letters"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '{' => {
                    let Some((name, after)) = rest.split_once('}') else {
                        return Err("a `{` without its `}`".into());
                    };
                    let name = name.trim();
                    let good = name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
                    if !good {
                        return Err(format!("`{{{name}}}` is no hole: a hole holds one name"));
                    }
                    if let Some(Piece::Hole(_)) = pieces.last() {
                        return Err(format!(
                            "`{{{name}}}` touches the hole before it: where would one end?"
                        ));
                    }
                    pieces.push(Piece::Hole(name.to_string()));
                    rest = after;
                }
                '}' => return Err("a `}` without its `{`".into()),
                c if c.is_whitespace() => {}
                c => pieces.push(Piece::Letter(plain(c))),
            }
        }
        let letters = pieces.iter().filter(|piece| matches!(piece, Piece::Letter(_))).count();
        if letters == 0 {
            return Err("a pattern needs letters outside its holes".into());
        }
        Ok(Pattern { pieces, letters })
    }

    /// The names of its holes.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(name) => Some(name.as_str()),
            Piece::Letter(_) => None,
        })
    }

    /// Matches the beginning of a cell: what follows is nothing, or a comma or blank and arguments.
    pub fn find(&self, cell: &str) -> Option<Match> {
        if cell.len() > MAX_OPERATOR_CELL {
            return None;
        }
        let mut matcher = Matcher { pieces: &self.pieces, cell, holes: Vec::new(), steps: 0 };
        let end = matcher.from(0, 0)?;
        Some(Match { holes: matcher.holes, end })
    }
}

fn plain(c: char) -> char {
    if c == '×' { 'x' } else { c }
}

struct Matcher<'a> {
    pieces: &'a [Piece],
    cell: &'a str,
    holes: Vec<(String, usize, usize)>,
    steps: usize,
}

/// Bound on the ways that are tried.
const MAX_STEPS: usize = 100_000;

impl Matcher<'_> {
    /// Matches `pieces[piece..]` at a byte of the cell; gives where the match ends.
    fn from(&mut self, piece: usize, at: usize) -> Option<usize> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        let Some(next) = self.pieces.get(piece) else {
            let rest = &self.cell[at..];
            let boundary = rest.chars().next().is_none_or(|c| c.is_whitespace() || c == ',');
            return boundary.then_some(at);
        };
        let rest = &self.cell[at..];
        let start = at + (rest.len() - rest.trim_start().len());
        let rest = &self.cell[start..];
        match next {
            Piece::Letter(letter) => {
                let c = rest.chars().next()?;
                if plain(c) != *letter {
                    return None;
                }
                self.from(piece + 1, start + c.len_utf8())
            }
            Piece::Hole(name) => {
                let longest = rest.find([',', ';', ' ', '\t']).unwrap_or(rest.len());
                let known = self.holes.iter().find(|(known, ..)| known == name).cloned();
                let mut length = longest;
                while length > 0 {
                    if rest.is_char_boundary(length) {
                        let text = &rest[..length];
                        let agrees =
                            known.as_ref().is_none_or(|(_, s, e)| &self.cell[*s..*e] == text);
                        if agrees {
                            let depth = self.holes.len();
                            self.holes.push((name.clone(), start, start + length));
                            if let Some(end) = self.from(piece + 1, start + length) {
                                return Some(end);
                            }
                            self.holes.truncate(depth);
                        }
                    }
                    length -= 1;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(pattern: &str, cell: &str) -> Option<(Vec<(String, String)>, String)> {
        let found = Pattern::parse(pattern).unwrap().find(cell)?;
        let mut holes: Vec<(String, String)> = found
            .holes
            .iter()
            .map(|(name, start, end)| (name.clone(), cell[*start..*end].to_string()))
            .collect();
        holes.dedup();
        Some((holes, cell[found.end..].to_string()))
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_string(), text.to_string())
    }

    #[test]
    fn papers_operators() {
        let (found, rest) = holes("MBConv{e}, k{k}x{k}", "MBConv6, k5×5").unwrap();
        assert_eq!(found, [pair("e", "6"), pair("k", "5")]);
        assert_eq!(rest, "");
        let (found, _) = holes("MBConv{e}, k{k}x{k}, SE{r}", "MBConv4,k3x3,SE0.25").unwrap();
        assert_eq!(found, [pair("e", "4"), pair("k", "3"), pair("r", "0.25")]);
        let (found, _) =
            holes("[1×1, {m}; 3×3, {m}; 1×1, {c}]×{n}", "[1x1, 64; 3x3, 64; 1x1, 256] x 3")
                .unwrap();
        assert_eq!(found[0], pair("m", "64"));
        assert!(found.contains(&pair("c", "256")) && found.contains(&pair("n", "3")));
    }

    #[test]
    fn equal_holes_agree_and_arguments_may_follow() {
        assert_eq!(holes("Conv{k}x{k}", "Conv3x5"), None);
        assert_eq!(holes("Conv{k}x{k}", "Convolution3x3"), None);
        let (_, rest) = holes("Conv{k}x{k}", "Conv3x3, NBN").unwrap();
        assert_eq!(rest, ", NBN");
        assert_eq!(holes("average pool", "average pooling"), None);
        assert!(holes("average pool", "averagepool").is_some());
    }

    #[test]
    fn broken_patterns_are_named() {
        for (pattern, says) in [
            ("MBConv{e", "without its `}`"),
            ("MBConv}", "without its `{`"),
            ("{a}{b}x", "touches"),
            ("{a}", "needs letters"),
            ("x{2}", "no hole"),
        ] {
            assert!(Pattern::parse(pattern).unwrap_err().contains(says), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_cell_ends_at_once() {
        let many: String = (0..20).map(|i| format!("a{{h{i}}}")).collect();
        assert_eq!(Pattern::parse(&(many + "!")).unwrap().find(&"a".repeat(300)), None);
    }
}
