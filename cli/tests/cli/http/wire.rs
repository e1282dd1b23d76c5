//! HTTP/1.1 byte by byte, so that a test says exactly what is on the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a test waits for bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to a server.
pub(super) struct Connection {
    pub(super) stream: BufReader<TcpStream>,
}

/// A response as it was received.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lines, with names in lower case.
    pub(super) headers: Vec<String>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<String>,
    /// Whether the body has ended as its framing says.
    pub(super) is_complete: bool,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.next()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// It is complete, and exactly this.
    #[track_caller]
    pub(super) fn is(&self, status: u16, body: &str) {
        assert!(self.is_complete, "{self:?}");
        assert_eq!((self.status, self.text()), (status, body), "{self:?}");
    }
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection {
            stream: BufReader::new(stream),
        }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body, on a connection that is kept.
    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"));
        self.answer()
    }

    /// Sends a request with a body.
    pub(super) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"
        ));
        self.send(body);
        self.answer()
    }

    pub(super) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\r\n")?;
        Some(String::from_utf8(line.to_vec()).unwrap())
    }

    fn lines(&mut self) -> Option<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Some(lines);
            };
            lines.push(format!("{}:{value}", name.to_ascii_lowercase()));
        }
    }

    /// Receives status and headers.
    pub(super) fn head(&mut self) -> Option<Answer> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
        Some(Answer {
            status,
            headers: self.lines()?,
            body: Vec::new(),
            trailers: Vec::new(),
            is_complete: false,
        })
    }

    /// A piece of a body in chunks; an empty one is the last.
    pub(super) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).unwrap();
        let mut piece = vec![0; size];
        self.stream.read_exact(&mut piece).ok()?;
        if size > 0 {
            assert_eq!(self.line()?, "");
        }
        Some(piece)
    }

    pub(super) fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    /// A whole response; `None` if the server has closed the connection.
    pub(super) fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(piece) = self.chunk() {
                if piece.is_empty() {
                    let trailers = self.lines();
                    answer.is_complete = trailers.is_some();
                    answer.trailers = trailers.unwrap_or_default();
                    break;
                }
                answer.body.extend(piece);
            }
            return Some(answer);
        }
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let body = self.stream.by_ref().take(length);
        let mut body = body;
        let _ = body.read_to_end(&mut answer.body);
        answer.is_complete = answer.body.len() as u64 == length;
        Some(answer)
    }
}
