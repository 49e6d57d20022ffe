//! A hub for the tests: a small HTTP server on this machine that answers as a Hugging Face hub does,
//! and misbehaves on request.

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The commit that `main` is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong while the bytes of the weights are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The connection ends after so many bytes.
    Cut(usize),
    /// Nothing more comes after so many bytes, for longer than a client waits.
    Stall(usize),
    /// A pause before each of ten pieces.
    Slow(Duration),
    /// This status instead of the bytes.
    Status(u16),
    /// The server says that the file is shorter than it is, and sends that much.
    Short(usize),
    /// More bytes than the file has.
    Long,
    /// One byte is another.
    Wrong,
    /// The whole file even where a part is asked for.
    Whole,
}

/// What the hub has, and how it behaves.
#[derive(Default)]
pub struct Plan {
    /// Files of the repository `owner/net`. Those that end in `.safetensors` have their SHA-256 as
    /// etag, and are sent by another server (another port).
    pub files: HashMap<String, Vec<u8>>,
    /// What goes wrong at each transfer of weights; nothing after the last.
    pub faults: Vec<Fault>,
    /// The token that is asked for.
    pub token: Option<String>,
    /// Answers of the hub itself, before it looks at anything: status and header lines.
    pub answer: Option<(u16, String)>,
    /// Whether `owner/net` is now `owner/renamed`.
    pub renamed: bool,
}

struct State {
    plan: Mutex<Plan>,
    log: Mutex<Vec<String>>,
    ports: (u16, u16),
}

/// A hub that answers until the test ends.
pub struct Server(Arc<State>);

impl Server {
    /// Starts the hub and the server that has the bytes.
    pub fn start(plan: Plan) -> Server {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let (hub, bytes) = (listen(), listen());
        let state = Arc::new(State {
            plan: Mutex::new(plan),
            log: Mutex::new(Vec::new()),
            ports: (port(&hub), port(&bytes)),
        });
        for listener in [hub, bytes] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    // A client that has gone is no concern of the server's.
                    std::thread::spawn(move || serve(&state, stream).ok());
                }
            });
        }
        Server(state)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.ports.0)
    }

    /// Changes what the hub has and does.
    pub fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.lock().expect("no panic"));
    }

    /// The requests since the last call: `GET /path` with `Range` and `token` where they were sent.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.0.log.lock().expect("no panic"))
    }
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

fn read(stream: &TcpStream) -> std::io::Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_string);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Request { method, path, headers });
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_string());
        }
    }
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    let request = read(&stream)?;
    let mut entry = format!("{} {}", request.method, request.path);
    if let Some(range) = request.headers.get("range") {
        entry.push_str(&format!(" {range}"));
    }
    if request.headers.contains_key("authorization") {
        entry.push_str(" token");
    }
    state.log.lock().expect("no panic").push(entry);
    match stream.local_addr()?.port() == state.ports.0 {
        true => hub(state, &request, stream),
        false => bytes(state, &request, stream),
    }
}

fn head(mut stream: &TcpStream, status: u16, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} Whatever\r\nConnection: close\r\n{headers}\r\n")
}

fn hub(state: &State, request: &Request, mut stream: TcpStream) -> std::io::Result<()> {
    let plan = state.plan.lock().expect("no panic");
    if let Some((status, headers)) = &plan.answer {
        return head(&stream, *status, headers);
    }
    let given = request.headers.get("authorization").and_then(|text| text.strip_prefix("Bearer "));
    if plan.token.is_some() && plan.token.as_deref() != given {
        return head(&stream, 401, "X-Error-Code: RepoNotFound\r\n");
    }
    if request.path == "/api/models/owner/net/revision/main" {
        let files = plan.files.keys().map(|name| serde_json::json!({ "rfilename": name }));
        let body = serde_json::json!({ "siblings": files.collect::<Vec<_>>() }).to_string();
        head(&stream, 200, &format!("Content-Length: {}\r\n", body.len()))?;
        return stream.write_all(body.as_bytes());
    }
    let parts: Vec<&str> = request.path.splitn(6, '/').collect();
    let ["", "owner", repository, "resolve", revision, file] = parts[..] else {
        return head(&stream, 404, "X-Error-Code: RepoNotFound\r\n");
    };
    match (repository, plan.renamed) {
        ("net", true) => {
            let to = format!("Location: /owner/renamed/resolve/{revision}/{file}\r\n");
            return head(&stream, 307, &to);
        }
        ("net", false) | ("renamed", true) => {}
        _ => return head(&stream, 404, "X-Error-Code: RepoNotFound\r\n"),
    }
    if !["main", "v1", COMMIT].contains(&revision) {
        return head(&stream, 404, "X-Error-Code: RevisionNotFound\r\n");
    }
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    let Some(content) = plan.files.get(file) else {
        return head(&stream, 404, &format!("X-Error-Code: EntryNotFound\r\n{commit}"));
    };
    if file.ends_with(".safetensors") {
        let (hash, length, port) = (sha256(content), content.len(), state.ports.1);
        let headers = format!(
            "{commit}X-Linked-Etag: \"{hash}\"\r\nX-Linked-Size: {length}\r\nETag: \"of-the-page\"\r\n\
             Location: http://127.0.0.1:{port}/{file}?signature=secret\r\nContent-Length: 0\r\n"
        );
        return head(&stream, 302, &headers);
    }
    let headers = format!("{commit}ETag: W/\"{file}-1\"\r\nContent-Length: {}\r\n", content.len());
    head(&stream, 200, &headers)?;
    if request.method == "GET" { stream.write_all(content) } else { Ok(()) }
}

fn bytes(state: &State, request: &Request, mut stream: TcpStream) -> std::io::Result<()> {
    let (mut content, fault) = {
        let mut plan = state.plan.lock().expect("no panic");
        let file = request.path.trim_start_matches('/').split('?').next().unwrap_or_default();
        let content = plan.files.get(file).cloned().unwrap_or_default();
        let fault = if plan.faults.is_empty() { None } else { Some(plan.faults.remove(0)) };
        (content, fault)
    };
    let from = request
        .headers
        .get("range")
        .and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = from.filter(|_| fault != Some(Fault::Whole));
    let all = content.len();
    match fault {
        Some(Fault::Status(status)) => return head(&stream, status, "Retry-After: 0\r\n"),
        Some(Fault::Wrong) => content[all - 1] ^= 1,
        Some(Fault::Short(length)) => content.truncate(length),
        Some(Fault::Long) => content.extend([7; 100]),
        _ => {}
    }
    let start = from.unwrap_or(0).min(content.len());
    let rest = &content[start..];
    match from {
        None => head(&stream, 200, &format!("Content-Length: {}\r\n", rest.len()))?,
        Some(from) if from >= all => return head(&stream, 416, ""),
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1);
            head(&stream, 206, &format!("{range}Content-Length: {}\r\n", rest.len()))?;
        }
    }
    match fault {
        Some(Fault::Cut(length)) => stream.write_all(&rest[..length.min(rest.len())]),
        Some(Fault::Stall(length)) => {
            stream.write_all(&rest[..length.min(rest.len())])?;
            stream.flush()?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        Some(Fault::Slow(pause)) => {
            for piece in rest.chunks(rest.len().div_ceil(10).max(1)) {
                std::thread::sleep(pause);
                stream.write_all(piece)?;
            }
            Ok(())
        }
        _ => stream.write_all(rest),
    }
}
