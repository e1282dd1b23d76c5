//! Servers of HTTP that programs ask. They are written out, and not of a library: what is sent and
//! what is echoed is as the suite says, to the byte.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use serde::Deserialize;

use super::LIMIT;

/// The most bytes of a line of a request's head.
const MAX_LINE: u64 = 64 << 10;

/// The most bytes of a request's body.
const MAX_BODY: usize = 16 << 20;

/// A server, whose address is in a variable of the program's environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Server {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Listening,
    /// Nobody listens at its address.
    Closed,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    #[serde(default = "super::get")]
    method: String,
    /// With its query.
    #[serde(default = "super::root")]
    path: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    response: Fixed,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Static,
    /// The request's body.
    EchoBody,
    /// The request's line, headers and trailers, as headers.
    EchoHeaders,
}

/// What is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixed {
    #[serde(default = "super::ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
    /// Instead of a body.
    chunks: Option<Vec<String>>,
    /// After chunks.
    #[serde(default)]
    trailers: BTreeMap<String, String>,
}

impl Default for Fixed {
    fn default() -> Fixed {
        Fixed {
            status: super::ok(),
            headers: BTreeMap::new(),
            body: String::new(),
            chunks: None,
            trailers: BTreeMap::new(),
        }
    }
}

/// A server that runs; it ends when this is dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    is_over: Arc<AtomicBool>,
    /// A socket that has the address and does not listen: no other program gets it meanwhile.
    _closed: Option<OwnedFd>,
}

impl Server {
    /// The variable that has its address, as `HOST:PORT`.
    pub(super) fn variable(&self) -> String {
        format!("HTTP_SERVER_{}", self.name.to_uppercase())
    }

    pub(super) fn start(&self) -> io::Result<Running> {
        let is_over = Arc::new(AtomicBool::new(false));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        if let Kind::Closed = self.kind {
            let closed = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            bind(&closed, &any)?;
            return Ok(Running {
                address: getsockname(&closed)?.try_into()?,
                is_over,
                _closed: Some(closed),
            });
        }
        let listener = TcpListener::bind(any)?;
        let address = listener.local_addr()?;
        let (endpoints, over) = (Arc::new(self.endpoints.clone()), Arc::clone(&is_over));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let endpoints = Arc::clone(&endpoints);
                // A client that goes away is no failure of the server; the program tells it.
                thread::spawn(move || stream.and_then(|stream| serve(&stream, &endpoints)));
            }
        });
        Ok(Running {
            address,
            is_over,
            _closed: None,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

type Fields = Vec<(String, Vec<u8>)>;

struct Received {
    method: String,
    path: String,
    headers: Fields,
    body: Vec<u8>,
    trailers: Fields,
}

/// Answers one request, and closes the connection.
fn serve(stream: &TcpStream, endpoints: &[Endpoint]) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let received = receive(&mut BufReader::new(stream))?;
    let mut answer = Vec::new();
    let endpoint = endpoints
        .iter()
        .find(|endpoint| (&endpoint.method, &endpoint.path) == (&received.method, &received.path));
    match endpoint.map(|endpoint| (endpoint.mode, &endpoint.response)) {
        None => whole(&mut answer, 404, &[], b"", true)?,
        Some((Mode::EchoBody, _)) => whole(&mut answer, 200, &[], &received.body, true)?,
        Some((Mode::EchoHeaders, _)) => {
            whole(&mut answer, 200, &received.echoed(), b"", true)?;
        }
        Some((Mode::Static, fixed)) => fixed.write(&mut answer, received.method != "HEAD")?,
    }
    let mut stream = stream;
    stream.write_all(&answer)
}

impl Received {
    fn echoed(&self) -> Fields {
        let named = |prefix: &'static str, fields: &Fields| {
            let fields = fields.clone().into_iter();
            fields.map(move |(name, value)| (format!("{prefix}{name}"), value))
        };
        let line = [
            ("x-request-method".to_owned(), self.method.clone().into()),
            ("x-request-path".to_owned(), self.path.clone().into()),
        ];
        let headers = named("x-echo-", &self.headers);
        let trailers = named("x-trailer-", &self.trailers);
        line.into_iter().chain(headers).chain(trailers).collect()
    }
}

impl Fixed {
    fn write(&self, to: &mut impl Write, has_body: bool) -> io::Result<()> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        let mut headers: Fields = headers.collect();
        let Some(chunks) = &self.chunks else {
            return whole(to, self.status, &headers, self.body.as_bytes(), has_body);
        };
        headers.push(("Transfer-Encoding".to_owned(), b"chunked".to_vec()));
        if !self.trailers.is_empty() {
            let names: Vec<&str> = self.trailers.keys().map(String::as_str).collect();
            headers.push(("Trailer".to_owned(), names.join(", ").into_bytes()));
        }
        head(to, self.status, &headers)?;
        if !has_body {
            return Ok(());
        }
        for chunk in chunks {
            write!(to, "{:x}\r\n{chunk}\r\n", chunk.len())?;
        }
        write!(to, "0\r\n")?;
        for (name, value) in &self.trailers {
            write!(to, "{name}: {value}\r\n")?;
        }
        write!(to, "\r\n")
    }
}

/// An answer whose length is known; that to `HEAD` only says it.
fn whole(
    to: &mut impl Write,
    status: u16,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
    has_body: bool,
) -> io::Result<()> {
    let length = (
        "Content-Length".to_owned(),
        body.len().to_string().into_bytes(),
    );
    head(to, status, &[headers, &[length]].concat())?;
    match has_body {
        true => to.write_all(body),
        false => Ok(()),
    }
}

fn head(to: &mut impl Write, status: u16, headers: &[(String, Vec<u8>)]) -> io::Result<()> {
    let reason = http::StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    write!(to, "HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default())?;
    for (name, value) in headers {
        write!(to, "{name}: ")?;
        to.write_all(value)?;
        write!(to, "\r\n")?;
    }
    write!(to, "Connection: close\r\n\r\n")
}

fn receive(from: &mut impl BufRead) -> io::Result<Received> {
    let first = String::from_utf8(line(from)?).map_err(|_| malformed("line"))?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(malformed("line"));
    };
    let headers = fields(from)?;
    let value = |name: &str| {
        let found = headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).to_lowercase())
    };
    let (mut body, mut trailers) = (Vec::new(), Fields::new());
    if value("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let size = String::from_utf8(line(from)?).map_err(|_| malformed("chunk"))?;
            // A size may be followed by extensions.
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed("chunk"))?;
            if size == 0 {
                break;
            }
            take(from, size, &mut body)?;
            if !line(from)?.is_empty() {
                return Err(malformed("chunk"));
            }
        }
        trailers = fields(from)?;
    } else if let Some(length) = value("content-length") {
        let length = length.parse().map_err(|_| malformed("length"))?;
        take(from, length, &mut body)?;
    }
    Ok(Received {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        body,
        trailers,
    })
}

/// Fields up to the empty line after them, their names in lower case.
fn fields(from: &mut impl BufRead) -> io::Result<Fields> {
    let mut fields = Fields::new();
    loop {
        let line = line(from)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or_else(|| malformed("field"))?;
        let name = String::from_utf8_lossy(&line[..colon]).to_lowercase();
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

/// A line without its end, which must be there.
fn line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line
        .strip_suffix(b"\r\n")
        .or_else(|| line.strip_suffix(b"\n"))
    {
        Some(line) => Ok(line.to_vec()),
        None => Err(malformed("end")),
    }
}

fn take(from: &mut impl BufRead, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len().saturating_add(count) > MAX_BODY {
        return Err(malformed("body"));
    }
    let place = body.len();
    body.resize(place + count, 0);
    from.read_exact(&mut body[place..])
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a malformed {what}"))
}
