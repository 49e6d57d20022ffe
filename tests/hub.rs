//! Weights of a hub: fetched once, whole and checked, or not at all. The hub is a server in the test.
#![cfg(all(feature = "hub", unix))]

mod cli_common;
mod hub_server;

use cli_common::{Run, load, safetensors, workshop};
use hub_server::{COMMIT, Fault, Plan, Server, sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One layer, in two dialects whose names are the same and whose results are not.
const NET: &str = "setting eps = 1e-5

network net(resolution = 32, classes = 10) {
  stem = x    -> conv(8, 3x3, stride = 2) -> bn(eps = eps) -> relu
  head = stem -> global_avgpool -> flatten -> linear(classes)
  weights timm    { stem: conv_stem, bn1   head: classifier }
  weights timm_tf like timm { set eps = 1e-3 }
}
";

/// A tensor of the weights: name, shape, values.
type Part = (&'static str, &'static [usize], Vec<f32>);

/// The weights of the network.
fn parts() -> Vec<Part> {
    let sine = |count: usize| (0..count).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<f32>>();
    vec![
        ("conv_stem.weight", &[8, 3, 3, 3], sine(216)),
        ("bn1.weight", &[8], vec![1.0; 8]),
        ("bn1.bias", &[8], sine(8)),
        ("bn1.running_mean", &[8], vec![0.0; 8]),
        ("bn1.running_var", &[8], vec![1e-3; 8]),
        ("classifier.weight", &[10, 8], sine(80)),
        ("classifier.bias", &[10], sine(10)),
    ]
}

/// The bytes of a safetensors file, which stays in the folder.
fn file_of(folder: &Path, name: &str, parts: &[Part]) -> Vec<u8> {
    let list: Vec<(&str, &[usize], &[f32])> =
        parts.iter().map(|(name, shape, values)| (*name, *shape, &values[..])).collect();
    safetensors(&folder.join(name), &list);
    std::fs::read(folder.join(name)).expect("weights")
}

/// A folder with a spec, an input and an empty cache, and a hub that has weights for it.
struct Setting {
    folder: tempfile::TempDir,
    server: Server,
    weights: Vec<u8>,
}

fn setting() -> Setting {
    let folder = workshop();
    std::fs::write(folder.path().join("net.arch"), NET).expect("written");
    let weights = file_of(folder.path(), "local.safetensors", &parts());
    let files = [
        ("model.safetensors".to_string(), weights.clone()),
        ("config.json".to_string(), br#"{"architecture": "tf_net"}"#.to_vec()),
    ];
    Setting {
        folder,
        server: Server::start(Plan { files: files.into(), ..Plan::default() }),
        weights,
    }
}

impl Setting {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the repository in the cache.
    fn cached(&self, name: &str) -> PathBuf {
        self.path().join("home/hub/models--owner--net").join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
        for name in [
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.path())
            .env("HF_HOME", self.path().join("home"))
            .env("NETWRIGHT_CACHE", self.path().join("no-cache"))
            .env("HF_ENDPOINT", self.server.endpoint())
            .env("HF_HUB_ETAG_TIMEOUT", "5")
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "10")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn check_with(&self, weights: &str, variables: &[(&str, &str)]) -> Run {
        let mut command = self.command(&["check", "net.arch", "--weights", weights]);
        finish(command.envs(variables.iter().copied()).spawn().expect("the program starts"))
    }

    fn check(&self) -> Run {
        self.check_with("hf:owner/net", &[])
    }

    /// As `check`, and waits for no silent server.
    fn impatient(&self) -> Run {
        self.check_with("hf:owner/net", &[("HF_HUB_DOWNLOAD_TIMEOUT", "0.5")])
    }

    /// Failures' texts, without what is another each time.
    fn told(&self, run: &Run) -> String {
        assert_eq!(run.status, 1, "{}{}", run.out, run.err);
        assert_eq!(run.out, "");
        let address = self.server.endpoint();
        let text = run.err.replace(&self.path().display().to_string(), "FOLDER");
        let text = text.replace(&address, "HUB").replace(&sha256(&self.weights), "HASH");
        // The server of the bytes has another port each time.
        let mut words = Vec::new();
        for word in text.split_inclusive([' ', '\n']) {
            match word.starts_with("http://127.0.0.1:") {
                true => words.push(format!("BYTES{}", &word[word.trim_end().len()..])),
                false => words.push(word.to_string()),
            }
        }
        words.concat()
    }

    /// Nothing has the final name of the weights, or the weights have it.
    #[track_caller]
    fn whole_or_not_at_all(&self, there: bool) {
        for place in [
            format!("snapshots/{COMMIT}/model.safetensors"),
            format!("blobs/{}", sha256(&self.weights)),
        ] {
            let bytes = std::fs::read(self.cached(&place)).ok();
            assert_eq!(bytes.as_ref(), there.then_some(&self.weights), "{place}");
        }
    }

    fn faults(&self, faults: &[Fault]) {
        self.server.change(|plan| plan.faults = faults.to_vec());
    }
}

fn finish(child: std::process::Child) -> Run {
    let output = child.wait_with_output().expect("the program ends");
    Run {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn fetched_once_and_kept_as_other_clients_keep_it() {
    let setting = setting();
    let out = setting.check().ok();
    assert!(out.contains("dialect timm_tf"), "{out}");
    let hash = sha256(&setting.weights);
    setting.whole_or_not_at_all(true);
    let link = |file: &str| {
        let path = setting.cached(&format!("snapshots/{COMMIT}/{file}"));
        std::fs::read_link(path).expect("a link").display().to_string()
    };
    assert_eq!(link("model.safetensors"), format!("../../blobs/{hash}"));
    assert_eq!(link("config.json"), "../../blobs/config.json-1");
    assert_eq!(std::fs::read_to_string(setting.cached("refs/main")).expect("a ref"), COMMIT);
    assert_eq!(std::fs::read_dir(setting.cached("blobs")).expect("blobs").count(), 2);
    assert_eq!(
        setting.server.log(),
        [
            "HEAD /owner/net/resolve/main/model.safetensors".to_string(),
            "GET /model.safetensors?signature=secret".to_string(),
            format!("HEAD /owner/net/resolve/{COMMIT}/config.json"),
            format!("GET /owner/net/resolve/{COMMIT}/config.json"),
        ]
    );

    // What is cached needs no network: for each command, by any name of the same commit.
    let commit = format!("hf:owner/net@{COMMIT}");
    for weights in ["hf:owner/net", "hf:owner/net/model.safetensors", &commit] {
        assert!(setting.check_with(weights, &[]).ok().contains("timm_tf"));
        assert!(setting.check_with(weights, &[("HF_HUB_OFFLINE", "1")]).ok().contains("timm_tf"));
    }
    let output = |weights: &str, more: &[&str]| {
        let run =
            ["run", "net.arch", "--input", "x.npy", "--output", "y.npy", "--weights", weights];
        finish(setting.command(&[&run, more].concat()).spawn().expect("the program starts")).ok();
        load(setting.path(), "y.npy").data
    };
    let bench = ["bench", "net.arch", "--weights", "hf:owner/net", "--seconds", "0", "--json"];
    finish(setting.command(&bench).spawn().expect("the program starts")).json();
    let hub = output("hf:owner/net", &[]);
    assert_eq!(hub, output("local.safetensors", &["--dialect", "timm_tf"]));
    assert_ne!(hub, output("local.safetensors", &["--dialect", "timm"]));
    assert_eq!(setting.server.log(), [""; 0]);

    // Another name of the same content is no transfer.
    setting.check_with("hf:owner/net@v1", &[]).ok();
    assert_eq!(setting.server.log(), ["HEAD /owner/net/resolve/v1/model.safetensors"]);
}

#[test]
fn a_broken_transfer_goes_on() {
    let setting = setting();
    setting.faults(&[Fault::Cut(500), Fault::Stall(300), Fault::Status(503), Fault::Cut(0)]);
    let run = setting.impatient();
    assert!(run.err.contains("trying again"), "{}", run.err);
    run.ok();
    setting.whole_or_not_at_all(true);
    let log = setting.server.log();
    let ranges: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_prefix("GET /model.safetensors?signature=secret"))
        .collect();
    assert_eq!(ranges, ["", " bytes=500-", " bytes=800-", " bytes=800-", " bytes=800-"]);
}

#[test]
fn a_later_process_goes_on() {
    let setting = setting();
    setting.faults(&[Fault::Cut(500), Fault::Cut(0), Fault::Cut(0), Fault::Cut(0)]);
    let told = setting.told(&setting.check());
    insta::assert_snapshot!("broken_off", told);
    setting.whole_or_not_at_all(false);
    let partial = setting.cached(&format!("blobs/{}.incomplete", sha256(&setting.weights)));
    assert_eq!(std::fs::read(&partial).expect("what arrived"), setting.weights[..500]);
    setting.server.log();

    let run = setting.check();
    assert!(run.err.contains("are there)"), "{}", run.err);
    run.ok();
    setting.whole_or_not_at_all(true);
    assert!(!partial.exists());
    assert_eq!(setting.server.log()[1], "GET /model.safetensors?signature=secret bytes=500-");
}

#[test]
fn what_an_earlier_transfer_left_may_be_wrong() {
    // Other bytes, more than the file has, the whole file, and a server that does not continue.
    for (left, faults) in [
        (vec![9; 500], vec![]),
        (vec![9; 1 << 16], vec![]),
        (setting().weights, vec![]),
        (setting().weights[..700].to_vec(), vec![Fault::Whole]),
    ] {
        let setting = setting();
        setting.faults(&faults);
        std::fs::create_dir_all(setting.cached("blobs")).expect("a folder");
        let partial = format!("blobs/{}.incomplete", sha256(&setting.weights));
        std::fs::write(setting.cached(&partial), left).expect("written");
        setting.check().ok();
        setting.whole_or_not_at_all(true);
        assert!(!setting.cached(&partial).exists());
    }
}

#[test]
fn slow_is_not_stalled() {
    let setting = setting();
    setting.faults(&[Fault::Slow(Duration::from_millis(150))]);
    setting.check().ok();
    setting.whole_or_not_at_all(true);
}

#[test]
fn servers_that_misbehave() {
    let told = |faults: &[Fault]| {
        let setting = setting();
        setting.faults(faults);
        let start = Instant::now();
        let told = setting.told(&setting.impatient());
        assert!(start.elapsed() < Duration::from_secs(60));
        setting.whole_or_not_at_all(false);
        format!("-- {:?}\n{told}\n", faults[0])
    };
    let cases = [
        &[Fault::Wrong][..],
        &[Fault::Long],
        &[Fault::Short(900); 4],
        &[Fault::Stall(0); 4],
        &[Fault::Status(500); 4],
        &[Fault::Status(403); 4],
        &[Fault::Status(302)],
    ];
    // They wait most of the time: all at once.
    let all: String = std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|faults| scope.spawn(|| told(faults))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    insta::assert_snapshot!(all.replace(&other_hash(), "ANOTHER"));
}

/// The hash of the weights with one bit changed.
fn other_hash() -> String {
    let mut bytes = setting().weights;
    *bytes.last_mut().expect("bytes") ^= 1;
    sha256(&bytes)
}

#[test]
fn hubs_that_do_not_have_it() {
    let setting = setting();
    let mut all = String::new();
    let mut note = |what: &str, run: Run| {
        all.push_str(&format!("-- {what}\n{}\n", setting.told(&run)));
        setting.whole_or_not_at_all(false);
    };
    note("another file", setting.check_with("hf:owner/net/other.safetensors", &[]));
    note("another revision", setting.check_with("hf:owner/net@v2", &[]));
    note("another repository", setting.check_with("hf:owner/nothing", &[]));
    note("another form", setting.check_with("hf:net", &[]));
    setting.server.change(|plan| plan.token = Some("hf_secret".into()));
    note("private", setting.check());
    note("private, another token", setting.check_with("hf:owner/net", &[("HF_TOKEN", "hf_no")]));
    setting.server.change(|plan| plan.token = None);
    for (what, status, headers) in [
        ("gated", 403, "X-Error-Code: GatedRepo\r\n".to_string()),
        ("no hub", 200, "Content-Length: 5\r\n".into()),
        ("a hub that would write elsewhere", 200, {
            format!("X-Repo-Commit: {COMMIT}\r\nETag: \"../../../evil\"\r\nContent-Length: 5\r\n")
        }),
        ("a circle", 307, "Location: /a\r\n".into()),
        ("elsewhere", 302, "Location: ftp://127.0.0.1/a\r\n".into()),
        ("teapot", 418, String::new()),
    ] {
        setting.server.change(|plan| plan.answer = Some((status, headers)));
        note(what, setting.check());
    }
    setting.server.change(|plan| plan.answer = None);
    let offline = [("HF_HUB_OFFLINE", "1")];
    note("offline", setting.check_with("hf:owner/net", &offline));
    let nobody = [("HF_ENDPOINT", "http://127.0.0.1:9")];
    note("nobody answers", setting.check_with("hf:owner/net", &nobody));
    note("no address", setting.check_with("hf:owner/net", &[("HF_ENDPOINT", "hub")]));
    std::fs::write(setting.path().join("file"), "").expect("written");
    note("no cache", setting.check_with("hf:owner/net", &[("HF_HUB_CACHE", "file")]));
    insta::assert_snapshot!(all);
    // Mistakes in the spec come first.
    setting.server.log();
    let wrong =
        ["run", "net.arch", "--set", "size=1", "--input", "x.npy", "--weights", "hf:owner/net"];
    let run = finish(setting.command(&wrong).spawn().expect("the program starts"));
    assert!(run.status == 1 && run.err.contains("size"), "{}", run.err);
    assert_eq!(setting.server.log(), [""; 0]);
}

#[test]
fn files_put_there_by_hand_are_used() {
    let setting = setting();
    let offline = [("HF_HUB_OFFLINE", "1")];
    let told = setting.check_with("hf:owner/net", &offline).err;
    // Where the message says.
    let place = told.split_whitespace().find(|word| word.ends_with("model.safetensors,"));
    let place = PathBuf::from(place.expect("a place").trim_end_matches(','));
    std::fs::create_dir_all(place.parent().expect("a folder")).expect("made");
    std::fs::write(&place, &setting.weights).expect("written");
    let run = setting.check_with("hf:owner/net", &offline);
    assert!(run.err.contains("`timm` is taken"), "{}", run.err);
    run.ok();
    std::fs::write(place.with_file_name("config.json"), r#"{"architecture": "tf_net"}"#)
        .expect("written");
    for variables in [&offline[..], &[]] {
        assert!(setting.check_with("hf:owner/net", variables).ok().contains("timm_tf"));
    }
    assert_eq!(setting.server.log(), [""; 0]);
}

#[test]
fn repositories_without_a_config() {
    let setting = setting();
    setting.server.change(|plan| drop(plan.files.remove("config.json")));
    let run = setting.check();
    assert!(run.err.contains("`timm` is taken"), "{}", run.err);
    run.ok();
    setting.server.log();
    // It is asked for once.
    setting.check().ok();
    assert_eq!(setting.server.log(), [""; 0]);
    // Another client has left the weights alone, and the network is away.
    std::fs::remove_dir_all(setting.cached(".no_exist")).expect("removed");
    let run = setting.check_with("hf:owner/net", &[("HF_ENDPOINT", "http://127.0.0.1:9")]);
    assert!(run.err.contains("note: hf:owner/net/config.json: cannot connect"), "{}", run.err);
    run.ok();
}

#[test]
fn configs_are_of_the_repository_not_of_the_folder() {
    let setting = setting();
    let weights = setting.weights.clone();
    setting.server.change(|plan| drop(plan.files.insert("fp32/w.safetensors".into(), weights)));
    assert!(setting.check_with("hf:owner/net/fp32/w.safetensors", &[]).ok().contains("timm_tf"));
    let link = setting.cached(&format!("snapshots/{COMMIT}/fp32/w.safetensors"));
    let target = format!("../../../blobs/{}", sha256(&setting.weights));
    assert_eq!(std::fs::read_link(link).expect("a link"), Path::new(&target));
}

#[test]
fn tokens_are_for_the_hub() {
    let setting = setting();
    setting.server.change(|plan| plan.token = Some("hf_secret".into()));
    let run = setting.check_with("hf:owner/net", &[("HF_TOKEN", "hf_secret")]);
    assert!(!run.err.contains("secret"), "{}", run.err);
    run.ok();
    let log = setting.server.log();
    assert_eq!(log[0], "HEAD /owner/net/resolve/main/model.safetensors token");
    assert_eq!(log[1], "GET /model.safetensors?signature=secret");
    assert!(log[2..].iter().all(|line| line.ends_with(" token")), "{log:?}");
}

#[test]
fn repositories_that_were_renamed() {
    let setting = setting();
    setting.server.change(|plan| plan.renamed = true);
    assert!(setting.check().ok().contains("timm_tf"));
    setting.whole_or_not_at_all(true);
    let log = setting.server.log();
    assert_eq!(log[1], "HEAD /owner/renamed/resolve/main/model.safetensors");
}

#[test]
fn two_processes_fetch_once() {
    let setting = setting();
    setting.faults(&[Fault::Slow(Duration::from_millis(100))]);
    let check = ["check", "net.arch", "--weights", "hf:owner/net"];
    let start = || setting.command(&check).spawn().expect("the program starts");
    let children = [start(), start(), start()];
    for child in children {
        assert!(finish(child).ok().contains("timm_tf"));
    }
    setting.whole_or_not_at_all(true);
    let log = setting.server.log();
    let transfers = log.iter().filter(|line| line.starts_with("GET /model")).count();
    assert_eq!(transfers, 1, "{log:?}");
}

const INDEX: &str = "model.safetensors.index.json";

const FIRST: &str = "model-00001-of-00002.safetensors";

const SECOND: &str = "model-00002-of-00002.safetensors";

/// A hub that has the weights in two files, and the files.
fn sharded() -> (Setting, [Vec<u8>; 2]) {
    let setting = setting();
    let all = parts();
    let shards = [(FIRST, &all[..3]), (SECOND, &all[3..])];
    let map: Vec<String> = shards
        .iter()
        .flat_map(|(file, parts)| {
            parts.iter().map(move |part| format!("\"{}\": \"{file}\"", part.0))
        })
        .collect();
    let index = format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", map.join(", "));
    let shards = shards.map(|(file, parts)| file_of(setting.path(), file, parts));
    std::fs::write(setting.path().join(INDEX), &index).expect("written");
    setting.server.change(|plan| {
        plan.files.remove("model.safetensors");
        plan.files.insert(INDEX.into(), index.into_bytes());
        plan.files.insert(FIRST.into(), shards[0].clone());
        plan.files.insert(SECOND.into(), shards[1].clone());
    });
    (setting, shards)
}

/// Transfers of weights: the file, and where it was taken up.
fn transfers(setting: &Setting) -> Vec<String> {
    let log = setting.server.log();
    let bytes = log.iter().filter_map(|line| line.strip_prefix("GET /model-"));
    bytes.map(|line| line.replace("-of-00002.safetensors?signature=secret", "")).collect()
}

#[test]
fn weights_in_several_files() {
    let (setting, shards) = sharded();
    let run = setting.check();
    let size = shards.iter().map(Vec::len).sum::<usize>();
    let fetching: Vec<&str> = run.err.lines().filter(|line| line.contains("model-")).collect();
    assert!(size > 1024 && fetching.len() == 1, "{}", run.err);
    assert!(fetching[0].contains(FIRST) && fetching[0].contains(" and 1 more ("), "{}", run.err);
    assert!(run.ok().contains("timm_tf"));
    assert_eq!(transfers(&setting), ["00001", "00002"]);
    for (file, bytes) in [FIRST, SECOND].iter().zip(&shards) {
        let link = std::fs::read_link(setting.cached(&format!("snapshots/{COMMIT}/{file}")));
        assert_eq!(link.expect("a link"), Path::new(&format!("../../blobs/{}", sha256(bytes))));
        let blob = setting.cached(&format!("blobs/{}", sha256(bytes)));
        assert_eq!(&std::fs::read(blob).expect("a blob"), bytes);
    }
    // By either name, and without the network.
    let named = format!("hf:owner/net/{INDEX}");
    for weights in ["hf:owner/net", &named] {
        assert!(setting.check_with(weights, &[("HF_HUB_OFFLINE", "1")]).ok().contains("timm_tf"));
        assert!(setting.check_with(weights, &[]).ok().contains("timm_tf"));
    }
    assert_eq!(setting.server.log(), [""; 0]);
    let output = |weights: &str| {
        let run = ["run", "net.arch", "--input", "x.npy", "--output", "y.npy", "--dialect", "timm"];
        let run = [&run[..], &["--weights", weights]].concat();
        finish(setting.command(&run).spawn().expect("the program starts")).ok();
        load(setting.path(), "y.npy").data
    };
    assert_eq!(output("hf:owner/net"), output("local.safetensors"));
    assert_eq!(output(INDEX), output("local.safetensors"));
}

#[test]
fn several_files_go_on_where_they_stopped() {
    let (setting, shards) = sharded();
    let cuts = [Fault::Cut(0); 3];
    setting.faults(&[&[Fault::Cut(1000), Fault::Cut(5000), Fault::Cut(100)][..], &cuts].concat());
    let run = setting.check();
    assert_eq!(run.status, 1);
    assert!(run.err.contains(&format!("hf:owner/net/{SECOND}: ")), "{}", run.err);
    assert!(run.err.contains("the same command goes on"), "{}", run.err);
    let stopped = [" bytes=1000-", ""].map(str::to_string);
    assert_eq!(transfers(&setting)[1..3], [format!("00001{}", stopped[0]), "00002".into()]);
    assert!(setting.cached(&format!("snapshots/{COMMIT}/{FIRST}")).exists());
    assert!(!setting.cached(&format!("snapshots/{COMMIT}/{SECOND}")).exists());
    let partial = setting.cached(&format!("blobs/{}.incomplete", sha256(&shards[1])));
    assert_eq!(std::fs::read(&partial).expect("what arrived"), shards[1][..100]);
    setting.check().ok();
    assert_eq!(transfers(&setting), ["00002 bytes=100-"]);
}

#[test]
fn indices_that_make_no_sense() {
    let mut all = String::new();
    let mut note = |what: &str, change: &dyn Fn(&mut Plan), variables: &[(&str, &str)]| {
        let (setting, shards) = sharded();
        setting.server.change(change);
        let run = setting.check_with("hf:owner/net", variables);
        let told = setting.told(&run).replace(COMMIT, "COMMIT");
        let told = told.replace(&sha256(&shards[0]), "HASH");
        all.push_str(&format!("-- {what}\n{told}\n"));
        transfers(&setting)
    };
    let index = |plan: &mut Plan, text: &str| {
        plan.files.insert(INDEX.into(), text.into());
    };
    // Nothing is fetched where something is known to be missing.
    let fetched = note("a file is missing", &|plan| drop(plan.files.remove(SECOND)), &[]);
    assert_eq!(fetched, [""; 0]);
    for name in ["../../../refs/main.safetensors", "/tmp/x.safetensors", "a b.safetensors"] {
        let text = format!(r#"{{"weight_map": {{"a": "{name}"}}}}"#);
        assert_eq!(note("a path", &|plan| index(plan, &text), &[]), [""; 0]);
    }
    note("no index", &|plan| index(plan, "[1, 2]"), &[]);
    note(
        "another tensor",
        &|plan| {
            index(plan, &format!(r#"{{"weight_map": {{"a": "{FIRST}"}}}}"#));
        },
        &[],
    );
    note(
        "the same tensors twice",
        &|plan| {
            let first = plan.files[FIRST].clone();
            plan.files.insert(SECOND.into(), first);
        },
        &[],
    );
    note("no file", &|plan| plan.files.clear(), &[]);
    note("offline", &|_| (), &[("HF_HUB_OFFLINE", "1")]);
    insta::assert_snapshot!(all);
}

#[test]
fn an_index_that_was_put_there_by_hand() {
    let (setting, _) = sharded();
    let folder = setting.cached("snapshots/main");
    std::fs::create_dir_all(&folder).expect("made");
    for file in [INDEX, FIRST] {
        std::fs::copy(setting.path().join(file), folder.join(file)).expect("copied");
    }
    let run = setting.check();
    assert_eq!(run.status, 1);
    assert!(run.err.contains(&format!("snapshots/main/{SECOND}: ")), "{}", run.err);
    assert!(run.err.contains("index.json names it"), "{}", run.err);
    std::fs::copy(setting.path().join(SECOND), folder.join(SECOND)).expect("copied");
    setting.check().ok();
    assert_eq!(setting.server.log(), [""; 0]);
}
