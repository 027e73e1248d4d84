//! What a flow is given beside its steps: rows of data, and what setup leaves behind. Pure.
//!
//! In: the tables of a scenario with the bytes of their files; the templates of a flow. Out: the
//! tables of the plan, and places of variables that are filled before each iteration.

use super::{Compiler, Note};
use crate::feeder::{Exhausted, Pick, Table};
use crate::plan::{FeedPlan, FeederPlan, Part, Plan};
use crate::scenario::verify::templates_of;
use crate::scenario::{Auth, Feeder, Rows, Scenario, Step, sets};
use crate::template::{Template, Variable};
use std::sync::Arc;

/// Puts the tables of a scenario into the plan.
pub(in crate::plan) fn tables(plan: &mut Plan, scenario: &Scenario, note: Note<'_>) {
    for (name, feeder) in &scenario.feeders {
        let table = feeder.table.get_or_init(|| table_of(scenario, feeder));
        let table = match table {
            Ok(table) => Arc::clone(table),
            Err(what) => {
                note(feeder.line, format!("data.{name}"), what.clone());
                // The columns of a table that cannot be read are not faults of their own.
                Arc::default()
            }
        };
        plan.feeders.push(FeederPlan {
            name: name.clone(),
            pick: feeder.pick,
            when_exhausted: feeder.when_exhausted,
            table,
        });
    }
}

fn table_of(scenario: &Scenario, feeder: &Feeder) -> Result<Arc<Table>, String> {
    let bytes = |file: &str| {
        let wanted = scenario.files.get(file).and_then(|wanted| wanted.bytes.clone());
        wanted.ok_or_else(|| format!("file `{file}` was not read"))
    };
    match &feeder.rows {
        Rows::Inline(table) => Ok(Arc::clone(table)),
        Rows::Csv { file, delimiter } => Table::from_csv(&bytes(file)?, *delimiter)
            .map(Arc::new)
            .map_err(|what| format!("`{file}`: {what}")),
        Rows::Json { file } => Table::from_json(&bytes(file)?)
            .map(Arc::new)
            .map_err(|what| format!("`{file}`: {what}")),
    }
}

/// Shares the rows of unique tables among the flows that take them, once all are compiled.
pub(in crate::plan) fn share(plan: &mut Plan, scenario: &Scenario, note: Note<'_>) {
    for (place, feeder) in plan.feeders.iter().enumerate() {
        if feeder.pick != Pick::Unique {
            continue;
        }
        let line = scenario.feeders.get(&feeder.name).map_or(0, |feeder| feeder.line);
        let path = format!("data.{}", feeder.name);
        let takes = |feeds: &[FeedPlan]| feeds.iter().any(|feed| feed.feeder == place);
        let count = plan.flows.iter().filter(|flow| takes(&flow.feeds)).count() as u64;
        let takers = plan.flows.iter_mut().filter(|flow| takes(&flow.feeds));
        for (index, flow) in takers.enumerate() {
            if flow.part != Part::Load {
                let what = format!(
                    "unique rows are for the users of flows, not for {} (pick them otherwise)",
                    flow.part.word()
                );
                note(line, path.clone(), what);
            } else if feeder.when_exhausted == Exhausted::Repeat
                && flow.executor.stride(scenario.memory.is_some()) == 0
            {
                let what = format!(
                    "`repeat` needs users with rows of their own, and in flow `{}` arrivals go to \
                     whoever is free (write `pick = \"sequential\"`)",
                    flow.name
                );
                note(line, path.clone(), what);
            }
            for feed in flow.feeds.iter_mut().filter(|feed| feed.feeder == place) {
                feed.share = (index as u64, count);
            }
        }
    }
}

impl Compiler<'_, '_> {
    /// Gives places to the columns and the values of setup that steps read.
    pub(super) fn declare_reads(&mut self, steps: &[Step]) {
        let outer = std::mem::take(&mut self.path);
        for (index, step) in steps.iter().enumerate() {
            self.path = format!("{outer}[{index}]");
            for template in templates_of(&step.verb) {
                self.declare_reads_of(template, step.line);
            }
            for (place, steps) in step.verb.inside() {
                self.path = format!("{outer}[{index}]{place}");
                self.declare_reads(steps);
            }
        }
        self.path = outer;
    }

    /// The same for what steps inherit. What is wrong with it is seen here, since no step of the
    /// scenario holds it.
    pub(super) fn declare_inherited(&mut self, scenario: &Scenario, line: usize) {
        let inherited = self.inherited;
        let auth = inherited.auth.iter().flat_map(Auth::templates);
        for template in inherited.headers.iter().map(|(_, value)| value).chain(auth) {
            self.declare_reads_of(template, line);
        }
        let set = scenario.setup.as_ref().map(|setup| sets(&setup.steps)).unwrap_or_default();
        for (_, name) in &self.given {
            if !set.contains(name) {
                let what = format!("no step of `[setup]` sets `{name}` (capture it there)");
                (self.note)(line, self.path.clone(), what);
            }
        }
    }

    fn declare_reads_of(&mut self, template: &Template, line: usize) {
        for variable in template.variables() {
            if let Variable::Capture(name, _) = variable
                && let Some((table, column)) = name.split_once('.')
            {
                self.declare_read(line, (table, column));
            }
        }
    }

    fn declare_read(&mut self, line: usize, (table, name): (&str, &str)) {
        let whole = format!("{table}.{name}");
        if self.captures.contains(&whole) {
            return;
        }
        let place = self.captures.len();
        if table == "setup" {
            self.captures.push(whole);
            self.given.push((place, name.to_owned()));
            return;
        }
        // The scenario has seen that there is a table of that name.
        let Some(feeder) = self.plan.feeders.iter().position(|feeder| feeder.name == table) else {
            return;
        };
        self.captures.push(whole);
        let data = Arc::clone(&self.plan.feeders[feeder].table);
        if data.rows() == 0 {
            return;
        }
        match data.column(table, name) {
            Err(what) => (self.note)(line, self.path.clone(), what),
            Ok(column) => {
                let known = self.feeds.iter().position(|feed| feed.feeder == feeder);
                let feed = known.unwrap_or_else(|| {
                    self.feeds.push(FeedPlan { feeder, columns: Vec::new(), share: (0, 1) });
                    self.feeds.len() - 1
                });
                self.feeds[feed].columns.push((place, column));
            }
        }
    }
}
