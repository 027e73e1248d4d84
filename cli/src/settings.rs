//! The settings of `ebb serve`: one table, read from flags, environment and a TOML file.
//! In: what each of them says, as text. Out: the server's configuration and where each value is
//! from; or everything that is wrong, each with its place and its cure.
//! A flag goes before the environment, the environment before the file, the file before what is
//! set when nobody says anything.
//! Leaves to others: reading the file and the environment (`commands::serve`), what a value does
//! (the server).

mod file;
mod flags;
mod table;
mod value;

pub(crate) use flags::SettingFlags;
use table::{FIELDS, Field};

use ebbtide_loadgen::fault::did_you_mean;
use ebbtide_server::{Config, Limits, Tls};
use std::fmt;
use std::path::PathBuf;

/// What all variables begin with.
const PREFIX: &str = "EBB_SERVER_";

/// The variable that is no setting: the name of the file of settings.
pub(crate) const CONFIG_VARIABLE: &str = "EBB_SERVER_CONFIG";

/// What many hosts give the port in; `EBB_SERVER_PORT` goes before it.
const PORT_VARIABLE: &str = "PORT";

/// What stands for a secret.
const MASK: &str = "***";

/// Everything that can be set, while it is put together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) config: Config,
    /// Half of a pair does nothing, so both stand alone until all is read.
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// Where a value is from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of the file.
    File(String, usize),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => write!(f, "--{flag}"),
        }
    }
}

/// A value as it was said; several for a list.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) field: &'static Field,
    pub(crate) origin: Origin,
    pub(crate) values: Vec<String>,
}

/// What is wrong with a setting, and where it stands.
#[derive(Debug)]
struct Fault {
    place: String,
    what: String,
}

/// All that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, place: impl fmt::Display, what: impl Into<String>) {
        self.0.push(Fault { place: place.to_string(), what: what.into() });
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            let line = if n == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {}", fault.place, fault.what)?;
        }
        Ok(())
    }
}

/// What the settings are read from.
#[derive(Debug, Default)]
pub(crate) struct Sources<'a> {
    /// The file's name and its text.
    pub(crate) file: Option<(&'a str, &'a str)>,
    /// The environment.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) flags: Vec<Said>,
}

/// All settings, and where each is from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) told: Told,
    origins: Vec<Origin>,
}

impl Settings {
    /// Puts together what is said.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the sources.
    pub(crate) fn read(sources: Sources<'_>) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut said = Vec::new();
        if let Some((name, text)) = sources.file {
            said.extend(file::read(name, text, &mut faults));
        }
        said.extend(variables(&sources.variables, &mut faults));
        said.extend(sources.flags);
        let mut told = Told::default();
        let mut origins = vec![Origin::Default; FIELDS.len()];
        for Said { field, origin, values } in said {
            match value::set(field, &mut told, &values) {
                Ok(()) => origins[field.place()] = origin,
                Err(what) => faults.add(origin, what),
            }
        }
        let settings = Self { told, origins };
        settings.check(&mut faults);
        if faults.0.is_empty() { Ok(settings) } else { Err(faults) }
    }

    fn origin(&self, name: &str) -> &Origin {
        let place = FIELDS.iter().position(|field| field.name == name);
        place.map_or(&Origin::Default, |place| &self.origins[place])
    }

    /// What no setting can say alone.
    fn check(&self, faults: &mut Faults) {
        let limits = &self.told.config.limits;
        if limits.silence <= limits.ping_every {
            let cure = format!(
                "a client is given up after {} and asked for a sign of life every {} (let \
                 `silence` be longer than `ping_every`)",
                value::duration(limits.silence),
                value::duration(limits.ping_every),
            );
            let own = self.origin("silence");
            let place = if *own == Origin::Default { self.origin("ping_every") } else { own };
            faults.add(place, cure);
        }
        if self.told.certificate.is_some() != self.told.key.is_some() {
            let cure = "`tls_certificate` and `tls_key` belong together (set both or none)";
            let given = if self.told.key.is_some() { "tls_key" } else { "tls_certificate" };
            faults.add(self.origin(given), cure);
        }
    }

    /// The server's configuration.
    pub(crate) fn config(&self) -> Config {
        let Told { config, certificate, key, .. } = self.told.clone();
        let tls = certificate.zip(key).map(|(certificate, key)| Tls { certificate, key });
        Config { tls, ..config }
    }

    /// All settings as a file of settings, with the origin of each; secrets are masked.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        let mut group = None;
        for field in &FIELDS {
            if group != Some(field.group) {
                let gap = if group.is_some() { "\n" } else { "" };
                text += &format!("{gap}# {}\n", field.group.title());
                group = Some(field.group);
            }
            let value = value::show(field, &self.told);
            let line = match value {
                Some(value) => format!("{} = {value}", field.name),
                // TOML has no way to say that there is nothing.
                None => format!("# {} is not set", field.name),
            };
            text += &format!("{line:<40} # {}\n", self.origins[field.place()]);
        }
        text
    }
}

/// What the environment says.
fn variables(all: &[(String, String)], faults: &mut Faults) -> Vec<Said> {
    let mut said = Vec::new();
    let port = FIELDS.iter().find(|field| field.name == "port");
    let host = all.iter().find(|(name, _)| name == PORT_VARIABLE);
    if let (Some(field), Some((name, value))) = (port, host) {
        let origin = Origin::Variable(name.clone());
        said.push(Said { field, origin, values: vec![value.clone()] });
    }
    for (name, value) in all {
        if !name.starts_with(PREFIX) || name == CONFIG_VARIABLE {
            continue;
        }
        let origin = Origin::Variable(name.clone());
        let Some(field) = FIELDS.iter().find(|field| field.variable() == *name) else {
            let known: Vec<String> = FIELDS.iter().map(Field::variable).collect();
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            faults.add(origin, format!("there is no such setting{hint}"));
            continue;
        };
        let values = if field.is_list() {
            let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        } else {
            vec![value.clone()]
        };
        said.push(Said { field, origin, values });
    }
    said
}

/// For tables of fields: the limits of a configuration.
fn limits(told: &mut Told) -> &mut Limits {
    &mut told.config.limits
}

#[cfg(test)]
mod tests;
