//! A raw HTTP/1.1 client: one connection a request, no redirect, no retry, every header and byte chosen by the test.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Longest that any single read or write may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who asks, and whom.
#[derive(Clone, Debug)]
pub struct Client {
    /// `127.0.0.1:port`.
    pub address: String,
    authorization: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without transfer coding.
    pub body: Vec<u8>,
}

impl Client {
    /// Without credentials.
    pub fn anonymous(address: &str) -> Self {
        Self { address: address.to_owned(), authorization: None }
    }

    /// With HTTP Basic.
    pub fn basic(address: &str, user: &str, password: &str) -> Self {
        let token = BASE64.encode(format!("{user}:{password}"));
        Self { address: address.to_owned(), authorization: Some(format!("Basic {token}")) }
    }

    /// With a bearer token.
    pub fn bearer(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), authorization: Some(format!("Bearer {token}")) }
    }

    /// Sends a request whose body is at hand.
    ///
    /// # Errors
    /// What the socket says, also when the peer goes away in the middle of an answer.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let length = u64::try_from(body.len()).map_err(io::Error::other)?;
        self.try_stream(method, path, headers, length, &mut io::Cursor::new(body))
    }

    /// Sends a request with `Content-Length: length` and whatever `body` gives; fewer bytes are the test's wish.
    ///
    /// # Errors
    /// What the socket says, also when the peer goes away in the middle of an answer.
    pub fn try_stream(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: u64,
        body: &mut dyn Read,
    ) -> io::Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let names = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !names("host") {
            let _ = write!(head, "Host: {}\r\n", self.address);
        }
        if let Some(value) = self.authorization.as_ref().filter(|_| !names("authorization")) {
            let _ = write!(head, "Authorization: {value}\r\n");
        }
        if (length > 0 || matches!(method, "POST" | "PUT" | "PATCH")) && !names("content-length") {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(head.as_bytes())?;
        // A server that refuses early closes its reading side; its answer is still to be read.
        let sent = io::copy(body, &mut stream);
        match read_response(stream, method == "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// As [`Client::try_send`], for tests where only an answer makes sense.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_send(method, path, headers, body)
            .unwrap_or_else(|error| panic!("{method} {path} at {}: {error}", self.address))
    }

    /// GET without extra headers.
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], &[])
    }

    /// HEAD without extra headers.
    pub fn head(&self, path: &str) -> Response {
        self.send("HEAD", path, &[], &[])
    }
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages and searches.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `Null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Code of the first error of the distribution spec's error body; empty when it is none.
    pub fn error_code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

fn read_response(stream: TcpStream, head_only: bool) -> io::Result<Response> {
    let mut reader = BufReader::new(stream);
    loop {
        let status = read_line(&mut reader)?;
        let code = status.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        let status = code
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, format!("no status: {status:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(&mut reader)?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        if (100..200).contains(&status) {
            continue;
        }
        let mut response = Response { status, headers, body: Vec::new() };
        if !head_only && status != 204 && status != 304 {
            response.body = read_body(&mut reader, &response)?;
        }
        return Ok(response);
    }
}

fn read_body(reader: &mut BufReader<TcpStream>, response: &Response) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if response.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(reader)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let before = body.len();
            reader.by_ref().take(size).read_to_end(&mut body)?;
            if u64::try_from(body.len() - before).ok() != Some(size) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read_line(reader)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let Some(length) = response.header("content-length") else {
        reader.read_to_end(&mut body)?;
        return Ok(body);
    };
    let length: u64 = length.parse().map_err(io::Error::other)?;
    reader.take(length).read_to_end(&mut body)?;
    if u64::try_from(body.len()).ok() == Some(length) {
        Ok(body)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn read_line(reader: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
