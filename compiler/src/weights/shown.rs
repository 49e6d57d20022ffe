//! Texts of a file as messages show them.

use std::borrow::Cow;

/// Most characters of a text that are shown.
const MOST: usize = 120;

/// Characters at the end that are shown of a text that is longer.
const END: usize = 40;

/// A text that a file holds, for a message: control characters are written as escapes, so that a
/// hostile name cannot steer a terminal, and the middle of a long text is left out.
pub fn shown(text: &str) -> Cow<'_, str> {
    let plain = |c: char| !c.is_control() && !is_invisible(c);
    if text.len() <= MOST && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| -> String {
        if plain(c) { c.to_string() } else { c.escape_unicode().to_string() }
    };
    let count = text.chars().count();
    if count <= MOST {
        return text.chars().map(escaped).collect();
    }
    let start = text.chars().take(MOST - END).map(escaped);
    let end = text.chars().skip(count - END).map(escaped);
    start.chain(["...".to_string()]).chain(end).collect()
}

/// Characters that turn the direction of a text, or take no place.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn hostile_and_long_texts() {
        assert_eq!(shown("blocks.0.conv.weight"), "blocks.0.conv.weight");
        assert_eq!(shown("größe"), "größe");
        assert_eq!(shown("\u{1b}[2Ja\n\u{202e}b"), "\\u{1b}[2Ja\\u{a}\\u{202e}b");
        let long = shown(&format!("start{}end", "ü".repeat(1_000_000))).into_owned();
        assert!(long.starts_with("startü") && long.ends_with("üend"), "{long}");
        assert_eq!(long.chars().count(), 123);
    }
}
