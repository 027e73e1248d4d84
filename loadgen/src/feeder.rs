//! Rows of data, and which iteration gets which of them. Pure.
//!
//! In: the bytes of a CSV or JSON file, or rows as written in the scenario; the numbers of an
//! iteration. Out: a [`Table`], and the place of a row in it. Reading files is left to
//! [`crate::files`], putting values into requests to the templates.

use crate::fault::did_you_mean;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Rows at most: they are held in memory once for the whole run.
pub const ROWS_MAX: usize = 5_000_000;

/// Columns at most: more is a file of another kind.
pub const COLUMNS_MAX: usize = 1_000;

/// Bytes of all values together at most, so that their places fit into 32 bits.
const TEXT_MAX: usize = u32::MAX as usize;

/// Which row an iteration gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// One after the other over all users of the flow, and from the start again.
    #[default]
    Sequential,
    /// Any, each as likely.
    Random,
    /// One that no other user gets: user v of N takes the rows v, v + N, v + 2 N and so on.
    Unique,
    /// The same for all iterations of a user.
    PerVu,
}

/// What a user does that has no row left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exhausted {
    /// It stops, and is counted.
    #[default]
    Stop,
    /// It takes its own rows again.
    Repeat,
    /// The run ends as failed.
    Fault,
}

/// The numbers of an iteration, of which alone its rows follow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Turn {
    /// The user.
    pub vu: u64,
    /// Number of the iteration among all of the flow.
    pub sequence: u64,
    /// Users that number their iterations each for itself; 0 when arrivals have numbers.
    pub stride: u64,
    /// A random number of this iteration and table.
    pub random: u64,
    /// Place of the flow among those that take rows of the table for themselves, and how many
    /// there are.
    pub share: (u64, u64),
}

/// A table of values.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    /// All values, one after the other, row by row.
    text: String,
    /// Where each value ends.
    ends: Vec<u32>,
}

impl Table {
    /// A table without rows.
    ///
    /// # Errors
    /// When there is no column, one twice, or too many.
    pub fn new(columns: Vec<String>) -> Result<Self, String> {
        if columns.is_empty() || columns.iter().all(String::is_empty) {
            return Err("there is no column (name them in the first line)".to_owned());
        }
        if columns.len() > COLUMNS_MAX {
            return Err(format!("there are more than {COLUMNS_MAX} columns (leave some out)"));
        }
        for (place, column) in columns.iter().enumerate() {
            if column.is_empty() {
                return Err(format!("column {} has no name (name it)", place + 1));
            }
            if columns[..place].contains(column) {
                return Err(format!("there are two columns `{column}` (rename one)"));
            }
        }
        Ok(Self { columns, ..Self::default() })
    }

    /// Appends a row, which has a value for each column.
    ///
    /// # Errors
    /// When there are too many rows, or they are too large.
    fn push<'v>(&mut self, row: impl Iterator<Item = &'v str>) -> Result<(), String> {
        if self.rows() == ROWS_MAX {
            return Err(format!("there are more than {ROWS_MAX} rows (leave some out)"));
        }
        for value in row {
            if self.text.len() + value.len() > TEXT_MAX {
                return Err("the values are larger than 4 GiB together (leave some out)".to_owned());
            }
            self.text.push_str(value);
            self.ends.push(self.text.len() as u32);
        }
        Ok(())
    }

    /// Reads comma-separated values with the names of the columns in the first line (RFC 4180).
    ///
    /// # Errors
    /// What is wrong in which line.
    pub fn from_csv(bytes: &[u8], delimiter: u8) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
        let words = |error: csv::Error| {
            let line = error.position().map_or(0, csv::Position::line);
            format!("line {line}: {}", reason(&error))
        };
        let head = reader.headers().map_err(words)?;
        let columns: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
        let mut table = Self::new(columns)?;
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row).map_err(words)? {
            if row.len() != table.columns.len() {
                let line = row.position().map_or(0, csv::Position::line);
                return Err(format!(
                    "line {line}: the row has {} values, and the first line names {} columns \
                     (quote values with a `{}` in them)",
                    row.len(),
                    table.columns.len(),
                    char::from(delimiter)
                ));
            }
            table.push(row.iter())?;
        }
        table.filled()
    }

    /// Reads a JSON array of objects, whose fields are the columns. A field that an object does
    /// not have is empty there.
    ///
    /// # Errors
    /// What is wrong with which row.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not JSON: {error} (write an array of objects)"))?;
        let Value::Array(items) = value else {
            return Err("it is not an array (write an array of objects)".to_owned());
        };
        let mut rows = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            let Value::Object(fields) = item else {
                return Err(format!("row {place} is not an object (write an array of objects)"));
            };
            let text = |value: Value| match value {
                Value::String(text) => text,
                Value::Null => String::new(),
                other => other.to_string(),
            };
            rows.push(fields.into_iter().map(|(name, value)| (name, text(value))).collect());
        }
        Self::from_rows(rows)
    }

    /// A table of rows whose columns are named in each; one that a row does not name is empty
    /// there.
    ///
    /// # Errors
    /// As [`Table::new`]; when there is no row.
    pub fn from_rows(rows: Vec<Vec<(String, String)>>) -> Result<Self, String> {
        let mut columns: Vec<String> = Vec::new();
        for (name, _) in rows.iter().flatten() {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        if rows.is_empty() {
            return Err(NO_ROW.to_owned());
        }
        let mut table = Self::new(columns)?;
        for row in &rows {
            let columns = std::mem::take(&mut table.columns);
            let value = |column: &String| {
                row.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value)
            };
            let pushed = table.push(columns.iter().map(value));
            table.columns = columns;
            pushed?;
        }
        Ok(table)
    }

    fn filled(self) -> Result<Self, String> {
        if self.rows() == 0 { Err(NO_ROW.to_owned()) } else { Ok(self) }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len() / self.columns.len().max(1)
    }

    /// Names of the columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Place of a column.
    ///
    /// # Errors
    /// What there is instead.
    pub fn column(&self, table: &str, name: &str) -> Result<usize, String> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let hint = did_you_mean(name, self.columns.iter().map(String::as_str));
            if hint.is_empty() {
                let known: Vec<String> =
                    self.columns.iter().map(|column| format!("`{column}`")).collect();
                return format!("`{table}` has no column `{name}` (it has {})", known.join(", "));
            }
            format!("`{table}` has no column `{name}`{hint}")
        })
    }

    /// The value in a row and a column; empty outside the table.
    #[must_use]
    pub fn value(&self, row: usize, column: usize) -> &str {
        let place = row * self.columns.len() + column;
        let Some(end) = self.ends.get(place) else { return "" };
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin as usize..*end as usize]
    }
}

const NO_ROW: &str = "there is no row (add one)";

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8 text (convert it)".to_owned(),
        _ => error.to_string(),
    }
}

/// What is shown of a table in a plan.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut shown = serializer.serialize_struct("Table", 2)?;
        shown.serialize_field("columns", &self.columns)?;
        shown.serialize_field("rows", &self.rows())?;
        shown.end()
    }
}

impl Pick {
    /// Place of the row of an iteration; none when it has none (left).
    #[must_use]
    pub fn row(self, exhausted: Exhausted, rows: usize, turn: &Turn) -> Option<usize> {
        let rows = rows as u64;
        let row = match self {
            Self::Sequential => turn.sequence.checked_rem(rows)?,
            Self::Random => ((u128::from(turn.random) * u128::from(rows)) >> 64) as u64,
            Self::PerVu => turn.vu.checked_rem(rows)?,
            Self::Unique => {
                let (index, count) = turn.share;
                let own = rows.saturating_sub(index).div_ceil(count.max(1));
                index + unique(own, exhausted, turn)? * count
            }
        };
        (row < rows).then_some(row as usize)
    }
}

/// Among so many rows, that of an iteration.
fn unique(rows: u64, exhausted: Exhausted, turn: &Turn) -> Option<u64> {
    if turn.stride > 0 && turn.vu >= turn.stride {
        // A user that a faster pace has added has no rows of its own.
        return None;
    }
    if turn.sequence < rows {
        return Some(turn.sequence);
    }
    if exhausted != Exhausted::Repeat {
        return None;
    }
    let stride = turn.stride.max(1);
    let vu = if turn.stride == 0 { 0 } else { turn.vu };
    let own = rows.checked_sub(vu).filter(|left| *left > 0)?.div_ceil(stride);
    Some(vu + (turn.sequence / stride) % own * stride)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, String> {
        Table::from_csv(text.as_bytes(), b',')
    }

    #[test]
    fn files_of_both_kinds_give_the_same_values() {
        let csv = "\u{feff}name, note\nann,\"a, \"\"b\"\"\nc\"\r\nbob,\n";
        let json = r#"[{"name":"ann","note":"a, \"b\"\nc"},{"name":"bob","note":null}]"#;
        let rows = vec![
            vec![("name".to_owned(), "ann".to_owned()), ("note".into(), "a, \"b\"\nc".into())],
            vec![("name".to_owned(), "bob".to_owned())],
        ];
        for table in [table(csv), Table::from_json(json.as_bytes()), Table::from_rows(rows)] {
            let table = table.unwrap_or_else(|what| panic!("{what}"));
            assert_eq!(table.columns(), ["name", "note"]);
            assert_eq!(table.rows(), 2);
            assert_eq!(table.value(0, 1), "a, \"b\"\nc");
            assert_eq!((table.value(1, 0), table.value(1, 1)), ("bob", ""));
            assert_eq!(table.value(2, 0), "");
        }
        let json = Table::from_json(br#"[{"n":1.5,"deep":{"a":[1]},"yes":true}]"#);
        let json = json.unwrap_or_else(|what| panic!("{what}"));
        let values: Vec<&str> = (0..3).map(|column| json.value(0, column)).collect();
        assert_eq!(values, [r#"{"a":[1]}"#, "1.5", "true"]);
        let semicolons = Table::from_csv(b"a;b\n1,5;2\n", b';');
        assert_eq!(semicolons.map(|table| table.value(0, 0).to_owned()), Ok("1,5".to_owned()));
    }

    #[test]
    fn bad_tables_say_what_is_wrong_in_which_line() {
        for (text, expected) in [
            ("", "there is no column (name them in the first line)"),
            ("a,b\n", "there is no row (add one)"),
            ("a,,b\n1,2,3\n", "column 2 has no name (name it)"),
            ("a,b,a\n1,2,3\n", "there are two columns `a` (rename one)"),
            (
                "a,b\n1,2\n\"x\ny\",2\n1,2,3\n",
                "line 5: the row has 3 values, and the first line names 2 columns (quote values \
                 with a `,` in them)",
            ),
            (
                "a,b\n1\n",
                "line 2: the row has 1 values, and the first line names 2 columns (quote values \
                 with a `,` in them)",
            ),
        ] {
            assert_eq!(table(text), Err(expected.to_owned()), "{text}");
        }
        let found = Table::from_csv(b"a\nok\n\xFF\n", b',');
        assert_eq!(found, Err("line 3: it is not UTF-8 text (convert it)".to_owned()));
        for (text, expected) in [
            ("{}", "it is not an array (write an array of objects)"),
            ("[{\"a\":1},2]", "row 1 is not an object (write an array of objects)"),
            ("[]", "there is no row (add one)"),
            ("[{}]", "there is no column (name them in the first line)"),
        ] {
            assert_eq!(Table::from_json(text.as_bytes()), Err(expected.to_owned()), "{text}");
        }
        let found = Table::from_json(b"[{\"a\":1},").unwrap_err();
        assert!(found.starts_with("it is not JSON: EOF while parsing"), "{found}");
        let known = table("name,password\na,b\n").unwrap_or_default();
        for (name, expected) in [
            ("nmae", "`users` has no column `nmae` (did you mean `name`?)"),
            ("age", "`users` has no column `age` (it has `name`, `password`)"),
        ] {
            assert_eq!(known.column("users", name), Err(expected.to_owned()));
        }
    }
}
