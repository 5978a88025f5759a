//! Tables in Markdown, as they go into docs/performance.md, and the bars.

use std::fmt::Write as _;

use crate::machine;

/// What has to be reached, and what was.
pub(crate) struct Bar {
    pub(crate) what: String,
    pub(crate) bar: &'static str,
    pub(crate) got: String,
    pub(crate) met: bool,
    /// Whether other work disturbed the run.
    pub(crate) noisy: bool,
}

/// The bars of a run.
pub(crate) struct Report {
    pub(crate) bars: Vec<Bar>,
    noisy: bool,
}

impl Default for Report {
    /// To be made before the run adds its own load to the machine's.
    fn default() -> Self {
        Self { bars: Vec::new(), noisy: machine::is_busy() }
    }
}

impl Report {
    pub(crate) fn bar(&mut self, what: impl Into<String>, bar: &'static str, got: String, met: bool) {
        self.bars.push(Bar { what: what.into(), bar, got, met, noisy: self.noisy });
    }

    pub(crate) fn missed(&self) -> usize {
        self.bars.iter().filter(|bar| !bar.met).count()
    }

    pub(crate) fn bars_table(&self) -> String {
        let mut table = Table::new(&["what", "bar", "got", "result"]);
        let rows: Vec<[String; 4]> = self
            .bars
            .iter()
            .map(|bar| [bar.what.clone(), bar.bar.to_owned(), bar.got.clone(), if bar.met { "pass" } else { "MISS" }.to_owned()])
            .collect();
        rows.iter().for_each(|row| table.fit(row));
        let mut text = table.head();
        for row in &rows {
            text.push('\n');
            text.push_str(&table.row(row));
        }
        text.push('\n');
        text
    }
}

/// A table that is printed row by row; columns are as wide as their titles, or as what was fitted.
pub(crate) struct Table {
    titles: Vec<String>,
    widths: Vec<usize>,
}

/// The first column holds names, which are longer than its title.
const NAME_WIDTH: usize = 24;

impl Table {
    pub(crate) fn new(titles: &[&str]) -> Self {
        let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
        if let Some(first) = widths.first_mut() {
            *first = NAME_WIDTH.max(*first);
        }
        Self { titles: titles.iter().map(|&title| title.to_owned()).collect(), widths }
    }

    /// Widens the columns so that this row fits.
    pub(crate) fn fit(&mut self, cells: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }

    pub(crate) fn head(&self) -> String {
        let rules: Vec<String> = self.widths.iter().map(|&width| "-".repeat(width)).collect();
        format!("{}\n{}", self.row(&self.titles), self.row(&rules))
    }

    pub(crate) fn row(&self, cells: &[String]) -> String {
        let mut line = String::from("|");
        for (cell, width) in cells.iter().zip(&self.widths) {
            // Writing to a String cannot fail.
            let _written = write!(line, " {cell:<width$} |");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_bar_is_said_and_counted() {
        let mut report = Report { bars: Vec::new(), noisy: false };
        report.bar("start-up", "< 2 s", "1.2 s".into(), true);
        report.bar("memory", "≤ 300 MB", "412 MB".into(), false);
        assert_eq!(report.missed(), 1);
        let table = report.bars_table();
        assert!(table.contains("| start-up                 | < 2 s    | 1.2 s  | pass   |"), "{table}");
        assert!(table.contains("| memory                   | ≤ 300 MB | 412 MB | MISS   |"), "{table}");
    }
}
