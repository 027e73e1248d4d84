//! The project's own commands, in Rust, so that nothing but cargo has to be there:
//! `cargo xtask setup | test | ci | tidy | bless | fuzz | bench | kills | truth`.
//!
//! Comes in: arguments. Goes out: words on the terminal and an exit code, 0 when all is well.
//! Each command has a file or a folder of its own; this one only tells them apart.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its user")]

mod bench;
mod fuzz;
mod gate;
mod kills;
mod paths;
mod process;
mod setup;
mod tidy;
mod truth;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup        install what tests need and is missing (`setup bench`: what benches need, too)
  test         everything: setup, tidy, format, lints, docs, deny, all tests
  ci           the same with --locked, and fuzz for a minute in all
  tidy         the rules of the house, checked over the tree
  bless        run the tests and accept what they print as the new golden files
  fuzz         hostile bytes for the readers of heap profiles
               [--seconds 60] [TARGET...]
  bench load   `ebb load` beside wrk, oha, autocannon, hey and ab; writes docs/benchmarks.md
               [--pairs 9] [--seconds 4] [--seed 1] [--only PEER]
  bench h2     `ebb load --http2` beside h2load and oha; the same settings
  bench ws     WebSocket echoes beside npm's ws and tsung; --pairs, --seconds, --seed
  bench socketio
               acknowledged events beside npm's socket.io-client; the same settings
  bench probe  the reference server with the probe and without it; the same settings, --ebb
  bench rest   a list of messages from SQLite beside Express; --pairs, --seconds, --seed, --ebb
  bench dump   requests under way while the probe dumps few stacks and many; --dumps
  bench server fan-out beside npm's socket.io and socketioxide; --rounds, --clients, --seconds
  bench heap   V8 heap snapshots beside v8-heap-parser and JSON.parse; --objects 1000000, --runs 3,
               --folder FOLDER keeps the snapshots (2.4 GB)
  bench pprof  pprof files beside `go tool pprof`; --runs 9, --folder FOLDER
  bench cluster
               from one client to all over several processes; --processes, --clients, --seconds,
               --rounds, --ebb
  kills        the tests of several processes and of killed ones, for longer
               [--kills 20] [--cuts 200]
  truth        programs whose truth is known, run again and again; writes docs/truth.md
               [--resume] [TABLE...] [--runs N] [--jobs 1] [--only CELL] [--list] [--ci]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["setup"] => setup::install(setup::Purpose::Test),
        ["setup", "bench"] => setup::install(setup::Purpose::Bench),
        ["test"] => gate::run(gate::Strictness::Local),
        ["ci"] => gate::run(gate::Strictness::Locked),
        ["tidy"] => tidy::run(),
        ["fuzz", settings @ ..] => fuzz::command(settings),
        ["bless"] => gate::bless(),
        ["bench", "load", settings @ ..] => bench::load(settings),
        ["bench", "h2", settings @ ..] => bench::h2::h2(settings),
        ["bench", "ws", settings @ ..] => bench::ws::ws(settings),
        ["bench", "socketio", settings @ ..] => bench::socketio::socketio(settings),
        ["bench", "probe", settings @ ..] => bench::probe::probe(settings),
        ["bench", "rest", settings @ ..] => bench::rest::rest(settings),
        ["bench", "dump", settings @ ..] => bench::dump::dump(settings),
        ["bench", "server", settings @ ..] => bench::server::server(settings),
        ["bench", "cluster", settings @ ..] => bench::cluster::cluster(settings),
        ["kills", settings @ ..] => kills::kills(settings),
        ["crowd", words @ ..] => bench::server::crowd::crowd(words),
        ["bench", "heap", settings @ ..] => bench::heap::heap(settings),
        ["bench", "pprof", settings @ ..] => bench::heap::pprof(settings),
        ["truth", settings @ ..] => truth::truth(settings),
        ["target", "h2"] => bench::target::serve::<bench::h2::target::State>(),
        ["target"] => bench::target::serve::<bench::target::EmptyLine>(),
        ["target", "ws"] => bench::target::serve::<bench::ws::target::Session>(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
