//! Values of settings as text, both ways.
//! In: a setting and what was said of it. Out: the value in its place, or what is wrong and how it
//! is written; values as a TOML file has them.
//! Leaves to others: where the text is from.

use super::table::{Field, Kind};
use super::{MASK, Told};
use ebbtide_loadgen::scenario::units;
use ebbtide_server::{Database, Network, Rate, SECRET_BYTES};
use std::fmt::Display;
use std::time::Duration;

/// How addresses of a Redis begin.
const REDIS: [&str; 3] = ["redis://", "redis+unix://", "unix://"];

/// Puts what was said in its place.
pub(super) fn set(field: &Field, told: &mut Told, values: &[String]) -> Result<(), String> {
    if field.is_list() {
        return set_list(field, told, values);
    }
    let [text] = values else { return Err(format!("one value is wanted, not {}", values.len())) };
    let text = text.trim();
    match field.kind {
        Kind::Words(..) | Kind::Networks(_) => {}
        Kind::Text(at) if text.is_empty() => return Err(empty(at(&mut Told::default()))),
        Kind::Text(at) => at(told).replace_range(.., text),
        Kind::Port(at) => {
            let wrong = || format!("`{text}` is no port (0 to 65535; 0 takes a free one)");
            *at(told) = text.parse().map_err(|_| wrong())?;
        }
        Kind::Switch(at) => {
            let wrong = || format!("`{text}` is neither `true` nor `false`");
            *at(told) = text.parse().map_err(|_| wrong())?;
        }
        // The secret itself is not said again.
        Kind::Secret(_) if text.len() < SECRET_BYTES => {
            let (have, cure) = (text.len(), "`openssl rand -base64 32`");
            return Err(format!("it has {have} bytes, {SECRET_BYTES} are the least ({cure})"));
        }
        Kind::Secret(at) => *at(told) = Some(text.to_owned()),
        Kind::Database(_) if text.is_empty() => return Err(empty("memory")),
        Kind::Database(at) => *at(told) = database(text),
        // Where variables come from a template, an empty one means that there is none.
        Kind::Redis(at) if text.is_empty() => *at(told) = None,
        Kind::Redis(at) if REDIS.iter().any(|scheme| text.starts_with(scheme)) => {
            *at(told) = Some(text.to_owned());
        }
        Kind::Redis(_) => {
            let cure = "it begins with `redis://`, as `redis://127.0.0.1:6379` does";
            return Err(format!("`{}` is no address of a Redis ({cure})", masked(text)));
        }
        Kind::Path(_) if text.is_empty() => return Err(empty("cert.pem")),
        Kind::Path(at) => *at(told) = Some(text.into()),
        Kind::Rate(at) => *at(told) = text.parse::<Rate>()?,
        Kind::Count(at, least, most) => {
            let wrong = || format!("`{text}` is no number");
            let count = text.replace('_', "").parse().map_err(|_| wrong())?;
            *at(told) = within(text, count, (least, most), |bound| bound.to_string())?;
        }
        Kind::Bytes(at, least, most) => {
            let bytes = usize::try_from(units::size(text)?).unwrap_or(usize::MAX);
            *at(told) = within(text, bytes, (least, most), size)?;
        }
        Kind::Volume(at, least, most) => {
            *at(told) = within(text, units::size(text)?, (least, most), volume)?;
        }
        Kind::Duration(at, least_ms, most_s) => {
            let bounds = (Duration::from_millis(least_ms), Duration::from_secs(most_s));
            *at(told) = within(text, units::duration(text)?, bounds, duration)?;
        }
    }
    Ok(())
}

fn set_list(field: &Field, told: &mut Told, values: &[String]) -> Result<(), String> {
    match field.kind {
        Kind::Words(_, false) if values.is_empty() => return Err("name at least one".to_owned()),
        Kind::Words(..) if values.iter().any(|word| word.trim().is_empty()) => {
            return Err("there is an empty word among them".to_owned());
        }
        Kind::Words(at, _) => *at(told) = values.to_vec(),
        Kind::Networks(at) => {
            let networks = values.iter().map(|text| text.trim().parse::<Network>());
            *at(told) = networks.collect::<Result<_, _>>()?;
        }
        _ => {}
    }
    Ok(())
}

fn empty(example: &str) -> String {
    format!("it is empty (such as `{example}`, or leave it away)")
}

fn within<T: PartialOrd>(
    text: &str,
    value: T,
    (least, most): (T, T),
    say: impl Fn(T) -> String,
) -> Result<T, String> {
    if value < least || value > most {
        return Err(format!("`{text}` is out of range ({} to {})", say(least), say(most)));
    }
    Ok(value)
}

/// What a word says of where everything is kept.
fn database(word: &str) -> Database {
    if word == "memory" {
        Database::Memory
    } else if word.starts_with("postgres://") || word.starts_with("postgresql://") {
        Database::Postgres(word.to_owned())
    } else {
        Database::File(word.into())
    }
}

/// A value as a TOML file has it, secrets masked; none when nothing is set.
pub(super) fn show(field: &Field, told: &Told) -> Option<String> {
    let mut told = told.clone();
    Some(match field.kind {
        Kind::Text(at) => quoted(at(&mut told)),
        Kind::Words(at, _) => list(at(&mut told)),
        Kind::Port(at) => at(&mut told).to_string(),
        Kind::Switch(at) => at(&mut told).to_string(),
        Kind::Secret(at) => at(&mut told).as_ref().map(|_| quoted(MASK))?,
        Kind::Database(at) => quoted(&match at(&mut told) {
            Database::Memory => "memory".to_owned(),
            Database::File(path) => path.display().to_string(),
            Database::Postgres(url) => masked(url),
        }),
        Kind::Redis(at) => quoted(&masked(at(&mut told).as_ref()?)),
        Kind::Path(at) => quoted(&at(&mut told).as_ref()?.display().to_string()),
        Kind::Networks(at) => list(at(&mut told)),
        Kind::Rate(at) => quoted(&at(&mut told).to_string()),
        Kind::Count(at, ..) => at(&mut told).to_string(),
        Kind::Bytes(at, ..) => quoted(&size(*at(&mut told))),
        Kind::Volume(at, ..) => quoted(&volume(*at(&mut told))),
        Kind::Duration(at, ..) => quoted(&duration(*at(&mut told))),
    })
}

/// The values it may have, in words; none where the sentence says it.
pub(super) fn range(field: &Field) -> Option<String> {
    Some(match field.kind {
        Kind::Count(_, least, most) => format!("{least} to {most}"),
        Kind::Bytes(_, least, most) => format!("{} to {}", size(least), size(most)),
        Kind::Volume(_, least, most) => format!("{} to {}", volume(least), volume(most)),
        Kind::Duration(_, least_ms, most_s) => {
            let (least, most) = (Duration::from_millis(least_ms), Duration::from_secs(most_s));
            format!("{} to {}", duration(least), duration(most))
        }
        Kind::Rate(_) => "so many a second, a colon, so many at once; or off".to_owned(),
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(values: &[impl Display]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
    format!("[{}]", values.join(", "))
}

/// A duration in the largest unit that says it in whole numbers.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, worth) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis > 0 && millis.is_multiple_of(worth) {
            return format!("{}{unit}", millis / worth);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}

fn size(bytes: usize) -> String {
    volume(bytes as u64)
}

/// A size in the largest unit that says it in whole numbers.
fn volume(bytes: u64) -> String {
    for (unit, worth) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(worth) {
            return format!("{}{unit}", bytes / worth);
        }
    }
    format!("{bytes}B")
}

/// The address of a database without its password.
fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(a, b)| (a, Some(b)));
    let place = match place.rsplit_once('@') {
        Some((account, host)) => {
            let user = account.split_once(':').map_or(account, |(user, _)| user);
            let password = if account.contains(':') { ":***" } else { "" };
            format!("{user}{password}@{host}")
        }
        None => place.to_owned(),
    };
    // A password can stand among the options as well.
    let query = query.map(|query| {
        let options = query.split('&').map(|option| match option.split_once('=') {
            Some((key, _)) if key.eq_ignore_ascii_case("password") => format!("{key}={MASK}"),
            _ => option.to_owned(),
        });
        format!("?{}", options.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{place}{}", query.unwrap_or_default())
}
