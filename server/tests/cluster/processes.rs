//! The programs of a cluster, each killed and started again at will: Redis, the server, which is
//! the test's own program started again, and npm's clients in Node.
//! In: arguments, commands. Out: what they answer; their end, however the test ends.

use ebbtide_server::{Config, Database, Limits};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// After this long a test that waits fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server is told by: its port, its database, its Redis.
const TOLD: [&str; 3] = ["EBBTIDE_SERVE_PORT", "EBBTIDE_SERVE_DATABASE", "EBBTIDE_SERVE_REDIS"];

/// Serves until it is killed, if this process was started for that.
pub fn serve_if_told() {
    let [Ok(port), Ok(database), Ok(redis)] = TOLD.map(std::env::var) else { return };
    // npm's client that loses its WebSocket in the midst of an upgrade, its polling paused already,
    // waits until no ping has come for too long.
    let (ping_every, silence) = (Duration::from_millis(500), Duration::from_secs(5));
    let limits = Limits { ping_every, silence, ..Limits::default() };
    let is_postgres = database.starts_with("postgres://");
    let config = Config {
        port: port.parse().expect("a port"),
        database: if is_postgres {
            Database::Postgres(database)
        } else {
            Database::File(database.into())
        },
        redis: Some(redis).filter(|url| !url.is_empty()),
        limits,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let serving = ebbtide_server::serve(config, std::future::pending());
    runtime.expect("a runtime").block_on(serving).expect("it serves");
}

/// A port that was free a moment ago; what is killed and comes again takes the same one.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Polls until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: too long");
        std::thread::yield_now();
    }
}

/// What a child of the test listens on, and how it is started.
pub struct Program {
    pub port: u16,
    command: Command,
    child: Child,
}

impl Program {
    fn start(port: u16, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = spawn(&mut command);
        let program = Self { port, command, child };
        program.wait();
        program
    }

    fn wait(&self) {
        until("a port", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// A Redis that keeps nothing.
    pub fn redis() -> Self {
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"]);
        command.arg(port.to_string());
        Self::start(port, command)
    }

    /// A server over a database: a file of SQLite, or a PostgreSQL.
    pub fn server(database: &str, redis: Option<&str>) -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "serves_when_it_is_told_to"]);
        command.env(TOLD[0], port.to_string()).env(TOLD[1], database);
        command.env(TOLD[2], redis.unwrap_or_default());
        Self::start(port, command)
    }

    /// SIGKILL: no last words.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again as it was.
    pub fn start_again(&mut self) {
        self.child = spawn(&mut self.command);
        self.wait();
    }

    /// One of the server's numbers.
    pub fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it answers");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("`{name}`: {page}")).parse().expect("a number")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().unwrap_or_else(|error| panic!("`{name}`: {error} (run `cargo xtask setup`)"))
}

/// npm's clients, who say something all the time.
pub struct Crowd {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Crowd {
    /// Gathers so many clients in a room, and waits until they speak.
    pub fn gather(port: u16, clients: u32, processes: u32) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let npm = std::env::var_os("EBBTIDE_NPM").map_or(here.join("../xtask/npm"), Into::into);
        let is_there = npm.join("node_modules/socket.io-client").is_dir();
        assert!(is_there, "run `cargo xtask setup`: no `socket.io-client` in {}", npm.display());
        let mut node = Command::new("node");
        node.arg(here.join("tests/npm/crowd.cjs")).arg(npm);
        node.args([&format!("http://127.0.0.1:{port}"), &clients.to_string(), "lobby"]);
        node.arg(processes.to_string());
        node.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut node);
        let commands = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut crowd = Self { child, commands, answers };
        assert_eq!(crowd.answer(), "ready");
        crowd
    }

    fn answer(&mut self) -> String {
        self.answers.next().expect("the clients have failed").expect("a line")
    }

    /// Gives a command and waits for its answer.
    pub fn ask(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the clients have failed");
        self.answer()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
