//! Faults of control steps, variables and data: what is wrong, where, and how to mend it.
//!
//! In: a table of bad scenarios, each with its exact message. Out: verdicts of `cargo test`. Faults
//! of the document and of exchanges stand in `scenario.rs`.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::{Plan, Scenario};

fn faults(text: &str) -> String {
    let read = Scenario::parse(text, "x.toml");
    let found = read.and_then(|scenario| Plan::resolve(&scenario, "http://127.0.0.1:1"));
    found.map_or_else(|faults| faults.to_string(), |_| "no fault".to_owned())
}

/// A scenario with these steps, the first of them at line 7, and text after it.
fn with_steps(steps: &str, rest: &str) -> String {
    format!(
        "[target]\nbase = \"http://127.0.0.1:1\"\n[flow.a]\nexecutor = \"constant-vus\"\n\
         vus = 1\nduration = \"1s\"\nsteps = [\n{steps}\n]\n{rest}"
    )
}

#[test]
fn bad_control_steps_say_what_is_wrong_where_and_how_to_mend_it() {
    let table = [
        (
            "{ think = { exponential = \"2s\", max = \"1s\" } }",
            "x.toml:8: `flow.a.steps[0].think.max`: `max` is below the mean (raise it, or leave it \
             out)",
        ),
        (
            "{ think = { max = \"1s\" } }",
            "x.toml:8: `flow.a.steps[0].think`: `exponential` is missing (write `exponential = \
             \"2s\"`)",
        ),
        (
            "{ think = \"3s..1s\" }",
            "x.toml:8: `flow.a.steps[0].think`: `3s..1s` is an empty range (write the shorter end \
             first)",
        ),
        (
            "{ repeat = 0, steps = [] }",
            "x.toml:8: `flow.a.steps[0].repeat`: `0` is not between 1 and 1000000",
        ),
        (
            "{ repeat = 2 }",
            "x.toml:8: `flow.a.steps[0]`: `steps` is missing (write `steps = [{ get = \"/\" }]`)",
        ),
        (
            "{ repeat = { max = 3 }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].repeat`: a loop has `while` or `until`, and not both \
             (write a number to count)",
        ),
        (
            "{ one_of = [] }",
            "x.toml:8: `flow.a.steps[0].one_of`: there is nothing to choose from (write `one_of = \
             [{ steps = [...] }]`)",
        ),
        (
            "{ one_of = [{ wieght = 2, steps = [] }] }",
            "x.toml:8: `flow.a.steps[0].one_of[0]`: unknown key `wieght` (did you mean `weight`?)",
        ),
        (
            "{ one_of = [{ weight = 0, steps = [] }] }",
            "x.toml:8: `flow.a.steps[0].one_of[0].weight`: `0` is not between 1 and 1000000",
        ),
        (
            "{ one_of = [\n{ steps = [{ gte = \"/\" }] }\n] }",
            "x.toml:9: `flow.a.steps[0].one_of[0].steps[0]`: the step has no verb (did you mean \
             `get`?)",
        ),
        (
            "{ if = {}, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if`: the condition is empty (write `{ var = \"token\", \
             exists = true }` or `{ chance = 0.1 }`)",
        ),
        (
            "{ if = { var = \"vu\" }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if`: there is no test (write one of `exists`, `equals`, \
             `not_equals`, `contains`, `matches`, `less`, `greater`)",
        ),
        (
            "{ if = { equals = 2 }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if`: `var` is missing (name the variable that is tested: \
             `var = \"token\"`)",
        ),
        (
            "{ if = { var = \"vu\", equal = 2 }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if`: there is no test (write one of `exists`, `equals`, \
             `not_equals`, `contains`, `matches`, `less`, `greater`)\n\
             x.toml:8: `flow.a.steps[0].if`: unknown key `equal` (did you mean `equals`?)",
        ),
        (
            "{ if = { var = \"tokn\", exists = true }, steps = [] }, { set = { token = \"\" } }",
            "x.toml:8: `flow.a.steps[0]`: unknown variable `tokn` (did you mean `token`?)",
        ),
        (
            "{ if = { var = \"vu\", matches = \"a(\" }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if.matches`: `a(` is not a regular expression: unclosed \
             group",
        ),
        (
            "{ if = { var = \"vu\", less = \"ten\" }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if.less`: `ten` is not a number",
        ),
        (
            "{ if = { chance = 10 }, steps = [] }",
            "x.toml:8: `flow.a.steps[0].if.chance`: `10` is not a probability (write a number from \
             0 to 1)",
        ),
        (
            "{ if = { chance = 1 }, steps = [], esle = [] }",
            "x.toml:8: `flow.a.steps[0]`: unknown key `esle` (did you mean `else`?)",
        ),
        (
            "{ group = \"a::b\", steps = [] }",
            "x.toml:8: `flow.a.steps[0].group`: a group needs a name without `::`, which joins the \
             names of nested groups",
        ),
        (
            "{ set = { uuid = \"1\" } }",
            "x.toml:8: `flow.a.steps[0].set`: `uuid` is a variable of its own (give yours another \
             name)",
        ),
        (
            "{ set = { \"a b\" = \"1\" } }",
            "x.toml:8: `flow.a.steps[0].set`: `a b` is not a name (letters, digits, `_` and `-`)",
        ),
        (
            "{ set = {} }",
            "x.toml:8: `flow.a.steps[0].set`: there is nothing to set (write `set = { name = \
             \"value\" }`)",
        ),
        (
            "{ fail = \" \" }",
            "x.toml:8: `flow.a.steps[0].fail`: a failure needs a reason (write `fail = \"no stock \
             left\"`)",
        ),
        (
            "{ stop = false }",
            "x.toml:8: `flow.a.steps[0].stop`: `stop = false` does nothing (write `true`, or \
             remove the step)",
        ),
        (
            "{ stop = true, fail = \"x\" }",
            "x.toml:8: `flow.a.steps[0]`: the step has several verbs: `fail`, `stop` (make them \
             steps each)",
        ),
        (
            "{ get = \"/${token}\" },\n{ get = \"/\", capture = { token = \"/t\" } }",
            "x.toml:8: `flow.a.steps[0]`: `${token}` is read before any step sets it (set it in a \
             step before, if need be with `{ set = { token = \"\" } }`)",
        ),
        (
            "{ if = { chance = 0.5 }, steps = [{ set = { a = \"1\" } }], else = [\n\
             { get = \"/${a}\" }] }, { get = \"/${a}\" }",
            "x.toml:9: `flow.a.steps[0].else[0]`: `${a}` is read before any step sets it (set it \
             in a step before, if need be with `{ set = { a = \"\" } }`)",
        ),
        (
            "{ use = \"login\" }",
            "x.toml:8: `flow.a.steps[0].use`: there is no list of steps named `login` (write \
             `[steps]` and in it `login = [...]`)",
        ),
    ];
    for (steps, expected) in table {
        assert_eq!(faults(&with_steps(steps, "")), expected, "for: {steps}");
    }
    let mut deep = "{ get = \"/\" }".to_owned();
    for _ in 0..9 {
        deep = format!("{{ repeat = 2, steps = [{deep}] }}");
    }
    let found = faults(&with_steps(&deep, ""));
    let expected = "steps are nested more than 8 deep (flatten them)";
    assert!(found.ends_with(expected), "{found}");
}

#[test]
fn bad_lists_of_steps_are_told_once_whoever_uses_them() {
    let table = [
        (
            "{ use = \"logn\" }",
            "login = []",
            "x.toml:8: `flow.a.steps[0].use`: there is no list of steps named `logn` (did you mean \
             `login`?)",
        ),
        (
            "{ use = \"login\" }, { use = \"login\" }",
            "login = [{ gte = \"/\" }]",
            "x.toml:11: `steps.login[0]`: the step has no verb (did you mean `get`?)",
        ),
        (
            "{ get = \"/\" }",
            "login = [{ gte = \"/\" }]",
            "x.toml:11: `steps.login[0]`: the step has no verb (did you mean `get`?)",
        ),
        (
            "{ use = \"a\" }",
            "a = [{ use = \"b\" }]\nb = [{ use = \"a\" }]",
            "x.toml:11: `steps.a[0].use`: lists of steps use each other in a circle: `b`, `a`, `b` \
             (break it)\n\
             x.toml:12: `steps.b[0].use`: lists of steps use each other in a circle: `a`, `b`, `a` \
             (break it)",
        ),
    ];
    for (steps, lists, expected) in table {
        let found = faults(&with_steps(steps, &format!("[steps]\n{lists}\n")));
        assert_eq!(found, expected, "for: {steps} {lists}");
    }
    // Ten by ten by ten, and so on.
    let mut lists = "l0 = [{ get = \"/\" }]\n".to_owned();
    for level in 1..8 {
        let uses = format!("{{ use = \"l{}\" }},", level - 1).repeat(10);
        lists += &format!("l{level} = [{uses}]\n");
    }
    let found = faults(&with_steps("{ use = \"l7\" }", &format!("[steps]\n{lists}")));
    let expected = "lists within lists come to more than 100000 steps (use fewer)";
    assert!(found.ends_with(expected), "{found}");
}
