//! `ebb serve`: the reference server, with the probe inside. In: settings, from flags, environment
//! and a file. Out: a server until a signal ends it; or the settings, printed. What it answers is
//! left to `ebbtide-server`, what the settings say to `settings`.
//! Taking snapshots is left to the probe.

use super::on_runtime;
use crate::failure::Failure;
use crate::interrupt::Signals;
use crate::output::Output;
use crate::settings::{CONFIG_VARIABLE, SettingFlags, Settings, Sources};
use crate::text;
use clap::Args;
use ebbtide_rounds::exit;
use ebbtide_server::{Config, Faults, Renewal, Server};
use std::sync::Arc;

/// The arguments of `ebb serve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Each setting can stand in the file of --config (`ping_every = \"25s\"`) or in the environment
(EBB_SERVER_PING_EVERY); a flag goes before the environment, the environment before the file.

Examples:
  ebb serve                                 on port 8080 of this machine
  ebb serve --port 0 --fault listener       on a free port, with a leak switched on
  ebb serve --database chat.db --open false with accounts alone, kept in a file of SQLite
  ebb serve --config chat.toml --print-config
  ebb serve --fault leak=64 --fault tail=1%:20ms")]
pub(crate) struct Serve {
    /// Settings in a file of TOML
    #[arg(long, value_name = "FILE", env = CONFIG_VARIABLE)]
    config: Option<String>,
    /// Print each setting with its value and where that is from, and end; secrets are masked
    #[arg(long)]
    print_config: bool,
    /// Switch a fault on: cache, listener, context, timer, connection, leak=BYTES, cpu=5%,
    /// tail=1%:20ms, stall=2s@30s, error=1%, ...; repeatable
    #[arg(long, value_name = "NAME[=SETTING]")]
    fault: Vec<String>,
    /// Leave the probe out, as a program without it would run: nothing sampled, counted or watched
    #[arg(long)]
    no_probe: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Serve {
    /// Serves until a signal.
    ///
    /// # Errors
    ///
    /// When a setting is wrong, the port is taken, a fault is unknown or the probe cannot start.
    pub(crate) fn run(self, output: Output) -> Result<i32, Failure> {
        let settings = self.read()?;
        if self.print_config {
            output.result(&settings.show())?;
            return Ok(exit::FINE);
        }
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
        let config = Config { faults, ..settings.config() };
        let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        on_runtime(threads, async {
            let mut signals = Signals::catch()?;
            let server = Server::bind(config).await.map_err(Failure::failed)?;
            let renewal = server.renewal();
            let scheme = if renewal.is_some() { "https" } else { "http" };
            output.say(&format!("serving {scheme}://{}", server.local_addr()));
            if let Some(admin) = probe.as_ref().and_then(ebbtide_probe::Probe::admin) {
                let pid = std::process::id();
                output.say(&format!("watch it with `ebb watch {pid}` (admin http://{admin})"));
            }
            server.run(async move { stopped(&mut signals, renewal.as_deref()).await }).await;
            Ok(())
        })?;
        drop(probe);
        Ok(exit::FINE)
    }

    fn read(&self) -> Result<Settings, Failure> {
        let file = self.config.as_deref();
        let text = file.map(text::of).transpose();
        let text =
            text.map_err(|why| Failure::usage(format!("{}: {why}", file.unwrap_or_default())))?;
        let said = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            // Other bytes than text are no value of any setting, and are told as such.
            Some((name, value.to_string_lossy().into_owned()))
        });
        let variables = said.collect();
        let sources =
            Sources { file: file.zip(text.as_deref()), variables, flags: self.settings.said() };
        Settings::read(sources).map_err(Failure::usage)
    }
}

/// Waits for a signal that ends the server. With certificates, SIGHUP reads them again instead.
async fn stopped(signals: &mut Signals, renewal: Option<&Renewal>) {
    let Some(renewal) = renewal else { return signals.next().await };
    let again = || match renewal.renew() {
        Ok(()) => tracing::info!("the certificate was read again"),
        Err(error) => tracing::error!(%error, "the certificate stays as it was"),
    };
    signals.next_end(again).await;
}
