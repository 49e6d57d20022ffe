//! Text in columns.

use std::io::{self, Write};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows of cells; columns are as wide as their widest cell.
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
    /// Rows above which a line is drawn.
    rules: Vec<usize>,
}

impl Table {
    pub fn new(header: &[(&str, Align)]) -> Table {
        let columns = header.iter().map(|(_, align)| *align).collect();
        let titles = header.iter().map(|(title, _)| title.to_string()).collect();
        Table { columns, rows: vec![titles], rules: vec![1] }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A line below the rows so far.
    pub fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        for (number, row) in self.rows.iter().enumerate() {
            if self.rules.contains(&number) {
                writeln!(out, "{}", "─".repeat(total))?;
            }
            let cells = row.iter().zip(&widths).zip(&self.columns).map(
                |((cell, &width), align)| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                },
            );
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `3504872` as `3,504,872`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `[1, 112, 112, 32]` as `1×112×112×32`.
pub fn shape(axes: &[usize]) -> String {
    axes.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("layer", Align::Left), ("params", Align::Right)]);
        table.row(vec!["stem".into(), thousands(928)]);
        table.rule();
        table.row(vec!["total".into(), thousands(3_504_872)]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        let expected = "layer     params\n────────────────\nstem         928\n────────────────\ntotal  3,504,872\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn numbers() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(shape(&[1, 7, 7]), "1×7×7");
        assert_eq!(shape(&[]), "");
    }
}
