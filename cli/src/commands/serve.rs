//! `ebb serve`: the reference server, with the probe inside. In: flags. Out: a server until a
//! signal ends it. What it answers is left to `ebbtide-server`.
//! Taking snapshots is left to the probe.

use super::on_runtime;
use crate::failure::Failure;
use crate::interrupt::Signals;
use crate::output::Output;
use clap::{ArgAction, Args};
use ebbtide_rounds::exit;
use ebbtide_server::{Config, Database, Faults, Server};
use std::path::PathBuf;
use std::sync::Arc;

/// The arguments of `ebb serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  ebb serve                                 on port 8080 of this machine
  ebb serve --port 0 --fault listener       on a free port, with a leak switched on
  ebb serve --database chat.db --open false with accounts alone, kept in a file of SQLite
  ebb serve --fault leak=64 --fault tail=1%:20ms")]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080, env = "PORT")]
    port: u16,
    /// Switch a fault on: cache, listener, context, timer, connection, leak=BYTES, cpu=5%,
    /// tail=1%:20ms, stall=2s@30s, error=1%, ...; repeatable
    #[arg(long, value_name = "NAME[=SETTING]")]
    fault: Vec<String>,
    /// A room that is always there; repeatable, the first is where clients begin
    #[arg(long, value_name = "NAME", default_value = "lobby")]
    room: Vec<String>,
    /// Where accounts, rooms and messages are kept: `memory`, a file of SQLite, or postgres://...
    #[arg(long, default_value = "memory", value_name = "WHERE", env = "EBB_SERVER_DATABASE")]
    #[arg(hide_env_values = true)]
    database: String,
    /// Folder of uploaded files; beside a database's file, or `ebbtide-uploads`, unless said
    #[arg(long, value_name = "DIR", env = "EBB_SERVER_UPLOADS")]
    uploads: Option<PathBuf>,
    /// Join processes that share a database: the address of their Redis, redis://...
    #[arg(long, value_name = "URL", env = "EBB_SERVER_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Whether guests may read and write in public rooms, or accounts alone
    #[arg(long, default_value_t = true, action = ArgAction::Set, env = "EBB_SERVER_OPEN")]
    open: bool,
    /// What access tokens are signed with; made up for this process when it is not set
    #[arg(long, value_name = "SECRET", env = "EBB_SERVER_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// An account that may do everything; repeatable
    #[arg(long, value_name = "NAME")]
    admin: Vec<String>,
    /// Leave the probe out, as a program without it would run: nothing sampled, counted or watched
    #[arg(long)]
    no_probe: bool,
}

impl Serve {
    /// Serves until a signal.
    ///
    /// # Errors
    ///
    /// When the port is taken, a fault is unknown or the probe cannot start.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let faults = Arc::<Faults>::default();
        for fault in &self.fault {
            faults.switch(fault).map_err(Failure::usage)?;
        }
        let (path, responder) = faults.route();
        let start = || {
            let options = ebbtide_probe::Options::from_env()?;
            options.admin_loopback().route(path, responder).start()
        };
        let probe = (!self.no_probe).then(start).transpose().map_err(Failure::failed)?;
        let config = Config {
            host: self.host,
            port: self.port,
            faults,
            rooms: self.room,
            database: database(&self.database),
            uploads: self.uploads,
            redis: self.redis.filter(|url| !url.is_empty()),
            open: self.open,
            secret: self.secret,
            admins: self.admin,
            ..Config::default()
        };
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        on_runtime(threads, async {
            let mut signals = Signals::catch()?;
            let server = Server::bind(config).await.map_err(Failure::failed)?;
            output.say(&format!("serving http://{}", server.local_addr()));
            if let Some(admin) = probe.as_ref().and_then(ebbtide_probe::Probe::admin) {
                let pid = std::process::id();
                output.say(&format!("watch it with `ebb watch {pid}` (admin http://{admin})"));
            }
            server.run(async move { signals.next().await }).await;
            Ok(())
        })?;
        drop(probe);
        Ok(exit::FINE)
    }
}

/// What a word says of where everything is kept.
fn database(word: &str) -> Database {
    if word == "memory" {
        Database::Memory
    } else if word.starts_with("postgres://") || word.starts_with("postgresql://") {
        Database::Postgres(word.to_owned())
    } else {
        Database::File(word.into())
    }
}
