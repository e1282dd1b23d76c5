//! The operations of a plan, one after the other.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::Path;

use tempfile::TempDir;

use super::super::folder::Folder;
use super::process::Process;
use super::server::Running;
use super::{
    Connect, LIMIT, Operation, Pipe, Plan, Protocol, Request, Runner, Sent, Start, World, request,
};

/// What there is between operations.
struct Run<'a> {
    plan: &'a Plan,
    runner: &'a Runner,
    file: &'a Path,
    process: Option<Process>,
    connections: BTreeMap<String, Connection>,
    /// Where requests go.
    http: Option<String>,
    /// The variables that name the servers, which run as long as this is here.
    servers: Vec<(String, Running)>,
    folders: Vec<TempDir>,
}

enum Connection {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Plan {
    /// Does all that is to be done with the program in `file`.
    ///
    /// # Errors
    /// What was found, and what was expected.
    pub(in super::super) fn run(&self, runner: &Runner, file: &Path) -> Result<(), String> {
        let mut run = Run {
            plan: self,
            runner,
            file,
            process: None,
            connections: BTreeMap::new(),
            http: None,
            servers: Vec::new(),
            folders: Vec::new(),
        };
        let done = run.all();
        done.map_err(|message| match &mut run.process {
            None => message,
            Some(process) => match process.errors().as_str() {
                "" => message,
                errors => format!("{message}; its standard error: {errors:?}"),
            },
        })
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), String> {
        for server in &self.plan.servers {
            let running = server.start();
            let running = running.map_err(|error| format!("no server: {error}"))?;
            self.servers.push((server.variable(), running));
        }
        let mut is_running = false;
        for (place, operation) in self.plan.operations.iter().enumerate() {
            let done = self.perform(operation);
            done.map_err(|message| format!("operation {place}, {operation}: {message}"))?;
            is_running = match operation {
                Operation::Run(_) => true,
                Operation::Wait(_) => false,
                _ => is_running,
            };
        }
        match is_running {
            true => Err("found a program that still runs, expected `wait` at the end".to_owned()),
            false => Ok(()),
        }
    }

    fn perform(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Run(start) => self.start(start),
            Operation::Wait(end) => match self.process()?.wait()? {
                code if code == end.exit_code => Ok(()),
                code => Err(format!(
                    "found exit code {code}, expected {}",
                    end.exit_code
                )),
            },
            Operation::Read(piped) => {
                let expected = piped.payload.as_bytes();
                let read = self.process()?.read(piped.id, expected.len())?;
                same(&read, expected)
            }
            Operation::Write(piped) if piped.id == Pipe::Stdin => {
                let written = self.process()?.write(piped.payload.as_bytes());
                written.map_err(found)
            }
            Operation::Write(piped) => Err(format!("found {:?}, expected stdin", piped.id)),
            Operation::Connect(connect) => self.connect(connect),
            Operation::Send(sent) => self.send(sent),
            Operation::Recv(sent) => self.receive(sent),
            Operation::Request(request) => self.request(request),
            Operation::Kill(kill) => {
                let killed = self.process()?.kill(kill.signal.signal());
                killed.map_err(found)
            }
        }
    }

    fn process(&mut self) -> Result<&mut Process, String> {
        let process = self.process.as_mut();
        process.ok_or_else(|| "found no program, expected `run` before".to_owned())
    }

    fn start(&mut self, start: &Start) -> Result<(), String> {
        let folder = match &start.root {
            Some(root) => {
                let folder = Folder::CopyOf(self.file.with_file_name(root)).copy();
                Some(folder.map_err(|error| format!("no copy: {error}"))?)
            }
            None => None,
        };
        let env = start.env.iter();
        let env = env.map(|(name, value)| (name.clone(), value.clone()));
        let servers = self.servers.iter();
        let servers = servers.map(|(name, running)| (name.clone(), running.address.to_string()));
        let env: Vec<(String, String)> = env.chain(servers).collect();
        let path = folder.as_ref().map(TempDir::path);
        let command = self
            .runner
            .command(self.plan, self.file, path, &env, &start.args);
        let process = Process::start(command);
        let process = process
            .map_err(|error| format!("{} cannot be run: {error}", self.runner.path().display()))?;
        self.process = Some(process);
        self.http = None;
        self.folders.extend(folder);
        Ok(())
    }

    fn connect(&mut self, connect: &Connect) -> Result<(), String> {
        let line = self.process()?.line(Pipe::Stdout)?;
        let expected =
            |error: &dyn Display| format!("found {line:?} ({error}), expected HOST:PORT");
        let connection = match connect.protocol_type {
            Protocol::Tcp => {
                let stream = TcpStream::connect(&line).map_err(|error| expected(&error))?;
                let limited = stream.set_read_timeout(Some(LIMIT));
                limited.map_err(found)?;
                Connection::Tcp(stream)
            }
            Protocol::Udp => {
                let any = if line.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                let socket = UdpSocket::bind(any).map_err(found)?;
                socket.connect(&line).map_err(|error| expected(&error))?;
                socket.set_read_timeout(Some(LIMIT)).map_err(found)?;
                Connection::Udp(socket)
            }
            Protocol::Http => {
                self.http = Some(line);
                return Ok(());
            }
        };
        self.connections.insert(connect.id.clone(), connection);
        Ok(())
    }

    fn connection(&mut self, id: &str) -> Result<&mut Connection, String> {
        let connection = self.connections.get_mut(id);
        connection.ok_or_else(|| format!("found no connection `{id}`"))
    }

    fn send(&mut self, sent: &Sent) -> Result<(), String> {
        let bytes = sent.payload.as_bytes();
        match self.connection(&sent.id)? {
            Connection::Tcp(stream) => stream.write_all(bytes).map_err(found),
            Connection::Udp(socket) => socket.send(bytes).map(drop).map_err(found),
        }
    }

    fn receive(&mut self, sent: &Sent) -> Result<(), String> {
        let expected = sent.payload.as_bytes();
        let received = match self.connection(&sent.id)? {
            Connection::Tcp(stream) => {
                let mut received = Vec::new();
                let read = stream
                    .take(expected.len() as u64)
                    .read_to_end(&mut received);
                read.map_err(|error| format!("found {error} after {received:?}"))?;
                received
            }
            Connection::Udp(socket) => {
                let mut received = vec![0; 64 << 10];
                let count = socket.recv(&mut received).map_err(found)?;
                received.truncate(count);
                received
            }
        };
        same(&received, expected)
    }

    fn request(&mut self, request: &Request) -> Result<(), String> {
        let address = match &self.http {
            Some(address) => address.clone(),
            None => {
                if self.plan.world != World::Service {
                    return Err("found a command, expected a service".to_owned());
                }
                // The first line that the server writes says where it listens.
                let line = self.process()?.line(Pipe::Stderr)?;
                let address = line.split_once("http://").map(|(_, rest)| rest);
                let address = address.and_then(|rest| rest.split([' ', '/']).next());
                let address = address.ok_or_else(|| format!("found {line:?}, expected a URL"))?;
                self.http = Some(address.to_owned());
                address.to_owned()
            }
        };
        request::ask(&address, request)
    }
}

/// What an operation is, for messages.
impl Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::Run(_) => write!(f, "run"),
            Operation::Wait(_) => write!(f, "wait"),
            Operation::Read(piped) => write!(f, "read {:?}", piped.id),
            Operation::Write(piped) => write!(f, "write {:?}", piped.id),
            Operation::Connect(connect) => write!(f, "connect {}", connect.id),
            Operation::Send(sent) => write!(f, "send {}", sent.id),
            Operation::Recv(sent) => write!(f, "recv {}", sent.id),
            Operation::Request(request) => write!(f, "{} {}", request.method, request.path),
            Operation::Kill(kill) => write!(f, "kill {:?}", kill.signal),
        }
    }
}

fn same(found: &[u8], expected: &[u8]) -> Result<(), String> {
    let [found_text, expected_text] = [found, expected].map(String::from_utf8_lossy);
    match found == expected {
        true => Ok(()),
        false => Err(format!("found {found_text:?}, expected {expected_text:?}")),
    }
}

fn found(error: impl Display) -> String {
    format!("found {error}")
}
