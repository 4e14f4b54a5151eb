//! Plain columns: numbers to the right, addresses last, so that a long one pushes nothing out of line.

use textwrap::core::display_width;

use super::layout::{DIM, TextLayout};

/// A column: two lines of header, and on which side its cells stand.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Two lines above the column.
    pub header: [&'static str; 2],
    /// Aligned to the right.
    pub right: bool,
}

/// A column of numbers.
#[must_use]
pub const fn right(top: &'static str, bottom: &'static str) -> Column {
    Column { header: [top, bottom], right: true }
}

/// A column of words.
#[must_use]
pub const fn left(header: &'static str) -> Column {
    Column { header: ["", header], right: false }
}

impl TextLayout {
    /// Adds a table whose last column, if it would not fit, gets a line by itself above each row.
    pub fn table<const N: usize>(self, to: &mut String, columns: [Column; N], rows: &[[String; N]]) {
        let mut widths =
            columns.map(|column| column.header.map(display_width).into_iter().max().unwrap_or(0));
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = display_width(cell).max(*width);
            }
        }
        let beside = widths.iter().sum::<usize>() + 2 * N.saturating_sub(1) <= self.width;
        let shown = if beside { N } else { N - 1 };
        let line = |cells: &[&str]| {
            let mut line = String::new();
            for ((cell, width), column) in cells.iter().zip(widths).zip(columns).take(shown) {
                let fill = " ".repeat(width.saturating_sub(display_width(cell)));
                let (before, after) = if column.right { (fill.as_str(), "") } else { ("", fill.as_str()) };
                line.extend([before, cell, after, "  "]);
            }
            line.truncate(line.trim_end().len());
            line
        };
        for i in 0..2 {
            let header = line(&columns.map(|column| column.header[i]));
            if !header.is_empty() {
                *to += &self.paint(DIM, &header);
                to.push('\n');
            }
        }
        for row in rows {
            if !beside {
                to.extend([row[N - 1].as_str(), "\n"]);
            }
            *to += &line(&row.each_ref().map(String::as_str));
            to.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::assert_fits;
    use super::*;

    const COLUMNS: [Column; 3] = [right("", "count"), left("cause"), left("upstream")];

    fn table(width: usize, rows: &[[&str; 3]]) -> String {
        let mut to = String::new();
        let rows: Vec<_> = rows.iter().map(|row| row.map(str::to_owned)).collect();
        TextLayout { width, colour: false }.table(&mut to, COLUMNS, &rows);
        assert_fits(&to, width);
        to
    }

    #[test]
    fn columns_are_aligned() {
        let text =
            table(80, &[["1,234", "port-refused", "10.0.0.2:80"], ["7", "unknown", "unix:/run/größe.sock"]]);
        assert_eq!(
            text,
            "\
count  cause         upstream
1,234  port-refused  10.0.0.2:80
    7  unknown       unix:/run/größe.sock
"
        );
    }

    #[test]
    fn addresses_that_do_not_fit_stand_above_their_row() {
        let text = table(30, &[["1", "port-refused", "unix:/run/app.sock"], ["7", "unknown", "10.0.0.2:80"]]);
        assert_eq!(
            text,
            "\
count  cause
unix:/run/app.sock
    1  port-refused
10.0.0.2:80
    7  unknown
"
        );
    }
}
