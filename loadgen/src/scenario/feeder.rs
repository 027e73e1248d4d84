//! Data that users work with: `[data.NAME]`, a file or rows. Pure.
//!
//! In: a table of the document. Out: a [`Feeder`], with all faults noted in the reader. The bytes
//! of its file are left to [`crate::files`], its columns to the plan.

use super::Feeder;
use super::document::word;
use super::reader::{Fields, Node};
use super::step::unusable;
use crate::feeder::{Exhausted, Pick, Table};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Words for how rows are picked.
const PICKS: [(&str, Pick); 4] = [
    ("sequential", Pick::Sequential),
    ("random", Pick::Random),
    ("unique", Pick::Unique),
    ("per-vu", Pick::PerVu),
];

/// Words for what happens once a user has no row left.
const ENDS: [(&str, Exhausted); 3] =
    [("stop", Exhausted::Stop), ("repeat", Exhausted::Repeat), ("fault", Exhausted::Fault)];

/// Names that `${name.column}` has another meaning for.
const TAKEN: [&str; 2] = ["env", "setup"];

/// Where the rows of a feeder are.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// In a CSV file, whose values this byte separates.
    Csv {
        /// Its path from the scenario's folder.
        file: String,
        /// Between values.
        delimiter: u8,
    },
    /// In a JSON file: an array of objects.
    Json {
        /// Its path from the scenario's folder.
        file: String,
    },
    /// In the scenario.
    Inline(Arc<Table>),
}

/// Reads all tables of data.
pub(super) fn read_all(fields: &Fields<'_, '_>) -> BTreeMap<String, Feeder> {
    let mut feeders = BTreeMap::new();
    for (name, node) in fields.entries() {
        if TAKEN.contains(&name) {
            node.fault(format!("`{name}` has a meaning of its own (give the table another name)"));
        } else if let Some(what) = unusable(name) {
            node.fault(what);
        }
        if let Some(feeder) = read(&node) {
            feeders.insert(name.to_owned(), feeder);
        }
    }
    feeders
}

fn read(node: &Node<'_, '_>) -> Option<Feeder> {
    let fields = node.fields()?;
    let rows = match (fields.opt("file"), fields.opt("rows")) {
        (Some(node), None) => file(&fields, &node),
        (None, Some(node)) => inline(&node),
        (Some(_), Some(_)) => {
            fields.fault("`file` and `rows` exclude each other (remove one of them)");
            None
        }
        (None, None) => {
            fields.fault(
                "neither `file` nor `rows` says what the data is (write `file = \"users.csv\"`)",
            );
            None
        }
    };
    if let (Some(node), Some(Rows::Json { .. } | Rows::Inline(_))) =
        (fields.opt("delimiter"), &rows)
    {
        node.fault("`delimiter` is for CSV files (remove it)");
    }
    let pick = fields.opt("pick").and_then(|node| word(&node, &PICKS)).unwrap_or_default();
    let ends = fields.opt("when_exhausted");
    let when_exhausted = ends.as_ref().and_then(|node| word(node, &ENDS)).unwrap_or_default();
    if let Some(node) = ends
        && pick != Pick::Unique
    {
        node.fault("only unique rows are ever exhausted (write `pick = \"unique\"`, or remove it)");
    }
    let line = node.line();
    fields.finish();
    let rows = rows?;
    Some(Feeder { rows, pick, when_exhausted, line, table: OnceLock::new() })
}

fn file(fields: &Fields<'_, '_>, node: &Node<'_, '_>) -> Option<Rows> {
    let file = node.text()?.to_owned();
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    let rows = match ending.as_str() {
        "csv" => Rows::Csv { file, delimiter: delimiter(fields, b',')? },
        "tsv" => Rows::Csv { file, delimiter: delimiter(fields, b'\t')? },
        "json" => Rows::Json { file },
        _ => {
            node.fault(format!("`{file}` is neither a `.csv` nor a `.json` file (rename it)"));
            return None;
        }
    };
    let (Rows::Csv { file, .. } | Rows::Json { file }) = &rows else { return None };
    node.want_file(file);
    Some(rows)
}

fn delimiter(fields: &Fields<'_, '_>, default: u8) -> Option<u8> {
    let Some(node) = fields.opt("delimiter") else { return Some(default) };
    match node.text()?.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Some(*byte),
        _ => {
            node.fault("a delimiter is one character (write `delimiter = \";\"`)");
            None
        }
    }
}

fn inline(node: &Node<'_, '_>) -> Option<Rows> {
    let mut rows = Vec::new();
    for item in node.items()? {
        let fields = item.fields()?;
        let values = fields.entries().into_iter().map(|(name, node)| {
            let text = node.plain()?;
            Some((name.to_owned(), text))
        });
        rows.push(values.collect::<Option<Vec<_>>>()?);
    }
    match Table::from_rows(rows) {
        Ok(table) => Some(Rows::Inline(Arc::new(table))),
        Err(what) => {
            node.fault(what);
            None
        }
    }
}
