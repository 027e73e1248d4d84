//! `ebb schema FORM`: the JSON Schema of a form that Ebbtide reads or writes, for editors and for
//! whoever checks files. In: the name of a form. Out: the document on standard output. The
//! documents stand in `docs/schema`; what a schema cannot say is left to `ebb validate`.

use crate::failure::Failure;
use crate::output::Output;
use clap::{Args, ValueEnum};
use ebbtide_rounds::exit;

/// The arguments of `ebb schema`.
#[derive(Args, Debug)]
#[command(after_help = "\
For completion and faults in an editor (Even Better TOML, Taplo):
  ebb schema scenario > scenario.schema.json
and as the first line of a scenario:
  #:schema ./scenario.schema.json")]
pub(crate) struct Schema {
    /// The form
    #[arg(value_enum)]
    form: SchemaOf,
}

/// A form that has a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// A scenario, as JSON has its TOML.
    Scenario,
    /// summary.json, and what --json prints.
    Summary,
    /// One line of events.ndjson.
    Event,
    /// The sidecar of a heap snapshot.
    Snapshot,
    /// What a probed process tells about itself.
    Census,
}

impl Schema {
    /// Prints the schema.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        output.result(match self.form {
            SchemaOf::Scenario => include_str!("../../../docs/schema/scenario.json"),
            SchemaOf::Summary => include_str!("../../../docs/schema/summary.json"),
            SchemaOf::Event => include_str!("../../../docs/schema/event.json"),
            SchemaOf::Snapshot => include_str!("../../../docs/schema/snapshot.json"),
            SchemaOf::Census => include_str!("../../../docs/schema/census.json"),
        })?;
        Ok(exit::FINE)
    }
}
