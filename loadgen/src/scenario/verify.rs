//! What all steps of a flow must agree on: sockets are opened before they are used, captures made
//! somewhere. Pure.
//!
//! In: the steps of a flow. Out: faults, noted in the reader.

use super::reader::Reader;
use super::step::quoted;
use super::{Expectation, Predicate, Step, Template, Verb};
use crate::fault::did_you_mean;
use crate::template::{Variable, unknown_variable};

/// Notes faults between steps: sockets used before they are opened, captures nobody makes.
pub(crate) fn verify(reader: &Reader<'_>, path: &str, steps: &[Step]) {
    let (mut sockets, mut captures) = (Vec::new(), Vec::new());
    collect(steps, &mut sockets, &mut captures);
    verify_steps(reader, path, steps, (&sockets, &captures));
}

fn collect(steps: &[Step], sockets: &mut Vec<String>, captures: &mut Vec<String>) {
    for step in steps {
        match &step.verb {
            Verb::Connect(connect) if !sockets.contains(&connect.socket) => {
                sockets.push(connect.socket.clone());
            }
            Verb::Http(http) => captures.extend(http.captures.iter().map(|(name, _)| name.clone())),
            Verb::Await(wait) => {
                captures.extend(wait.captures.iter().map(|(name, _)| name.clone()))
            }
            Verb::Repeat { steps, .. } => collect(steps, sockets, captures),
            _ => {}
        }
    }
}

fn verify_steps(
    reader: &Reader<'_>,
    path: &str,
    steps: &[Step],
    known: (&Vec<String>, &Vec<String>),
) {
    for (index, step) in steps.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(on) = socket_of(&step.verb) {
            verify_socket(reader, &path, step.line, (on, known.0));
        }
        for template in templates_of(&step.verb) {
            for variable in template.variables() {
                if let Variable::Capture(name, _) = variable
                    && !known.1.contains(name)
                {
                    reader.fault_at_line(step.line, &path, unknown_variable(name, known.1));
                }
            }
        }
        if let Verb::Repeat { steps, .. } = &step.verb {
            verify_steps(reader, &format!("{path}.steps"), steps, known);
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
        Verb::Http(_) | Verb::Connect(_) | Verb::Think(_) | Verb::Repeat { .. } => None,
    }
}

fn templates_of(verb: &Verb) -> Vec<&Template> {
    fn pairs<'a>(out: &mut Vec<&'a Template>, pairs: &'a [(String, Template)]) {
        out.extend(pairs.iter().map(|(_, template)| template));
    }
    fn expected<'a>(out: &mut Vec<&'a Template>, expectation: &'a Expectation) {
        out.extend(&expectation.contains);
        pairs(out, &expectation.json);
    }
    let mut out = Vec::new();
    match verb {
        Verb::Http(http) => {
            out.push(&http.url);
            out.extend(&http.body);
            pairs(&mut out, &http.query);
            pairs(&mut out, &http.headers);
            for check in &http.checks {
                match &check.predicate {
                    Predicate::Body(template) | Predicate::Json(_, template) => out.push(template),
                    Predicate::Status(_) | Predicate::Time(_) => {}
                }
            }
        }
        Verb::Connect(connect) => {
            out.push(&connect.url);
            pairs(&mut out, &connect.headers);
        }
        Verb::Send(send) => {
            out.push(&send.message);
            if let Some(reply) = &send.reply {
                expected(&mut out, reply);
            }
        }
        Verb::Await(wait) => expected(&mut out, &wait.expectation),
        _ => {}
    }
    out
}
