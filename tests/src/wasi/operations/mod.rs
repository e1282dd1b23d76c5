//! Programs of the WASI test suite that are run by a command, as a list of operations says:
//! started, talked to by pipes, sockets or HTTP, and waited for.
//!
//! ```text
//! NAME.json -> Plan (what is started, operations) -> Run -> one operation after the other
//! servers (what the program asks by HTTP)            | process: the command, its pipes
//! grants -> arguments of the command                 | request: what is asked of the program
//! ```
//!
//! The suite's own runner is `test-runner/wasi_test_runner` of
//! <https://github.com/WebAssembly/wasi-testsuite>; what a field means is what it does there.

mod command;
mod process;
mod request;
mod run;
mod server;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde::Deserialize;

pub use command::Runner;
pub(super) use server::Server;

/// How long one operation may take.
const LIMIT: Duration = Duration::from_secs(30);

/// All that is done with a program.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) proposals: Vec<Proposal>,
    pub(super) world: World,
    pub(super) servers: Vec<Server>,
    pub(super) operations: Vec<Operation>,
}

/// What the program is granted beyond a command's own.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Proposal {
    Http,
    Sockets,
}

/// What the program is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
pub(super) enum World {
    #[default]
    #[serde(rename = "wasi:cli/command")]
    Command,
    #[serde(rename = "wasi:http/service")]
    Service,
}

/// A step of a test.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Operation {
    Run(Start),
    Wait(End),
    /// So many bytes as the payload has come out of the program, which are these.
    Read(Piped),
    /// These bytes go into the program.
    Write(Piped),
    Connect(Connect),
    /// These bytes go to a connection's other end.
    Send(Sent),
    /// So many bytes as the payload has come from there, which are these.
    Recv(Sent),
    Request(Request),
    Kill(Kill),
}

/// The program is started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// A folder beside the file; the program gets a copy.
    pub(super) root: Option<PathBuf>,
}

/// The program gets no more input, and ends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    #[serde(default)]
    pub(super) exit_code: i32,
}

/// What goes through a standard stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Piped {
    pub(super) id: Pipe,
    #[serde(default)]
    pub(super) payload: String,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pipe {
    Stdin,
    Stdout,
    Stderr,
}

/// The program prints `HOST:PORT` as a line, where one connects.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connect {
    /// The connection's name in other operations.
    id: String,
    #[serde(default)]
    protocol_type: Protocol,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    #[default]
    Tcp,
    Udp,
    /// Requests go there.
    Http,
}

/// What goes through a connection: a datagram, if it is one of UDP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    id: String,
    #[serde(default)]
    payload: String,
}

/// A request of HTTP to the program, and what comes back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default = "get")]
    method: String,
    #[serde(default = "root")]
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    response: Response,
}

/// What comes back; there may be more headers and trailers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Response {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    trailers: BTreeMap<String, String>,
}

impl Default for Response {
    fn default() -> Response {
        Response {
            status: ok(),
            headers: BTreeMap::new(),
            body: String::new(),
            trailers: BTreeMap::new(),
        }
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

fn ok() -> u16 {
    200
}

/// The command gets a signal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kill {
    #[serde(default)]
    signal: Name,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Name {
    #[serde(rename = "SIGHUP")]
    Hup,
    #[serde(rename = "SIGINT")]
    Int,
    #[serde(rename = "SIGQUIT")]
    Quit,
    #[serde(rename = "SIGKILL")]
    Kill,
    #[default]
    #[serde(rename = "SIGTERM")]
    Term,
}

impl Name {
    fn signal(self) -> Signal {
        match self {
            Name::Hup => Signal::HUP,
            Name::Int => Signal::INT,
            Name::Quit => Signal::QUIT,
            Name::Kill => Signal::KILL,
            Name::Term => Signal::TERM,
        }
    }
}
