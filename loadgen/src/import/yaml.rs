//! YAML as JSON values, which is all that OpenAPI means by it. Pure.
//!
//! In: text. Out: a value, or what is wrong with the text.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::Value;

/// How deep a document may be: deeper ones are no documents but attacks.
const DEPTH_MAX: usize = 100;

/// Parses the first document of the text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let first = documents.first().ok_or("there is no document in it")?;
    value(first, 0).ok_or_else(|| format!("it is more than {DEPTH_MAX} deep, or holds bad values"))
}

fn value(yaml: &Yaml<'_>, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(flag) => Value::Bool(*flag),
            Scalar::Integer(number) => Value::from(*number),
            Scalar::FloatingPoint(number) => Value::from(number.into_inner()),
            Scalar::String(text) => Value::from(text.as_ref()),
        },
        Yaml::Representation(text, ..) => Value::from(text.as_ref()),
        Yaml::Sequence(items) => {
            items.iter().map(|item| value(item, depth + 1)).collect::<Option<Vec<_>>>()?.into()
        }
        Yaml::Mapping(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, field)| Some((name_of(name)?, value(field, depth + 1)?)))
                .collect::<Option<_>>()?,
        ),
        Yaml::Tagged(_, inner) => value(inner, depth + 1)?,
        Yaml::Alias(_) | Yaml::BadValue => return None,
    })
}

/// A key: statuses are numbers in YAML and text in JSON.
fn name_of(yaml: &Yaml<'_>) -> Option<String> {
    match yaml {
        Yaml::Value(Scalar::String(text)) => Some(text.to_string()),
        Yaml::Value(Scalar::Integer(number)) => Some(number.to_string()),
        Yaml::Value(Scalar::Boolean(flag)) => Some(flag.to_string()),
        Yaml::Representation(text, ..) => Some(text.to_string()),
        _ => None,
    }
}
