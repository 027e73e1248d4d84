//! Control steps: what is done between exchanges, and how often. Pure.
//!
//! In: the fields of a step. Out: its [`Verb`], with all faults noted in the reader. Jumps are left
//! to the plan.

use super::super::reader::{Fields, Node, USED_MAX};
use super::super::{Choice, Condition, Control, Step, Template, Test, Verb};
use super::{Around, quoted, read_list};
use crate::fault::did_you_mean;
use crate::template::{Escape, VARIABLES};

/// Repetitions at most: more is a flow of its own.
const REPEAT_MAX: u64 = 1_000_000;

/// Turns of a loop that waits for a condition, unless it says otherwise: a condition that never
/// comes true must not hold a user for good.
const TURNS_DEFAULT: u32 = 1_000;

/// Nested steps at most.
const DEPTH_MAX: usize = 8;

/// Weight of a choice at most: more says nothing that smaller numbers do not.
const WEIGHT_MAX: u64 = 1_000_000;

pub(super) fn think(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("think")?;
    if !node.value.is_table() {
        return node.span_of_time().map(Verb::Think);
    }
    let inner = node.fields()?;
    let mean = inner.need("exponential", "exponential = \"2s\"").and_then(|node| node.duration());
    let max_node = inner.opt("max");
    let max = max_node.as_ref().and_then(|node| node.duration());
    if let (Some(node), Some(mean), Some(max)) = (&max_node, mean, max)
        && max < mean
    {
        node.fault("`max` is below the mean (raise it, or leave it out)");
    }
    inner.finish();
    Some(Verb::Control(Control::Pause { mean: mean?, max }))
}

/// The steps of a step that holds others.
fn steps(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Vec<Step>> {
    let node = fields.need("steps", "steps = [{ get = \"/\" }]")?;
    inner(&node, around)
}

fn inner(node: &Node<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Vec<Step>> {
    if around.depth >= DEPTH_MAX {
        node.fault(format!("steps are nested more than {DEPTH_MAX} deep (flatten them)"));
        return None;
    }
    Some(read_list(node, &around.deeper()))
}

pub(super) fn repeat(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let node = fields.opt("repeat")?;
    if !node.value.is_table() {
        let count = node.whole(1, REPEAT_MAX);
        let steps = steps(fields, around)?;
        return Some(Verb::Repeat { count: count? as u32, steps });
    }
    let inner = node.fields()?;
    let conditions = (inner.opt("while"), inner.opt("until"));
    let max = inner.opt("max").and_then(|node| node.whole(1, REPEAT_MAX));
    let found = match &conditions {
        (Some(node), None) => Some((node, false)),
        (None, Some(node)) => Some((node, true)),
        _ => {
            inner.fault("a loop has `while` or `until`, and not both (write a number to count)");
            None
        }
    };
    inner.finish();
    let condition = found.map(|(node, until)| (condition(node), until));
    let steps = steps(fields, around)?;
    let (condition, until) = condition?;
    let max = max.map_or(TURNS_DEFAULT, |max| max as u32);
    Some(Verb::Control(Control::While { condition: condition?, until, max, steps }))
}

pub(super) fn one_of(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let node = fields.opt("one_of")?;
    let mut choices = Vec::new();
    for item in node.items()? {
        let Some(choice) = item.fields() else { continue };
        let weight = match choice.opt("weight") {
            Some(weight) => weight.whole(1, WEIGHT_MAX),
            None => Some(1),
        };
        let steps = steps(&choice, around);
        choice.finish();
        if let (Some(weight), Some(steps)) = (weight, steps) {
            choices.push(Choice { weight: weight as u32, steps });
        }
    }
    if node.value.as_array().is_some_and(|array| array.is_empty()) {
        node.fault("there is nothing to choose from (write `one_of = [{ steps = [...] }]`)");
    }
    Some(Verb::Control(Control::OneOf(choices)))
}

pub(super) fn branch(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let condition = fields.opt("if").and_then(|node| condition(&node));
    let otherwise = fields.opt("else").and_then(|node| inner(&node, around)).unwrap_or_default();
    let steps = steps(fields, around)?;
    Some(Verb::Control(Control::If { condition: condition?, steps, otherwise }))
}

const TESTS: [&str; 7] =
    ["exists", "equals", "not_equals", "contains", "matches", "less", "greater"];

/// `{ var = "token", equals = "x" }`, or `{ chance = 0.1 }`.
fn condition(node: &Node<'_, '_>) -> Option<Condition> {
    let fields = node.fields()?;
    let chance = fields.opt("chance").and_then(|node| share(&node));
    let mut tests: Vec<Test> = chance.map(Test::Chance).into_iter().collect();
    for key in TESTS {
        tests.extend(fields.opt(key).and_then(|node| test(key, &node)));
    }
    let tested = TESTS.iter().any(|key| fields.has(key));
    let value = match fields.opt("var") {
        Some(node) => node.text().and_then(|name| {
            Template::compile(&format!("${{{name}}}"), Escape::None)
                .map_err(|what| node.fault(what))
                .ok()
        }),
        None if tested => {
            fields.fault("`var` is missing (name the variable that is tested: `var = \"token\"`)");
            None
        }
        None => Some(Template::default()),
    };
    if fields.has("var") && !tested {
        fields.fault(format!("there is no test (write one of {})", quoted(&TESTS)));
    } else if !tested && !fields.has("chance") {
        fields.fault(
            "the condition is empty (write `{ var = \"token\", exists = true }` or \
             `{ chance = 0.1 }`)",
        );
    }
    fields.finish();
    Some(Condition { value: value?, tests })
}

fn test(key: &str, node: &Node<'_, '_>) -> Option<Test> {
    match key {
        "exists" => node.flag().map(Test::Exists),
        "matches" => {
            let pattern = node.text()?;
            if let Err(error) = regex::Regex::new(pattern) {
                node.fault(format!("`{pattern}` is not a regular expression: {}", reason(&error)));
                return None;
            }
            Some(Test::Matches(pattern.to_owned()))
        }
        _ => {
            let text = node.template(Escape::None)?;
            if matches!(key, "less" | "greater")
                && text.as_static().is_some_and(|text| text.trim().parse::<f64>().is_err())
            {
                node.fault(format!("`{}` is not a number", text.written()));
                return None;
            }
            Some(match key {
                "equals" => Test::Equals(text),
                "not_equals" => Test::NotEquals(text),
                "contains" => Test::Contains(text),
                "less" => Test::Less(text),
                _ => Test::Greater(text),
            })
        }
    }
}

/// The last line of what the compiler of expressions says; those before draw a picture.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

fn share(node: &Node<'_, '_>) -> Option<f64> {
    let share = node.number()?;
    if share > 1.0 {
        node.fault(format!("`{share}` is not a probability (write a number from 0 to 1)"));
        return None;
    }
    Some(share)
}

pub(super) fn group(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let node = fields.opt("group")?;
    let name = node.text().map(str::trim);
    if let Some(name) = name
        && (name.is_empty() || name.contains("::"))
    {
        node.fault("a group needs a name without `::`, which joins the names of nested groups");
    }
    let steps = steps(fields, around)?;
    Some(Verb::Control(Control::Group { name: name?.to_owned(), steps }))
}

pub(super) fn set(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("set")?;
    let values = node.templates(Escape::None);
    if node.value.as_table().is_some_and(|table| table.is_empty()) {
        node.fault("there is nothing to set (write `set = { name = \"value\" }`)");
    }
    for (name, _) in &values {
        if let Some(what) = unusable(name) {
            node.fault(what);
        }
    }
    Some(Verb::Control(Control::Set(values)))
}

/// Why a name cannot be that of a variable of the user's own.
pub(crate) fn unusable(name: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if VARIABLES.contains(&name) {
        return Some(format!("`{name}` is a variable of its own (give yours another name)"));
    }
    (name.is_empty() || !name.chars().all(plain))
        .then(|| format!("`{name}` is not a name (letters, digits, `_` and `-`)"))
}

pub(super) fn fail(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("fail")?;
    let reason = node.text()?.trim();
    if reason.is_empty() {
        node.fault("a failure needs a reason (write `fail = \"no stock left\"`)");
    }
    Some(Verb::Control(Control::Fail(reason.to_owned())))
}

pub(super) fn stop(fields: &Fields<'_, '_>) -> Option<Verb> {
    let node = fields.opt("stop")?;
    if !node.flag()? {
        node.fault("`stop = false` does nothing (write `true`, or remove the step)");
    }
    Some(Verb::Control(Control::Stop))
}

/// The steps of a named list, as if they stood here.
pub(super) fn use_list(fields: &Fields<'_, '_>, around: &Around<'_, '_, '_>) -> Option<Verb> {
    let node = fields.opt("use")?;
    let name = node.text()?;
    let Some((known, list)) = around.lists.get_key_value(name) else {
        let hint = did_you_mean(name, around.lists.keys().copied());
        let hint = match (hint.is_empty(), around.lists.is_empty()) {
            (false, _) => hint,
            (true, true) => format!(" (write `[steps]` and in it `{name} = [...]`)"),
            (true, false) => {
                let known: Vec<&str> = around.lists.keys().copied().collect();
                format!(" (known: {})", quoted(&known))
            }
        };
        node.fault(format!("there is no list of steps named `{name}`{hint}"));
        return None;
    };
    if around.is_in(known) {
        let circle = around.circle(known);
        node.fault(format!("lists of steps use each other in a circle: {circle} (break it)"));
        return None;
    }
    if around.depth >= DEPTH_MAX {
        node.fault(format!("steps are nested more than {DEPTH_MAX} deep (flatten them)"));
        return None;
    }
    if !node.reader.has_room(list.value.as_array().map_or(0, |array| array.len())) {
        node.fault(format!("lists within lists come to more than {USED_MAX} steps (use fewer)"));
        return None;
    }
    let steps = read_list(list, &around.within(known));
    Some(Verb::Control(Control::Use { list: name.to_owned(), steps }))
}
