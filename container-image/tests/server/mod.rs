//! A registry of the tests' own that does wrong on purpose.

#![allow(dead_code, reason = "not every test binary uses all of it")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use container_image::digest::Digest;

use crate::sample::Sample;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is_layer(&self, sample: &Sample) -> bool {
        self.path
            .ends_with(&format!("blobs/{}", Digest::sha256(&sample.layers[0])))
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Break the connection after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Send this many bytes, then nothing until the client goes.
    pub(crate) stall: Option<usize>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            stall: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Hook = dyn Fn(&Request, usize) -> Option<Reply> + Send + Sync;

struct Shared {
    manifests: HashMap<String, (String, Vec<u8>)>,
    blobs: HashMap<String, Vec<u8>>,
    /// May answer before the honest registry does; told how many requests for the path came before.
    hook: Box<Hook>,
    log: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Serves `sample` as `x:1`, but for what `hook` answers.
    pub(crate) fn start(
        sample: &Sample,
        hook: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let mut blobs = HashMap::from([(sample.id().to_string(), sample.config.clone())]);
        for layer in &sample.layers {
            blobs.insert(Digest::sha256(layer).to_string(), layer.clone());
        }
        let manifest = (sample.media_type.to_owned(), sample.manifest.clone());
        let shared = Arc::new(Shared {
            manifests: HashMap::from([
                ("1".to_owned(), manifest.clone()),
                (sample.digest().to_string(), manifest),
            ]),
            blobs,
            hook: Box::new(hook),
            log: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away is no failure of the test.
                std::thread::spawn(move || serve(&stream.unwrap(), &serving).ok());
            }
        });
        Self { address, shared }
    }

    pub(crate) fn honest(sample: &Sample) -> Self {
        Self::start(sample, |_, _| None)
    }

    /// `127.0.0.1:<port>/x:1`.
    pub(crate) fn image(&self) -> String {
        format!("{}/x:1", self.address)
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.shared.log.lock().unwrap().clone()
    }

    /// How often a path ending like this was asked for, by GET.
    pub(crate) fn count(&self, end: &str) -> usize {
        let log = self.log();
        log.iter()
            .filter(|r| r.method == "GET" && r.path.ends_with(end))
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        std::io::Read::read_exact(&mut reader, &mut body)?;
        let request = Request {
            method,
            path,
            headers,
            body: String::from_utf8(body).unwrap(),
        };
        let before = {
            let mut log = shared.log.lock().unwrap();
            let before = log
                .iter()
                .filter(|r| r.path == request.path && r.method == request.method)
                .count();
            log.push(request.clone());
            before
        };
        let reply = (shared.hook)(&request, before).unwrap_or_else(|| honest(&request, shared));
        send(stream, &request, &reply)?;
        if reply.cut.is_some() || reply.stall.is_some() {
            return Ok(());
        }
    }
}

fn honest(request: &Request, shared: &Shared) -> Reply {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    if request.path.contains("/manifests/") {
        return match shared.manifests.get(name) {
            Some((media_type, body)) => Reply::new(200, body.clone())
                .header("content-type", media_type)
                .header("docker-content-digest", Digest::sha256(body).to_string()),
            None => Reply::new(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            ),
        };
    }
    let Some(blob) = shared.blobs.get(name) else {
        return Reply::new(404, "");
    };
    let from = request
        .header("range")
        .strip_prefix("bytes=")
        .and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
    match from {
        Some(from) => {
            let total = blob.len();
            let range = format!("bytes {from}-{}/{total}", total - 1);
            Reply::new(206, &blob[from..]).header("content-range", range)
        }
        None => Reply::new(200, blob.clone()),
    }
}

fn send(mut stream: &TcpStream, request: &Request, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let end = reply.cut.or(reply.stall).unwrap_or(reply.body.len());
    stream.write_all(&reply.body[..end])?;
    if reply.stall.is_some() {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        std::io::Read::read(&mut &*stream, &mut [0])?;
    }
    if reply.cut.is_some() {
        stream.shutdown(Shutdown::Both)?;
    }
    Ok(())
}
