//! A small HTTP/1.1 client: it sends exactly what a test says and keeps what comes back as it came.
//!
//! Blocking and without anything but the standard library, so that a test can send a wrong `Host`, half a body, or go
//! away in the middle; `benches/engine/serving.rs` uses it too, since it costs the server next to no processor time.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes: a server that hangs fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(180);

/// What is sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a body of this type.
    pub fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self::new("POST", target).with("content-type", content_type);
        Self { body: body.into(), ..request }
    }

    /// `POST target` with a JSON document.
    pub fn json(target: &str, document: &Value) -> Self {
        Self::post(target, "application/json", document.to_string())
    }

    /// `POST target` as a form of a page sends it.
    pub fn form(target: &str, fields: &[(&str, &str)]) -> Self {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        Self::post(target, "application/x-www-form-urlencoded", body.join("&"))
    }

    /// The same with one more header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same as the holder of `token` sends it.
    pub fn by(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Method and target, for messages.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// The bytes on the wire.
    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("host: {host}\r\n");
        }
        if !self.has("content-length") && self.method != "GET" {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend(&self.body);
        bytes
    }
}

/// `text` as a part of a path, a query or a form.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value)
    }

    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics when it is anything else.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {} {}", self.status, self.text()))
    }

    /// The answer; panics unless it has this status.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A connection that is kept for the next request.
pub struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `address`, a host and a port.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { host: address.to_owned(), stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends `request` and reads all of the answer.
    ///
    /// # Errors
    /// When the connection ends before the answer does, which is how a server says that a body was cut off.
    pub fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut answer = self.begin(request)?;
        let mut body = Vec::new();
        self.finish(&answer, &mut body)?;
        answer.body = body;
        Ok(answer)
    }

    /// Sends `request` and reads the answer up to its body.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn begin(&mut self, request: &Request) -> Result<Answer> {
        // A server may answer, and stop reading, before it has all of the body.
        let sent = self.send(request);
        match self.head() {
            Ok(head) => Ok(head),
            Err(lost) => Err(sent.err().unwrap_or(lost)),
        }
    }

    /// Sends `request` and waits for nothing.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn send(&mut self, request: &Request) -> Result<()> {
        let bytes = request.bytes(&self.host);
        self.stream.get_mut().write_all(&bytes)
    }

    /// Reads the body of the answer that began with `head` into `out`.
    ///
    /// # Errors
    /// When the connection ends before the body does.
    pub fn finish(&mut self, head: &Answer, out: &mut dyn Write) -> Result<()> {
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(());
        }
        if head.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            return self.chunks(out);
        }
        match head.header("content-length").parse::<u64>() {
            Ok(length) => self.exactly(length, out),
            Err(_) => std::io::copy(&mut self.stream, out).map(drop),
        }
    }

    fn head(&mut self) -> Result<Answer> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Answer { status, headers, body: Vec::new() })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn chunks(&mut self, out: &mut dyn Write) -> Result<()> {
        loop {
            let line = self.line()?;
            let length = u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16);
            let length = length.map_err(|_| Error::new(ErrorKind::InvalidData, format!("no chunk: {line:?}")))?;
            if length == 0 {
                // Trailers, and the empty line behind them.
                while !self.line()?.is_empty() {}
                return Ok(());
            }
            self.exactly(length, out)?;
            self.line()?;
        }
    }

    fn exactly(&mut self, length: u64, out: &mut dyn Write) -> Result<()> {
        match std::io::copy(&mut self.stream.by_ref().take(length), out)? {
            read if read == length => Ok(()),
            _ => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}
