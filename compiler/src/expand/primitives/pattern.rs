//! The patterns of `view`: `(h a) (w b) c -> (a b) (h w) c`.

/// One axis of a pattern: the letters that it is made of, slowest first. `1` is an axis of length
/// one and has no letters.
pub(crate) type Axis = Vec<String>;

/// One side of a pattern.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Side {
    /// Whether it begins with `...`: any number of axes that stay as they are.
    pub leading: bool,
    pub axes: Vec<Axis>,
}

/// Both sides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub from: Side,
    pub to: Side,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what cannot be read.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let Some((from, to)) = text.split_once("->") else {
            return Err("a view pattern has two sides with `->` between them".into());
        };
        let (from, to) = (Side::parse(from)?, Side::parse(to)?);
        if from.leading != to.leading {
            return Err("`...` must stand on both sides or on neither".into());
        }
        for letter in from.letters() {
            if !to.letters().any(|other| other == letter) {
                return Err(format!("`{letter}` stands on the left and not on the right"));
            }
        }
        for letter in to.letters() {
            if !from.letters().any(|other| other == letter) {
                return Err(format!("`{letter}` stands on the right and not on the left"));
            }
        }
        Ok(Pattern { from, to })
    }
}

impl Side {
    pub fn letters(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().flatten().map(String::as_str)
    }

    fn parse(text: &str) -> Result<Side, String> {
        let mut side = Side::default();
        let mut group: Option<Axis> = None;
        let mut rest = text.trim_start();
        if let Some(after) = rest.strip_prefix("...") {
            side.leading = true;
            rest = after;
        }
        while let Some(c) = rest.chars().next() {
            let length = match c {
                c if c.is_whitespace() => c.len_utf8(),
                '(' if group.is_none() => {
                    group = Some(Vec::new());
                    1
                }
                ')' => match group.take() {
                    Some(axis) => {
                        side.axes.push(axis);
                        1
                    }
                    None => return Err("a `)` without its `(`".into()),
                },
                '(' => return Err("parentheses do not nest in a view pattern".into()),
                '1' => {
                    if group.is_none() {
                        side.axes.push(Vec::new());
                    }
                    1
                }
                c if c.is_ascii_alphabetic() || c == '_' => {
                    let end = rest
                        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                        .unwrap_or(rest.len());
                    let letter = rest[..end].to_string();
                    if side
                        .letters()
                        .chain(group.iter().flatten().map(String::as_str))
                        .any(|l| l == letter)
                    {
                        return Err(format!("`{letter}` stands twice on one side"));
                    }
                    match &mut group {
                        Some(axis) => axis.push(letter),
                        None => side.axes.push(vec![letter]),
                    }
                    end
                }
                other => return Err(format!("`{other}` has no place in a view pattern")),
            };
            rest = &rest[length..];
        }
        if group.is_some() {
            return Err("a `(` without its `)`".into());
        }
        Ok(side)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn reads_both_sides() {
        let pattern = Pattern::parse("(h a) (w b) c -> (a b) (h w) c").unwrap();
        assert_eq!(pattern.from.axes, [vec!["h", "a"], vec!["w", "b"], vec!["c"]]);
        assert_eq!(pattern.to.axes, [vec!["a", "b"], vec!["h", "w"], vec!["c"]]);
        let pattern = Pattern::parse("... t (h d) -> ... h t d 1").unwrap();
        assert!(pattern.from.leading && pattern.to.leading);
        assert_eq!(pattern.to.axes.last(), Some(&Vec::new()));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("a b", "two sides"),
            ("a b -> a", "`b` stands on the left and not on the right"),
            ("a -> a b", "`b` stands on the right and not on the left"),
            ("a a -> a", "twice"),
            ("(a (b)) -> a b", "nest"),
            ("(a b -> a b", "without its `)`"),
            ("a) -> a", "without its `(`"),
            ("a + b -> a b", "`+` has no place"),
            ("... a -> a", "both sides"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
