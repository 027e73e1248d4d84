//! Programs for Node, started and ended by a test. In: a text, options of Node. Out: a process
//! that has said that it is ready, and answers lines on its standard input. Looking at it is left
//! to the tests.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A program that runs until it is dropped.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Program {
    /// Starts a text as `app/server.js`. It must write a line when it is ready.
    pub(crate) fn start(text: &str, node_options: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let app = folder.path().join("my app");
        std::fs::create_dir(&app).expect("a folder");
        std::fs::write(app.join("server.mjs"), text).expect("a program");
        let mut child = Command::new("node")
            .arg(app.join("server.mjs"))
            .env("NODE_OPTIONS", node_options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`node` is needed: `cargo xtask setup` says how to get it");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut program = Self { child, input, output, folder };
        assert_eq!(program.line(), "ready");
        program
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Sends a line and gives the one that it answers.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("it reads");
        self.line()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a state").is_none()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
