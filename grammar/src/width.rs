//! How much room text takes on a screen.

/// Columns that `text` takes in a fixed-width font.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Combining marks and controls take no room, East Asian letters and most emoji take two columns.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0..=0x1F
        | 0x7F..=0x9F
        | 0x300..=0x36F
        | 0x200B..=0x200F
        | 0x20D0..=0x20FF
        | 0xFE00..=0xFE0F
        | 0xFEFF => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF01..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

/// `text` and blanks up to `columns`.
pub(crate) fn pad(text: &str, columns: usize) -> String {
    let mut padded = text.to_string();
    padded.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(text))));
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_combining_characters_count_as_shown() {
        assert_eq!(width("224²×3"), 6);
        assert_eq!(width("✓"), 1);
        assert_eq!(width("畳み込み"), 8);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(pad("²", 3), "²  ");
    }
}
