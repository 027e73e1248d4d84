//! Several processes as one server, and one that is killed again and again: npm's clients speak
//! all the time while Redis, connections and whole processes go away.
//! In: real processes of the server, Redis, PostgreSQL and Node. Out: every message that was
//! answered is in the history once and in order, and everyone was told everything once.
//! `cargo xtask kills` runs the same for longer.
#![allow(unreachable_pub, reason = "its modules are files of the test")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

#[path = "support/postgres.rs"]
mod postgres;
#[path = "cluster/processes.rs"]
mod processes;
#[path = "cluster/proxy.rs"]
mod proxy;

use postgres::Postgres;
use processes::{Crowd, Program, until};

/// What a process of the server is, when the test starts itself again as one.
#[test]
fn serves_when_it_is_told_to() {
    processes::serve_if_told();
}

/// How often, from the environment, or as often as every run of the tests does it.
fn times(name: &str, usually: u32) -> u32 {
    std::env::var(name).ok().map_or(usually, |word| word.parse().expect(name))
}

#[test]
fn three_processes_are_one_server() {
    let postgres = Postgres::start();
    let (database, mut redis) = (postgres.url("postgres"), Program::redis());
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let [one, two, mut three] = [(); 3].map(|()| Program::server(&database, Some(&url)));
    for process in [&one, &two, &three] {
        until("the others", || process.metric("ebbtide_cluster_others") == 2);
    }
    let port = proxy::start(vec![one.port, two.port, three.port]);
    let mut crowd = Crowd::gather(port, 6, 3);
    crowd.ask(&format!("ghost http://127.0.0.1:{}", three.port));
    let everyone = "ghost user0 user1 user2 user3 user4 user5";
    for client in ["who 0", "who 1", "who 2"] {
        until("everyone", || crowd.ask(client) == everyone);
    }
    crowd.ask("type");
    crowd.ask("typing true");
    crowd.ask("flow 5");
    assert!(one.metric("ebbtide_cluster_received_total") > 20);
    redis.kill();
    until("the link's end", || one.metric("ebbtide_cluster_link_up") == 0);
    crowd.ask("flow 5");
    redis.start_again();
    for process in [&one, &two, &three] {
        until("the link", || process.metric("ebbtide_cluster_link_up") == 1);
    }
    crowd.ask("flow 5");
    crowd.ask("cut 6");
    three.kill();
    crowd.ask("flow 5");
    // Who was at the process that died has come back to another, or is gone.
    let without = everyone.replace("ghost ", "");
    until("the ghost's end", || crowd.ask("who 0") == without);
    crowd.ask("typing false");
    let told = crowd.ask("finish");
    println!("three processes: {told}");
}

/// A server that is killed at full traffic and started again, while connections are cut.
fn kills(database: &str) -> String {
    let mut server = Program::server(database, None);
    let mut crowd = Crowd::gather(server.port, 6, 1);
    let (kills, cuts) = (times("EBBTIDE_KILLS", 2), times("EBBTIDE_CUTS", 12));
    for _ in 0..kills {
        crowd.ask("flow 5");
        crowd.ask(&format!("cut {}", cuts.div_ceil(kills)));
        server.kill();
        server.start_again();
    }
    crowd.ask("flow 5");
    let told = crowd.ask("finish");
    format!("{kills} kills, {cuts} cuts: {told}")
}

#[test]
fn kills_lose_nothing_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    println!("SQLite: {}", kills(&folder.path().join("chat.db").to_string_lossy()));
}

#[test]
fn kills_lose_nothing_on_postgres() {
    let postgres = Postgres::start();
    println!("PostgreSQL: {}", kills(&postgres.url("postgres")));
}
