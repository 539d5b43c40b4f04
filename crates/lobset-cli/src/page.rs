//! Text for a terminal: plain or in colours, with tables. Escapes text from outside so that it cannot control the
//! terminal.

use std::io;

use anstream::{AutoStream, ColorChoice};
use lobset::printable;

/// How a piece of text looks on a terminal with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Strong,
    Faint,
    Good,
    Caution,
    Bad,
}

impl Style {
    /// The sequence that begins the style.
    fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Caution => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Pieces of text, each with its style.
#[derive(Debug, Default)]
pub struct Page(Vec<(Style, String)>);

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self(vec![(Style::Plain, text)])
    }
}

impl Page {
    pub fn push(&mut self, style: Style, text: impl Into<String>) -> &mut Self {
        self.0.push((style, text.into()));
        self
    }

    /// Adds one plain line, even if its text contains line breaks.
    pub fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.push(Style::Plain, printable(text.as_ref()) + "\n")
    }

    /// Adds a sentence, wrapped at 80 characters if its words are short enough.
    pub fn sentence(&mut self, text: &str) -> &mut Self {
        self.push(Style::Plain, wrapped(&printable(text), 80, "  ") + "\n")
    }

    /// Adds a faint sentence.
    pub fn note(&mut self, text: &str) -> &mut Self {
        self.push(Style::Faint, wrapped(&printable(text), 80, "  ") + "\n")
    }

    /// Adds a table.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        let widths: Vec<usize> = (0..table.head.len()).map(|column| table.width(column)).collect();
        let last = widths.len().saturating_sub(1);
        let mut row = |cells: &mut dyn Iterator<Item = (Style, &str)>| {
            for (column, (style, text)) in cells.enumerate() {
                let padding = " ".repeat(widths[column] - text.chars().count());
                let between = if column == 0 { "" } else { "  " };
                match table.head[column] {
                    // No spaces at the end of a line.
                    Column::Left(_) if column == last => self.push(Style::Plain, between).push(style, text),
                    Column::Left(_) => self.push(Style::Plain, between).push(style, text).push(Style::Plain, padding),
                    Column::Right(_) => self.push(Style::Plain, between.to_owned() + &padding).push(style, text),
                };
            }
            self.push(Style::Plain, "\n");
        };
        row(&mut table.head.iter().map(|column| (Style::Strong, column.name())));
        table.rows.iter().for_each(|cells| row(&mut cells.iter().map(|(style, text)| (*style, text.as_str()))));
        self
    }

    /// The text for stdout, in colours if it is a terminal that supports them (`NO_COLOR` and `CLICOLOR_FORCE` override
    /// this).
    pub fn for_stdout(&self) -> String {
        self.text(AutoStream::choice(&io::stdout()) != ColorChoice::Never)
    }

    fn text(&self, colours: bool) -> String {
        let mut text = String::new();
        for (style, piece) in &self.0 {
            let begin = if colours { style.begin() } else { "" };
            let end = if begin.is_empty() { "" } else { "\x1b[0m" };
            // A style ends with its line.
            for (number, line) in piece.split('\n').enumerate() {
                if number > 0 {
                    text.push('\n');
                }
                if !line.is_empty() {
                    text.extend([begin, &printable(line), end]);
                }
            }
        }
        // Padding before cells without text would end a line with spaces.
        text.split('\n').map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

/// A column of a table, aligned left or right.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Column {
    fn name(&self) -> &'static str {
        let (Self::Left(name) | Self::Right(name)) = self;
        name
    }
}

/// A table. Columns are as wide as their widest cell.
#[derive(Debug)]
pub struct Table {
    head: Vec<Column>,
    rows: Vec<Vec<(Style, String)>>,
}

impl Table {
    pub fn new(head: impl Into<Vec<Column>>) -> Self {
        Self { head: head.into(), rows: Vec::new() }
    }

    /// Adds a row of plain cells.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.styled(cells.into_iter().map(|text| (Style::Plain, text.into())));
    }

    /// Adds a row. Names of symbols and files may contain line breaks; a cell must stay on one line.
    pub fn styled(&mut self, cells: impl IntoIterator<Item = (Style, String)>) {
        self.rows.push(cells.into_iter().map(|(style, text)| (style, printable(&text).into_owned())).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.as_str());
        cells.chain([self.head[column].name()]).map(|text| text.chars().count()).max().unwrap_or(0)
    }
}

/// At most `most` characters of a text; the end of a longer one is replaced by an ellipsis.
pub fn shortened(text: &str, most: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= most {
        return text.into_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Wraps a text at `width` characters if its words are short enough; lines after the first begin with `indent`.
pub fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            None => lines.push(word.to_owned()),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_codes_only_on_a_terminal_with_colours() {
        let mut page = Page::default();
        page.push(Style::Good, "two\nlines").line(" and more");
        assert_eq!(page.text(false), "two\nlines and more\n");
        assert_eq!(page.text(true), "\x1b[32mtwo\x1b[0m\n\x1b[32mlines\x1b[0m and more\n");
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let mut page = Page::default();
        let mut table = Table::new([Column::Left("symbol"), Column::Right("rows")]);
        table.row(["x\x1b[2J\nvalidation passed", "7"]);
        page.table(&table).sentence("a\u{202e}b");
        let text = page.text(false);
        assert_eq!(text.lines().count(), 3);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([Column::Left("symbol"), Column::Right("rows"), Column::Left("why")]);
        table.row(["A", "10,000", "long"]);
        table.row(["LONGER", "7", ""]);
        let mut page = Page::default();
        assert_eq!(page.table(&table).text(false), "symbol    rows  why\nA       10,000  long\nLONGER       7\n");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shortened("M6AM4", 5), "M6AM4");
        assert_eq!(shortened("M6AM4-M6AU4", 8), "M6AM4-M…");
        assert_eq!(wrapped("one two three", 7, "  "), "one two\n  three");
        assert_eq!(wrapped("", 7, ""), "");
    }
}
