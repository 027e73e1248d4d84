//! The engine on a scenario file: prints each second, the metrics and the thresholds that failed.
//!
//! In: a file and a base URL. Out: text.

use ebbtide_loadgen::{Engine, Pass, Plan, Scenario, threshold};
use std::sync::Arc;

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, base, ..] = arguments.as_slice() else {
        return Err("usage: run FILE BASE".into());
    };
    let mut scenario = Scenario::parse(&std::fs::read_to_string(file)?, file)?;
    ebbtide_loadgen::files::read(&mut scenario)?;
    let plan = Plan::resolve(&scenario, base)?;
    let pass = Pass { threads: 1, ..Pass::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let mut engine = Engine::start(Arc::new(plan), pass)?;
        while let Some(interval) = engine.next().await {
            println!("{}", serde_json::to_string(&interval)?);
        }
        let totals = engine.finish().await;
        let mut so_far = totals.so_far();
        let failed = threshold::judge(&scenario.thresholds, &mut so_far.metrics);
        println!("{}", serde_json::to_string_pretty(&so_far)?);
        println!("failed thresholds: {failed:?}; warnings: {:?}", totals.warnings());
        Ok(())
    })
}
