//! As much of HTTP/1.1 as one GET takes (RFC 9112).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Http;

/// A head, and a body, are read this far.
const MAX_HEAD: usize = 64 << 10;
const MAX_BODY: usize = 1 << 20;
/// A server that takes longer is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic())
}

/// Asks once. The inner error is what is wrong with the answer.
pub(super) async fn ask(stream: TcpStream, http: &Http) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, exchange(stream, http)).await {
        Ok(Ok(answer)) => judge(http, &answer),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err(format!("no answer in {PATIENCE:?}")),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

fn judge(http: &Http, answer: &Answer) -> Result<(), String> {
    let Answer { status, body } = answer;
    match http.status {
        None if !(200..300).contains(status) => return Err(format!("status {status}")),
        Some(wanted) if wanted != *status => return Err(format!("status {status}")),
        _ => {}
    }
    match &http.body {
        Some(text) if !String::from_utf8_lossy(body).contains(text) => {
            Err(format!("status {status} with another body"))
        }
        _ => Ok(()),
    }
}

async fn exchange(mut stream: TcpStream, http: &Http) -> io::Result<Answer> {
    let Http { port, path, .. } = http;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: container-core\r\n\
         Accept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = Head::parse(&bytes)? {
            let whole = http.body.is_none() || head.is_whole(&bytes);
            if whole || bytes.len() - head.length >= MAX_BODY {
                return Ok(head.answer(bytes));
            }
        } else if bytes.len() > MAX_HEAD {
            return Err(invalid("a head without end"));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return match Head::parse(&bytes)? {
                Some(head) => Ok(head.answer(bytes)),
                None => Err(invalid("the answer broke off")),
            };
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[derive(Debug)]
struct Head {
    status: u16,
    /// Bytes of the head.
    length: usize,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Bytes(usize),
    Chunks,
    ToTheEnd,
}

impl Head {
    /// `None` when it is not whole yet. Interim answers are passed over.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut start = 0;
        loop {
            let rest = &bytes[start..];
            let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else {
                return Ok(None);
            };
            let head = Self::parse_one(&String::from_utf8_lossy(&rest[..end]), start + end + 4)?;
            match head.status {
                100..200 => start = head.length,
                _ => return Ok(Some(head)),
            }
        }
    }

    fn parse_one(head: &str, length: usize) -> io::Result<Self> {
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1."))
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .ok_or_else(|| invalid("it does not speak HTTP/1"))?;
        let mut body = Body::ToTheEnd;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunks;
            } else if name.eq_ignore_ascii_case("content-length") && body != Body::Chunks {
                let length = value.parse();
                body = Body::Bytes(length.map_err(|_| invalid("a length that is no number"))?);
            }
        }
        if matches!(status, 204 | 304) {
            body = Body::Bytes(0);
        }
        Ok(Self {
            status,
            length,
            body,
        })
    }

    fn is_whole(&self, bytes: &[u8]) -> bool {
        let body = &bytes[self.length..];
        match self.body {
            Body::Bytes(length) => body.len() >= length,
            Body::Chunks => unchunk(body).1,
            Body::ToTheEnd => false,
        }
    }

    fn answer(self, bytes: Vec<u8>) -> Answer {
        let body = &bytes[self.length..];
        let body = match self.body {
            Body::Bytes(length) => body[..length.min(body.len())].to_vec(),
            Body::Chunks => unchunk(body).0,
            Body::ToTheEnd => body.to_vec(),
        };
        Answer {
            status: self.status,
            body,
        }
    }
}

/// What is in the chunks that are there, and whether they are all.
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&bytes[..end]).ok();
        let size = size.and_then(|size| size.split(';').next());
        let Some(size) = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()) else {
            return (body, true);
        };
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        match size.checked_add(2).and_then(|next| bytes.get(next..)) {
            Some(rest) => bytes = rest,
            None => return (body, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> (u16, String, bool) {
        let head = Head::parse(text.as_bytes()).unwrap().unwrap();
        let whole = head.is_whole(text.as_bytes());
        let answer = head.answer(text.into());
        (
            answer.status,
            String::from_utf8(answer.body).unwrap(),
            whole,
        )
    }

    #[test]
    fn answers() {
        for (text, want) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!",
                (200, "ok", true),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok!",
                (200, "ok!", false),
            ),
            (
                "HTTP/1.0 503 No\r\n\r\nall of it",
                (503, "all of it", false),
            ),
            ("HTTP/1.1 204 No\r\n\r\n", (204, "", true)),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\n\r\n",
                (200, "abc0123456789", true),
            ),
            (
                "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
                (200, "abc", false),
            ),
            (
                "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc",
                (200, "abc", false),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
                (404, "", true),
            ),
        ] {
            assert_eq!(answer(text), (want.0, want.1.to_owned(), want.2), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for part in ["", "HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 100 C\r\n\r\n"] {
            assert!(Head::parse(part.as_bytes()).unwrap().is_none(), "{part}");
        }
        for bad in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 200\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn verdicts() {
        let get = || Http::get(80, "/");
        let judge = |http: Http, status, body: &str| {
            let body = body.into();
            judge(&http, &Answer { status, body }).is_ok()
        };
        assert!(judge(get(), 204, "") && !judge(get(), 301, ""));
        assert!(judge(get().status(301), 301, "") && !judge(get().status(201), 200, ""));
        assert!(judge(get().body("b"), 200, "abc") && !judge(get().body("x"), 200, "abc"));
    }
}
