//! Networks compiled by a build script: spec and weights in, a safe Rust module out.
//!
//! `Cargo.toml` has this crate among its `[build-dependencies]`, and the `main` of `build.rs` is
//!
//! ```no_run
//! netwright_build::Network::new("mobilenet_v2").build();
//! ```
//!
//! Then the network is a type that needs nothing at run time, not even this crate:
//!
//! ```ignore
//! include!(concat!(env!("OUT_DIR"), "/mobilenet_v2.rs"));
//!
//! let mut network = mobilenet_v2::Network::new();
//! let mut logits = [0.0; mobilenet_v2::OUTPUT];
//! network.run(&input, &mut logits);
//! ```

mod archive;
mod wrapper;

use netwright::build::{Build, BuildOptions};
use netwright::{Options, RunOptions, Spec, Weights};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A network to build.
#[derive(Clone, Debug, Default)]
pub struct Network {
    spec: String,
    weights: Option<String>,
    network: Options,
    build: BuildOptions,
    tuned: Option<PathBuf>,
}

impl Network {
    /// A built-in spec or the path of an `.arch` file, with its variant: `efficientnet:b0`.
    pub fn new(spec: impl Into<String>) -> Network {
        Network { spec: spec.into(), ..Network::default() }
    }

    /// A safetensors file, or `generated:SEED`; without it, the weights that come with netwright.
    pub fn weights(mut self, weights: impl Into<String>) -> Network {
        self.weights = Some(weights.into());
        self
    }

    /// Overrides a parameter of the network: `set("resolution", "192")`.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Network {
        self.network.sets.push((name.into(), value.into()));
        self
    }

    /// Images that are computed together.
    pub fn batch(mut self, images: usize) -> Network {
        self.network.batch = images;
        self
    }

    /// What the module and the symbols are called; by default spec and variant.
    pub fn name(mut self, name: impl Into<String>) -> Network {
        self.build.name = Some(name.into());
        self
    }

    /// Instructions to use: `baseline`, `x86-64-v3`; by default all useful levels, chosen at run time.
    pub fn cpu(mut self, cpu: impl Into<String>) -> Network {
        self.build.cpu = Some(cpu.into());
        self
    }

    /// Takes images as bytes, `[N, H, W, C]`, and normalises them itself.
    pub fn bytes(mut self) -> Network {
        self.build.bytes = true;
        self
    }

    /// Takes the choices of a file that `netwright tune --threads 1` has written on the CPU that it is built for. What is
    /// remembered on the machine that builds is not looked at, so that a build does not depend on it.
    pub fn tuned(mut self, file: impl Into<PathBuf>) -> Network {
        self.tuned = Some(file.into());
        self
    }

    /// Builds from within a build script: writes `NAME.rs` to `OUT_DIR`, and tells Cargo what to link. What is
    /// wrong is printed, and ends the script.
    pub fn build(self) {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                stop(&format!("{name} is not set: this is for the build scripts that Cargo runs"))
            })
        };
        let (out, target) = (variable("OUT_DIR"), variable("TARGET"));
        match self.write(Path::new(&out), &target) {
            Ok(built) => built.directives().iter().for_each(|line| println!("{line}")),
            Err(error) => stop(&error),
        }
    }

    /// Builds into a folder, for a target.
    ///
    /// # Errors
    /// What is wrong with spec, weights, target or folder, as text.
    pub fn write(mut self, folder: &Path, target: &str) -> Result<Built, String> {
        let spec = Spec::load(&self.spec).map_err(|error| error.to_string())?;
        let weights = match &self.weights {
            Some(text) => Weights::parse(text).map_err(|error| error.to_string())?,
            None => Weights::Bundled,
        };
        let network = netwright::Network::new(&spec, &self.network, &weights)
            .map_err(|error| error.to_string())?;
        self.build.target = Some(target.into());
        if let Some(file) = &self.tuned {
            let cpu = self.build.cpu.clone().unwrap_or_else(|| "native".into());
            // The module runs the network on the thread that calls it.
            let options = RunOptions { cpu, threads: 1, ..RunOptions::default() };
            let choices = netwright::tune::from_file(file, &options);
            self.build.tuned = Arc::new(choices.map_err(|error| error.to_string())?);
        }
        self.build.origin = self.weights.clone().unwrap_or_default();
        let build = Build::new(&spec, &network, &self.build).map_err(|error| error.to_string())?;
        let mut object = Vec::new();
        build.object.file.write(&mut object).map_err(|error| error.to_string())?;
        let library = match target.contains("-msvc") {
            true => format!("{}.lib", build.name),
            false => format!("lib{}.a", build.name),
        };
        let symbol = format!("{}_run", build.name);
        let archive = archive::of(&format!("{}.o", build.name), &object, &symbol);
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            netwright::file::write(&path, |out| std::io::Write::write_all(out, bytes))
                .map_err(|error| error.to_string())?;
            Ok::<PathBuf, String>(path)
        };
        write(&library, &archive)?;
        let module = write(&format!("{}.rs", build.name), wrapper::text(&build).as_bytes())?;
        let inputs = spec.sources.files.iter().map(|file| file.0.clone());
        let tuned = self.tuned.map(|path| path.to_string_lossy().into_owned());
        let inputs = inputs
            .chain(self.weights)
            .chain(tuned)
            .filter(|path| Path::new(path).is_file())
            .collect();
        Ok(Built { name: build.name, folder: folder.into(), module, inputs })
    }
}

/// What was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Name of the module and of the library to link.
    pub name: String,
    /// Where the library is.
    pub folder: PathBuf,
    /// The file to `include!`.
    pub module: PathBuf,
    /// The files it was made from.
    pub inputs: Vec<String>,
}

impl Built {
    /// What a build script prints for Cargo.
    pub fn directives(&self) -> Vec<String> {
        let mut lines = vec![
            format!("cargo::rustc-link-search=native={}", self.folder.display()),
            format!("cargo::rustc-link-lib=static={}", self.name),
            "cargo::rerun-if-changed=build.rs".to_string(),
        ];
        lines.extend(self.inputs.iter().map(|path| format!("cargo::rerun-if-changed={path}")));
        lines
    }
}

fn stop(message: &str) -> ! {
    eprintln!("{}", message.trim_end());
    std::process::exit(1);
}
