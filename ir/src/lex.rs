//! Tokens of a line of the text form.

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// Letters, digits and `_ . + -`: a name or a number.
    Word(&'a str),
    /// A quoted text, without quotes and escapes.
    Text(String),
    /// Any other character.
    Mark(char),
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::Word(word) => write!(f, "`{word}`"),
            Token::Text(text) => write!(f, "{}", quote(text)),
            Token::Mark(mark) => write!(f, "`{mark}`"),
        }
    }
}

/// `text` in quotes, with `"`, `\` and control characters escaped.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a node's name can stand without quotes after `;`.
pub(crate) fn stands_bare(name: &str) -> bool {
    name.trim() == name && !name.starts_with('"') && !name.chars().any(char::is_control)
}

/// Tokens of a line, and what follows its `;`.
pub(crate) fn split(line: &str) -> Result<(Vec<Token<'_>>, Option<String>), String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
        if c == ';' {
            return Ok((tokens, Some(name(rest[1..].trim())?)));
        } else if c == '"' {
            let (text, after) = unquote(rest)?;
            tokens.push(Token::Text(text));
            rest = after;
        } else if is_word(c) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        } else {
            tokens.push(Token::Mark(c));
            rest = &rest[c.len_utf8()..];
        }
        rest = rest.trim_start();
    }
    Ok((tokens, None))
}

fn name(text: &str) -> Result<String, String> {
    if !text.starts_with('"') {
        return Ok(text.to_string());
    }
    match unquote(text)? {
        (name, "") => Ok(name),
        (_, after) => Err(format!("unexpected `{after}` after the quoted name")),
    }
}

/// The text in quotes at the start of `rest`, and what follows it.
fn unquote(rest: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text, &rest[at + 1..])),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => text.push(c),
                Some((_, 'u')) => {
                    let digits: String = chars
                        .by_ref()
                        .map(|(_, c)| c)
                        .skip_while(|&c| c == '{')
                        .take_while(|&c| c != '}')
                        .take(9)
                        .collect();
                    let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    text.push(code.ok_or_else(|| format!("`\\u{{{digits}}}` is no character"))?);
                }
                _ => return Err("unknown escape in a quoted text".into()),
            },
            c => text.push(c),
        }
    }
    Err("a quoted text is not closed".into())
}
