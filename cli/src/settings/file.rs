//! The file of settings: TOML, one key for each, without tables.
//! In: its name and its text. Out: what it says, with lines; what is wrong with it.
//! Leaves to others: what the values mean (`value`).

use super::table::{FIELDS, Field};
use super::{Faults, Origin, Said};
use ebbtide_loadgen::fault::did_you_mean;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a file. What is wrong is added to the faults, and the rest is read all the same.
pub(super) fn read(file: &str, text: &str, faults: &mut Faults) -> Vec<Said> {
    let line_at = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let line = error.span().map_or(1, |span| line_at(span.start));
        faults.add(format!("{file}:{line}"), error.message().replace('\n', ", "));
    }
    let mut said = Vec::new();
    for (key, value) in table.get_ref().iter() {
        let name: &str = key.get_ref();
        let origin = Origin::File(file.to_owned(), line_at(key.span().start));
        let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
            let hint = did_you_mean(name, FIELDS.iter().map(|field| field.name));
            faults.add(origin, format!("there is no setting `{name}`{hint}"));
            continue;
        };
        match values(field, value) {
            Ok(values) => said.push(Said { field, origin, values }),
            Err(what) => faults.add(origin, format!("`{name}`: {what}")),
        }
    }
    said.sort_by_key(|one| one.field.place());
    said
}

fn values(field: &Field, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    match value.get_ref() {
        DeValue::Array(items) if field.is_list() => items.iter().map(word).collect(),
        _ if field.is_list() => Err("a list is wanted, such as `[\"lobby\", \"help\"]`".to_owned()),
        _ => Ok(vec![word(value)?]),
    }
}

fn word(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        _ => Err("a text, a whole number, `true` or `false` is wanted".to_owned()),
    }
}
