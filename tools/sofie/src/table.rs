//! Tables in plain text: columns as wide as their widest cell, numbers to the right, the last column free.

use crate::answer::{TITLE, styled};

/// A column's head and side.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Words, to the left.
    Left(&'static str),
    /// Numbers, to the right.
    Right(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Left(title) | Column::Right(title) => title,
        }
    }

    fn cell(self, text: &str, width: usize) -> String {
        match self {
            Column::Left(_) => format!("{text:<width$}"),
            Column::Right(_) => format!("{text:>width$}"),
        }
    }
}

/// The table, without a line break at the end.
pub fn table(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(columns[i].title().chars().count())
    };
    let line = |cells: &[&str]| {
        let mut text = String::new();
        for (i, (column, cell)) in columns.iter().zip(cells).enumerate() {
            text += if i == 0 { "" } else { "  " };
            text += &column.cell(cell, width(i));
        }
        text.trim_end().to_owned()
    };
    let titles: Vec<&str> = columns.iter().map(|c| c.title()).collect();
    let head = styled(TITLE, line(&titles));
    let body = rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    [head].into_iter().chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = [vec!["a".to_owned(), "100".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        let text = table(&[Column::Left("name"), Column::Right("n")], &rows);
        let plain: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(plain, ["a     100", "long    7"]);
    }
}
