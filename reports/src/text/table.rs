//! Columns, colours and line breaks for a terminal. In go cells, out go lines whose columns
//! stand under each other; colour is put on after the widths are known. Nothing here knows what
//! a run is.

use crate::finding::Tone;
use crate::shell::clean;

/// What an ANSI terminal can do with a piece of text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Paint {
    /// As it is.
    #[default]
    Plain,
    /// Bold.
    Strong,
    /// Dim.
    Quiet,
    /// Red, bold.
    Bad,
    /// Yellow.
    Doubt,
    /// Green.
    Good,
}

impl Paint {
    /// The colour of a tone.
    pub(super) fn of(tone: Tone) -> Self {
        match tone {
            Tone::Bad => Self::Bad,
            Tone::Doubt => Self::Doubt,
            Tone::Good => Self::Good,
            Tone::Plain => Self::Strong,
        }
    }

    /// The text between the sequences that switch the colour on and off.
    pub(super) fn wrap(self, text: &str) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Strong => "1",
            Self::Quiet => "2",
            Self::Bad => "1;31",
            Self::Doubt => "1;33",
            Self::Good => "32",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
    right: bool,
}

impl Cell {
    /// Text, from the left.
    pub(super) fn left(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), ..Self::default() }
    }

    /// A figure, from the right.
    pub(super) fn right(text: impl AsRef<str>) -> Self {
        Self { right: true, ..Self::left(text) }
    }

    /// The same in another colour.
    pub(super) fn paint(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// Rows of cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Width of all columns with the gaps between them.
    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    /// Removes the column at `index`.
    pub(super) fn drop_column(&mut self, index: usize) {
        for row in &mut self.rows {
            if index < row.len() {
                row.remove(index);
            }
        }
    }

    /// Cuts the first column so that a row fits into `width`, to no less than `least`.
    pub(super) fn fit(&mut self, width: usize, least: usize) {
        let excess = self.width().saturating_sub(width);
        let first = self.widths().first().copied().unwrap_or(0);
        let room = first.saturating_sub(excess).max(least);
        for cell in self.rows.iter_mut().filter_map(|row| row.first_mut()) {
            cell.text = shortened(&cell.text, room);
        }
    }

    /// The lines, each behind `indent` spaces and with its end.
    pub(super) fn lines(&self, indent: usize, color: bool) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (place, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[place] - columns(&cell.text));
                let text = if color { cell.paint.wrap(&cell.text) } else { cell.text.clone() };
                let gap = if place > 0 { "  " } else { "" };
                line.push_str(gap);
                line.push_str(&if cell.right { pad + &text } else { text + &pad });
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let most = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        (0..most)
            .map(|place| {
                let cells = self.rows.iter().filter_map(|row| row.get(place));
                cells.map(|cell| columns(&cell.text)).max().unwrap_or(0)
            })
            .collect()
    }
}

/// The text in at most `room` columns: the end of a path says more than its start, so the middle
/// gives way.
pub(super) fn shortened(text: &str, room: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= room {
        return text.to_owned();
    }
    let kept = room.saturating_sub(1);
    let front = kept / 3;
    let start: String = chars[..front].iter().collect();
    let end: String = chars[chars.len() - (kept - front)..].iter().collect();
    format!("{start}…{end}")
}

/// The text in lines of at most `room` columns, broken at spaces.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_with_colour_and_without() {
        let mut table = Table::default();
        table.row(vec![Cell::left("a"), Cell::right("10").paint(Paint::Bad), Cell::left("x")]);
        table.row(vec![Cell::left("long"), Cell::right("9,999"), Cell::left("y")]);
        assert_eq!(table.lines(2, false), "  a        10  x\n  long  9,999  y\n");
        assert_eq!(
            table.lines(2, true),
            "  a        \u{1b}[1;31m10\u{1b}[0m  x\n  long  9,999  y\n"
        );
    }

    #[test]
    fn long_text_gives_way_in_its_middle_and_breaks_at_spaces() {
        assert_eq!(shortened("server/src/hub.rs", 17), "server/src/hub.rs");
        assert_eq!(shortened("server/src/hub.rs", 10), "ser…hub.rs");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 7), [""]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
