//! HTTP: what a file is, and its bytes.
//!
//! The hub answers `HEAD` with the file's commit, length and etag, and often with the address of the
//! server that has its bytes. The etag of a large file is its SHA-256. Bytes go to a file named by the
//! etag, so that whatever an earlier transfer has left belongs to the same file, and are given their
//! final name when their length and hash are right.

use super::address::{Address, is_plain};
use super::cache::{Cache, Cached};
use super::error::Trouble;
use super::settings::Hub;
use super::{Event, Report};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Attempts in a row that bring no new byte.
const ATTEMPTS: u32 = 4;

/// The wait after the first of them; four times as long after each.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The longest wait that a busy server may ask for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Redirections within the hub (a repository that was renamed) that are followed.
const MAX_HOPS: usize = 5;

/// Longest list of a repository's files that is read.
const MAX_LISTING: u64 = 4 << 20;

/// Most files that are suggested where one is not there.
const MAX_SUGGESTED: usize = 8;

/// Fetches a file of a revision into the cache.
pub fn fetch(
    hub: &Hub,
    cache: &Cache,
    address: &Address,
    revision: &str,
    file: &str,
    report: Report<'_>,
) -> Result<Cached, Trouble> {
    let url = hub.url(address, revision, file);
    let client = Client::new(hub);
    let mut transfer = Transfer { client: &client, cache, report, wait: None, moved: false };
    let mut stuck = 0;
    loop {
        transfer.moved = false;
        let trouble = match transfer.attempt(&url, revision, file) {
            Ok(cached) => return Ok(cached),
            Err(Trouble::NoFile { .. }) => {
                return Err(Trouble::NoFile { there: client.weights(address, revision) });
            }
            Err(trouble) => trouble,
        };
        let Trouble::Network { message, passing: true } = &trouble else { return Err(trouble) };
        stuck = if transfer.moved { 1 } else { stuck + 1 };
        if stuck >= ATTEMPTS {
            return Err(trouble);
        }
        (transfer.report)(Event::Note(&format!("{message}; trying again")));
        std::thread::sleep(transfer.wait.take().unwrap_or(FIRST_WAIT * 4u32.pow(stuck - 1)));
    }
}

/// Bytes of a file of a revision, where the hub says it. It is asked once.
pub fn size(
    hub: &Hub,
    address: &Address,
    revision: &str,
    file: &str,
) -> Result<Option<u64>, Trouble> {
    let client = Client::new(hub);
    match client.ask(&hub.url(address, revision, file), &mut None) {
        Ok(about) => Ok(about.bytes),
        Err(Trouble::NoFile { .. }) => {
            Err(Trouble::NoFile { there: client.weights(address, revision) })
        }
        Err(trouble) => Err(trouble),
    }
}

/// What the hub says of a file.
struct About {
    commit: String,
    etag: String,
    bytes: Option<u64>,
    /// Who has the bytes.
    url: String,
}

struct Transfer<'a, 'b> {
    client: &'a Client<'a>,
    cache: &'a Cache,
    report: Report<'b>,
    /// How long a busy server wants to be left alone.
    wait: Option<Duration>,
    /// Whether the attempt has brought bytes.
    moved: bool,
}

impl Transfer<'_, '_> {
    fn attempt(&mut self, url: &str, revision: &str, file: &str) -> Result<Cached, Trouble> {
        let about = self.client.ask(url, &mut self.wait)?;
        let blob = self.cache.blob(&about.etag);
        let report = &mut self.report;
        let lock = self.cache.lock(&about.etag, || {
            report(Event::Note("waiting for another process that fetches the same file"));
        })?;
        let there = std::fs::metadata(&blob).ok().filter(std::fs::Metadata::is_file);
        // A blob of another length is none that was checked.
        let whole = there.is_some_and(|there| about.bytes.is_none_or(|bytes| bytes == there.len()));
        if !whole {
            self.receive(&about, &blob)?;
        }
        drop(lock);
        self.cache.add(revision, &about.commit, file, &about.etag)
    }

    /// Fetches what is missing of a blob, checks it, and gives it its name.
    fn receive(&mut self, about: &About, blob: &Path) -> Result<(), Trouble> {
        let path = self.cache.incomplete(&about.etag)?;
        let at = |cause| Trouble::Cache { path: path.clone(), cause };
        let mut file =
            File::options().create(true).append(true).read(true).open(&path).map_err(at)?;
        let mut kept = file.metadata().map_err(at)?.len();
        if about.bytes.is_none_or(|bytes| kept > bytes) {
            file.set_len(0).map_err(at)?;
            kept = 0;
        }
        if kept == 0 || about.bytes != Some(kept) {
            (self.report)(Event::Start { url: &about.url, files: 1, bytes: about.bytes, kept });
            let received = self.stream(about, &mut file, kept, &path);
            (self.report)(Event::End);
            received?;
        }
        file.sync_all().map_err(at)?;
        if let Err(trouble) = verify(about, &path, kept > 0) {
            // Nothing can be built on these bytes.
            std::fs::remove_file(&path).map_err(at)?;
            return Err(trouble);
        }
        std::fs::rename(&path, blob)
            .map_err(|cause| Trouble::Cache { path: blob.to_path_buf(), cause })
    }

    fn stream(
        &mut self,
        about: &About,
        file: &mut File,
        kept: u64,
        path: &Path,
    ) -> Result<(), Trouble> {
        let at = |cause| Trouble::Cache { path: path.to_path_buf(), cause };
        let response = self.client.get(&about.url, kept)?;
        let mut length = match response.status().as_u16() {
            206 if continues(&response, kept) => kept,
            206 => return Err(answer(&about.url, "sends another part than it was asked for")),
            200 => {
                file.set_len(0).map_err(at)?;
                0
            }
            416 => {
                file.set_len(0).map_err(at)?;
                return Err(network("the server does not continue the transfer", true));
            }
            status => {
                return Err(self.client.refusal(&about.url, status, &response, &mut self.wait));
            }
        };
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    return Err(self.client.broken(&about.url, ureq::Error::from(error)));
                }
            };
            length += count as u64;
            if let Some(bytes) = about.bytes.filter(|&bytes| length > bytes) {
                file.set_len(0).map_err(at)?;
                return Err(answer(
                    &about.url,
                    &format!("sends more than the {bytes} bytes that the hub says the file has"),
                ));
            }
            file.write_all(&buffer[..count]).map_err(at)?;
            self.moved = true;
            (self.report)(Event::At(length));
        }
        match about.bytes {
            Some(bytes) if length < bytes => {
                Err(network(&format!("the transfer ended after {length} of {bytes} bytes"), true))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an answer begins where it was asked to.
fn continues(response: &Response<Body>, kept: u64) -> bool {
    header(response, "content-range")
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split_once('-'))
        .is_some_and(|(from, _)| from.trim().parse() == Ok(kept))
}

/// Checks a file's hash, if its etag is one.
fn verify(about: &About, path: &Path, resumed: bool) -> Result<(), Trouble> {
    let is_hash = about.etag.len() == 64 && about.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash {
        return Ok(());
    }
    let at = |cause| Trouble::Cache { path: path.to_path_buf(), cause };
    let mut file = File::open(path).map_err(at)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).map_err(at)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if hash.eq_ignore_ascii_case(&about.etag) {
        return Ok(());
    }
    let message = format!("what arrived has the SHA-256 {hash}, the file has {}", about.etag);
    // Bytes of an earlier transfer may be at fault.
    Err(network(&message, resumed))
}

fn network(message: &str, passing: bool) -> Trouble {
    Trouble::Network { message: message.to_string(), passing }
}

fn answer(url: &str, what: &str) -> Trouble {
    Trouble::Answer(format!("{} {what}", host(url)))
}

/// `https://HOST`, for messages.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find(['/', '?', '#']).map_or(url, |length| &url[..start + length])
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Asks servers.
struct Client<'a> {
    hub: &'a Hub,
    agent: Agent,
}

impl<'a> Client<'a> {
    fn new(hub: &'a Hub) -> Client<'a> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("netwright/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(hub.head_timeout))
            .timeout_per_write(Some(hub.read_timeout))
            .build();
        Client { hub, agent: config.new_agent() }
    }

    /// What the hub says of a file: its redirections are followed as long as they stay on the hub.
    fn ask(&self, url: &str, wait: &mut Option<Duration>) -> Result<About, Trouble> {
        let (mut url, mut commit) = (url.to_string(), None);
        for _ in 0..MAX_HOPS {
            let request = self
                .agent
                .head(&url)
                .header("accept-encoding", "identity")
                .config()
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_recv_response(Some(self.hub.head_timeout))
                .build();
            let request = match self.hub.token_for(&url) {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            };
            let response = request.call().map_err(|error| self.broken(&url, error))?;
            let status = response.status().as_u16();
            commit = header(&response, "x-repo-commit").map(str::to_string).or(commit);
            let target = match (status, header(&response, "location")) {
                (300..=399, Some(location)) => Some(resolve(&url, location)?),
                (200, _) => None,
                _ => return Err(self.refusal(&url, status, &response, wait)),
            };
            let linked = header(&response, "x-linked-etag");
            if let Some(target) = target.as_ref().filter(|target| host(target) == host(&url))
                && linked.is_none()
            {
                url.clone_from(target);
                continue;
            }
            let etag = linked
                .or_else(|| header(&response, "etag"))
                .map(|text| text.strip_prefix("W/").unwrap_or(text).trim_matches('"').to_string());
            let length = header(&response, "x-linked-size")
                .or_else(|| header(&response, "content-length").filter(|_| target.is_none()));
            let (Some(commit), Some(etag)) =
                (commit.filter(|text| is_plain(text)), etag.filter(|text| is_plain(text)))
            else {
                return Err(answer(
                    &url,
                    "does not say which commit and which content the file is: it is no Hugging Face hub",
                ));
            };
            let bytes = length.and_then(|text| text.parse().ok());
            return Ok(About { commit, etag, bytes, url: target.unwrap_or(url) });
        }
        Err(answer(&url, "redirects without end"))
    }

    /// Asks for the bytes from `kept` on.
    fn get(&self, url: &str, kept: u64) -> Result<Response<Body>, Trouble> {
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if kept > 0 {
            request = request.header("range", format!("bytes={kept}-"));
        }
        if let Some(token) = self.hub.token_for(url) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request
            .config()
            .https_only(url.starts_with("https:"))
            .timeout_recv_response(Some(self.hub.read_timeout))
            .timeout_per_read(Some(self.hub.read_timeout))
            .build()
            .call()
            .map_err(|error| self.broken(url, error))
    }

    /// The weights that a repository has; none where it does not say.
    fn weights(&self, address: &Address, revision: &str) -> Vec<String> {
        let listing = || {
            let url = self.hub.listing_url(address, revision);
            let response = self.get(&url, 0).ok().filter(|answer| answer.status() == 200)?;
            let body = response.into_body().into_reader().take(MAX_LISTING);
            let listing: serde_json::Value = serde_json::from_reader(body).ok()?;
            let names = listing.get("siblings")?.as_array()?.iter();
            let names = names.filter_map(|one| one.get("rfilename")?.as_str());
            let fit = |name: &&str| name.ends_with(".safetensors") && name.split('/').all(is_plain);
            Some(names.filter(fit).take(MAX_SUGGESTED).map(str::to_string).collect())
        };
        listing().unwrap_or_default()
    }

    /// What a status means that is no success.
    fn refusal(
        &self,
        url: &str,
        status: u16,
        response: &Response<Body>,
        wait: &mut Option<Duration>,
    ) -> Trouble {
        let foreign = !self.hub.is_own(url);
        match (status, header(response, "x-error-code")) {
            // The hub sends elsewhere for a while only: it will name a new address.
            (401..=404, _) if foreign => {
                network(&format!("{} answers with HTTP status {status}", host(url)), true)
            }
            (401 | 404, Some("RepoNotFound")) => Trouble::NoRepository,
            (404, Some("RevisionNotFound")) => Trouble::NoRevision,
            (404, _) => Trouble::NoFile { there: Vec::new() },
            (401 | 403, _) => Trouble::Refused { status },
            (429 | 500..=599, _) => {
                let asked = header(response, "retry-after").and_then(|text| text.parse().ok());
                *wait = asked.map(Duration::from_secs);
                let passing = wait.is_none_or(|wait| wait <= MAX_WAIT);
                network(&format!("{} is busy or broken (HTTP {status})", host(url)), passing)
            }
            _ => answer(url, &format!("answers with HTTP status {status}")),
        }
    }

    /// What a connection's failure means.
    fn broken(&self, url: &str, error: ureq::Error) -> Trouble {
        let host = host(url);
        match error {
            ureq::Error::HostNotFound => {
                network(&format!("{host} is not found: is there a network?"), false)
            }
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                network(&format!("{host} does not answer"), false)
            }
            ureq::Error::Timeout(_) => network(&format!("{host} has fallen silent"), true),
            ureq::Error::ConnectionFailed => network(&format!("cannot connect to {host}"), false),
            ureq::Error::Io(cause) => match cause.kind() {
                std::io::ErrorKind::ConnectionRefused
                | std::io::ErrorKind::NetworkUnreachable
                | std::io::ErrorKind::HostUnreachable
                | std::io::ErrorKind::AddrNotAvailable => {
                    network(&format!("cannot connect to {host}: {cause}"), false)
                }
                _ => network(&format!("{host} broke off: {cause}"), true),
            },
            // A server that talks no HTTP, TLS that fails: the next attempt would be the same.
            other => network(&format!("{host}: {other}"), false),
        }
    }
}

/// Where a redirection leads. One that gives up encryption is not followed.
fn resolve(url: &str, location: &str) -> Result<String, Trouble> {
    let target = match location {
        absolute if absolute.starts_with("https://") || absolute.starts_with("http://") => {
            absolute.to_string()
        }
        rest if rest.starts_with("//") => {
            format!("{}:{rest}", url.split(':').next().unwrap_or("https"))
        }
        path if path.starts_with('/') => format!("{}{path}", host(url)),
        _ => return Err(answer(url, "redirects to an address of another kind")),
    };
    if url.starts_with("https://") && !target.starts_with("https://") {
        return Err(answer(url, "redirects to an address without encryption"));
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections() {
        let from = "https://hub.example/a/b?c";
        let to = |location: &str| resolve(from, location).ok();
        assert_eq!(to("/x/y").as_deref(), Some("https://hub.example/x/y"));
        assert_eq!(to("//cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(to("https://cdn.example/x").as_deref(), Some("https://cdn.example/x"));
        assert_eq!(to("http://cdn.example/x"), None);
        assert_eq!(to("ftp://cdn.example/x"), None);
        assert_eq!(host("https://cdn.example"), "https://cdn.example");
    }
}
