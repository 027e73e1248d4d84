//! What all steps of a flow must agree on: sockets are opened before they are used, captures made
//! somewhere. Pure.
//!
//! In: the steps of a flow. Out: faults, noted in the reader.

use super::reader::Reader;
use super::realtime::Expected;
use super::socketio::SioStep;
use super::step::quoted;
use super::{
    Auth, BodyPiece, Capture, Control, Expectation, Feeder, Provided, Rows, Step, Template, Test,
    Verb,
};
use crate::fault::did_you_mean;
use crate::template::{Variable, unknown_variable};
use std::collections::BTreeMap;

/// Notes faults between steps: sockets used before they are opened, variables nobody sets, or
/// nobody sets before they are read.
pub(crate) fn verify(
    (reader, path): (&Reader<'_>, &str),
    steps: &[Step],
    provided: &Provided<'_, '_>,
) {
    let (sockets, clients, variables) = (Vec::new(), Vec::new(), Vec::new());
    let (setup, feeders) = (provided.setup.as_deref(), &provided.feeders);
    let mut known = Known { reader, sockets, clients, variables, setup, feeders };
    known.collect(steps);
    known.verify(path, steps, &mut Vec::new());
}

/// What the steps of a flow open and set.
struct Known<'r, 't> {
    reader: &'r Reader<'t>,
    sockets: Vec<String>,
    clients: Vec<String>,
    variables: Vec<String>,
    /// What setup sets, if there is one.
    setup: Option<&'r [String]>,
    feeders: &'r BTreeMap<String, Feeder>,
}

impl Known<'_, '_> {
    fn collect(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.verb {
                Verb::Connect(connect) if !self.sockets.contains(&connect.socket) => {
                    self.sockets.push(connect.socket.clone());
                }
                Verb::Sio(sio) => {
                    if let SioStep::Connect(connect) = sio.as_ref() {
                        self.clients.push(connect.client.clone());
                    }
                }
                _ => {}
            }
            self.variables.extend(step.verb.sets().into_iter().map(str::to_owned));
            for (_, steps) in step.verb.inside() {
                self.collect(steps);
            }
        }
    }

    /// Goes through the steps in order; `set` are the variables that a step before may have set.
    fn verify(&self, path: &str, steps: &[Step], set: &mut Vec<String>) {
        for (index, step) in steps.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let listens = matches!(step.verb, Verb::Listen { .. });
            let to_client = listens
                && match socket_of(&step.verb) {
                    Some(Some(on)) => self.clients.contains(on),
                    _ => self.sockets.is_empty() && !self.clients.is_empty(),
                };
            if let Verb::Sio(sio) = &step.verb
                && let Some(on) = sio.on()
            {
                verify_client(self.reader, &path, step.line, (on, &self.clients));
            }
            if let Some(on) = socket_of(&step.verb).filter(|_| !to_client) {
                verify_socket(self.reader, &path, step.line, (on, &self.sockets));
            }
            if let Verb::Control(Control::Set(values)) = &step.verb {
                // In the order of the file, each may read those before it.
                for (name, value) in values {
                    self.verify_variables(&path, step.line, (value, Some(set)));
                    set.push(name.clone());
                }
            }
            // A condition may ask for what is not set yet: that is what `exists` is for.
            let order = !matches!(step.verb, Verb::Control(_));
            for template in templates_of(&step.verb) {
                let set = order.then_some(&*set);
                self.verify_variables(&path, step.line, (template, set));
            }
            let before = set.clone();
            for (place, steps) in step.verb.inside() {
                if step.verb.is_choice() {
                    let mut own = before.clone();
                    self.verify(&format!("{path}{place}"), steps, &mut own);
                    set.extend(own.into_iter().skip(before.len()));
                } else {
                    self.verify(&format!("{path}{place}"), steps, set);
                }
            }
            set.extend(step.verb.sets().into_iter().map(str::to_owned));
        }
    }

    fn verify_variables(
        &self,
        path: &str,
        line: usize,
        (template, set): (&Template, Option<&Vec<String>>),
    ) {
        for variable in template.variables() {
            let Variable::Capture(name, _) = variable else { continue };
            if let Some((table, column)) = name.split_once('.') {
                if let Some(what) = self.not_provided(table, column) {
                    self.reader.fault_at_line(line, path, what);
                }
            } else if !self.variables.contains(name) {
                let what = unknown_variable(name, &self.known());
                self.reader.fault_at_line(line, path, what);
            } else if set.is_some_and(|set| !set.contains(name)) {
                let what = format!(
                    "`${{{name}}}` is read before any step sets it (set it in a step before, if \
                     need be with `{{ set = {{ {name} = \"\" }} }}`)"
                );
                self.reader.fault_at_line(line, path, what);
            }
        }
    }
}

impl Known<'_, '_> {
    /// Everything that has a value.
    fn known(&self) -> Vec<String> {
        let columns = self.feeders.keys().map(|name| format!("{name}.COLUMN"));
        let setup = self.setup.unwrap_or_default().iter().map(|name| format!("setup.{name}"));
        self.variables.iter().cloned().chain(setup).chain(columns).collect()
    }

    /// What is wrong with `${table.column}`. Columns of files are known to the plan alone.
    fn not_provided(&self, table: &str, column: &str) -> Option<String> {
        if table == "setup" {
            return match self.setup {
                None => Some(format!("there is no `[setup]` that sets `{column}` (write it)")),
                Some(names) if names.iter().any(|name| name == column) => None,
                Some(names) => {
                    let hint = did_you_mean(column, names.iter().map(String::as_str));
                    let hint = if hint.is_empty() { " (capture it there)" } else { &hint };
                    Some(format!("setup sets no `{column}`{hint}"))
                }
            };
        }
        match self.feeders.get(table).map(|feeder| &feeder.rows) {
            Some(Rows::Inline(rows)) => rows.column(table, column).err(),
            Some(_) => None,
            None => {
                let hint = did_you_mean(table, self.feeders.keys().map(String::as_str));
                let hint = if hint.is_empty() {
                    format!(" (write `[data.{table}]` and in it `file = \"{table}.csv\"`)")
                } else {
                    hint
                };
                Some(format!("there is no data named `{table}`{hint}"))
            }
        }
    }
}

fn verify_socket(
    reader: &Reader<'_>,
    path: &str,
    line: usize,
    (on, sockets): (Option<&String>, &Vec<String>),
) {
    match on {
        Some(on) if !sockets.contains(on) => {
            let hint = did_you_mean(on, sockets.iter().map(String::as_str));
            let hint = if hint.is_empty() {
                format!(" (add a step `{{ connect = \"/ws\", as = \"{on}\" }}`)")
            } else {
                hint
            };
            reader.fault_at_line(line, path, format!("unknown socket `{on}`{hint}"));
        }
        None if sockets.is_empty() => {
            let what = "no socket is open here (add a step `{ connect = \"/ws\" }` before it)";
            reader.fault_at_line(line, path, what);
        }
        None if sockets.len() > 1 => {
            let known: Vec<&str> = sockets.iter().map(String::as_str).collect();
            let what = format!("which socket is meant (say `on`: {})", quoted(&known));
            reader.fault_at_line(line, path, what);
        }
        _ => {}
    }
}

/// The socket that a verb uses: outer none when it uses none, inner none when it names none.
pub(crate) fn socket_of(verb: &Verb) -> Option<Option<&String>> {
    match verb {
        Verb::Send(send) => Some(send.on.as_ref()),
        Verb::Await(wait) => Some(wait.on.as_ref()),
        Verb::Listen { on, .. } | Verb::Ping { on, .. } | Verb::Close { on, .. } => {
            Some(on.as_ref())
        }
        Verb::Http(_)
        | Verb::Parallel(_)
        | Verb::Connect(_)
        | Verb::Think(_)
        | Verb::Repeat { .. }
        | Verb::Sio(_)
        | Verb::Control(_) => None,
    }
}

fn verify_client(
    reader: &Reader<'_>,
    path: &str,
    line: usize,
    (on, clients): (Option<&String>, &[String]),
) {
    match on {
        Some(on) if !clients.contains(on) => {
            let hint = did_you_mean(on, clients.iter().map(String::as_str));
            let hint = if hint.is_empty() {
                format!(" (add a step `{{ sio_connect = \"/socket.io/\", as = \"{on}\" }}`)")
            } else {
                hint
            };
            reader.fault_at_line(line, path, format!("unknown client `{on}`{hint}"));
        }
        None if clients.is_empty() => {
            let what = "no Socket.IO client is connected here (add a step \
                        `{ sio_connect = \"/socket.io/\" }` before it)";
            reader.fault_at_line(line, path, what);
        }
        None if clients.len() > 1 => {
            let known: Vec<&str> = clients.iter().map(String::as_str).collect();
            let what = format!("which client is meant (say `on`: {})", quoted(&known));
            reader.fault_at_line(line, path, what);
        }
        _ => {}
    }
}

fn templates_of_control(control: &Control) -> Vec<&Template> {
    if let Control::Set(values) = control {
        return values.iter().map(|(_, value)| value).collect();
    }
    let conditions = control.condition().into_iter();
    conditions
        .flat_map(|condition| {
            let tests = condition.tests.iter().filter_map(Test::template);
            std::iter::once(&condition.value).chain(tests)
        })
        .collect()
}

fn pairs<'a>(out: &mut Vec<&'a Template>, pairs: &'a [(String, Template)]) {
    out.extend(pairs.iter().map(|(_, template)| template));
}

fn templates_of_sio<'a>(out: &mut Vec<&'a Template>, sio: &'a SioStep) {
    match sio {
        SioStep::Connect(connect) => {
            out.push(&connect.path);
            out.extend(&connect.auth);
            pairs(out, &connect.query);
            pairs(out, &connect.headers);
        }
        SioStep::Emit(emit) => {
            out.push(&emit.args);
            if let Some(Expected::Text(count)) = &emit.expect {
                out.push(count);
            }
            if let Some(ack) = &emit.ack {
                pairs(out, &ack.json);
            }
        }
        SioStep::Await(wait) => pairs(out, &wait.json),
        SioStep::Close { .. } => {}
    }
}

/// All templates of a step, without those of the steps inside it.
pub(crate) fn templates_of(verb: &Verb) -> Vec<&Template> {
    fn expected<'a>(out: &mut Vec<&'a Template>, expectation: &'a Expectation) {
        out.extend(&expectation.contains);
        pairs(out, &expectation.json);
    }
    fn defaults<'a>(out: &mut Vec<&'a Template>, captures: &'a [Capture]) {
        out.extend(captures.iter().filter_map(|capture| capture.default.as_ref()));
    }
    let mut out = Vec::new();
    match verb {
        Verb::Sio(sio) => templates_of_sio(&mut out, sio),
        Verb::Http(http) => {
            out.push(&http.url);
            for piece in http.body.iter().flatten() {
                if let BodyPiece::Text(text) = piece {
                    out.push(text);
                }
            }
            pairs(&mut out, &http.query);
            pairs(&mut out, &http.headers);
            pairs(&mut out, &http.cookies);
            out.extend(http.auth.iter().flat_map(Auth::templates));
            for check in &http.checks {
                check.predicate.templates(&mut out);
            }
            defaults(&mut out, &http.captures);
        }
        Verb::Connect(connect) => {
            out.push(&connect.url);
            pairs(&mut out, &connect.headers);
        }
        Verb::Send(send) => {
            out.extend(send.payload.template());
            if let Some(Expected::Text(count)) = &send.expect {
                out.push(count);
            }
            if let Some(reply) = &send.reply {
                expected(&mut out, reply);
            }
        }
        Verb::Await(wait) => {
            expected(&mut out, &wait.expectation);
            defaults(&mut out, &wait.captures);
        }
        Verb::Control(control) => out.extend(templates_of_control(control)),
        _ => {}
    }
    out
}
