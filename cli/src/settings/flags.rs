//! The settings as flags of the command line.
//! In: the words as typed, through clap. Out: what they say.
//! Leaves to others: whether it makes sense (`value`).

use super::table::{FIELDS, Field};
use super::value;
use super::{Origin, Said, Told};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use std::sync::LazyLock;

/// The flags of all settings that were typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingFlags(Vec<Said>);

impl SettingFlags {
    /// What they say.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.0.clone()
    }
}

/// What stands for a value in help.
fn placeholder(field: &Field) -> &'static str {
    use super::table::Kind;
    match field.kind {
        Kind::Text(_) => "HOST",
        Kind::Words(..) => "NAME",
        Kind::Port(_) => "PORT",
        Kind::Switch(_) => "BOOL",
        Kind::Secret(_) => "SECRET",
        Kind::Database(_) => "WHERE",
        Kind::Redis(_) => "URL",
        Kind::Path(_) => "FILE",
        Kind::Networks(_) => "NETWORK",
        Kind::Rate(_) => "RATE",
        Kind::Count(..) => "N",
        Kind::Bytes(..) | Kind::Volume(..) => "SIZE",
        Kind::Duration(..) => "TIME",
    }
}

/// The flags by the place of their settings: clap wants names that live as long as the program.
static FLAGS: LazyLock<Vec<String>> = LazyLock::new(|| FIELDS.iter().map(Field::flag).collect());

fn argument(field: &'static Field) -> Arg {
    let default = value::show(field, &Told::default());
    let default = default.map(|value| format!(", default: {}", value.replace('"', "")));
    let range = value::range(field).map(|range| format!(", {range}")).unwrap_or_default();
    let (help, variable) = (field.help, field.variable());
    let more = format!("{help} [{variable}{}{range}]", default.unwrap_or_default());
    Arg::new(field.name)
        .long(FLAGS[field.place()].as_str())
        .value_name(placeholder(field))
        .action(if field.is_list() { ArgAction::Append } else { ArgAction::Set })
        .help(more)
        .help_heading(field.group.title())
        .allow_hyphen_values(true)
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(FIELDS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = FIELDS.iter().filter_map(|field| {
            let values = matches.get_many::<String>(field.name)?.cloned().collect();
            Some(Said { field, origin: Origin::Flag(field.flag()), values })
        });
        Ok(Self(said.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
