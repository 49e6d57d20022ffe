//! Targets and the instruction sets of their objects.

use crate::error::Error;
use crate::session::CPUS;
use netwright_compiler::driver::{Level, Triple, WideIsa};

/// The target triple of this machine.
pub fn host() -> String {
    Triple::host().to_string()
}

/// Whether a target (`None`: this machine) has the architecture of this machine.
pub fn is_host(target: Option<&str>) -> bool {
    let parsed = target.map_or(Ok(Triple::host()), str::parse::<Triple>);
    parsed.is_ok_and(|triple| triple.architecture == Triple::host().architecture)
}

/// The target, and the levels its object has code for.
pub fn levels(target: Option<&str>, cpu: Option<&str>) -> Result<(Triple, Vec<Level>), Error> {
    let host = Triple::host();
    let triple = match target {
        None => host.clone(),
        Some(text) => text.parse().map_err(|error| {
            Error::Compile(format!(
                "`{text}` is no target: {error}; a target is such as x86_64-unknown-linux-gnu or \
                 aarch64-unknown-linux-gnu"
            ))
        })?,
    };
    let all = Level::all(&triple);
    if all.is_empty() {
        return Err(Error::Compile(format!(
            "no code can be made for `{triple}`: x86_64 and aarch64 are known, with Linux, macOS and Windows"
        )));
    }
    let Some(cpu) = cpu else { return Ok((triple, all)) };
    let level = match cpu {
        "native" if triple.architecture != host.architecture => {
            return Err(Error::Compile(format!(
                "this machine cannot say what `{triple}` has: leave --cpu out"
            )));
        }
        "native" => {
            let runs = |level: &Level| match level {
                Level::Baseline => true,
                Level::Wide(isa) => isa.is_available(),
            };
            all.iter().copied().find(runs).unwrap_or(Level::Baseline)
        }
        "baseline" => Level::Baseline,
        "x86-64" | "x86-64-v2" => Level::Baseline,
        "x86-64-v3" => Level::Wide(WideIsa::Avx2),
        "x86-64-v4" => Level::Wide(WideIsa::Avx512),
        other => {
            let known = CPUS.join(", ");
            return Err(Error::Compile(format!("there is no CPU `{other}`: {known}")));
        }
    };
    let other_kind = cpu.starts_with("x86") && triple.architecture.to_string() != "x86_64";
    if other_kind || !all.contains(&level) {
        let names: Vec<&str> = all.iter().map(|level| level.name()).collect();
        return Err(Error::Compile(format!(
            "no code with `{cpu}` can be made for `{triple}`, only: {}",
            names.join(", ")
        )));
    }
    Ok((triple, vec![level]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(target: &str, cpu: Option<&str>) -> Result<Vec<&'static str>, Error> {
        Ok(levels(Some(target), cpu)?.1.iter().map(|level| level.name()).collect())
    }

    #[test]
    fn levels_of_targets() {
        let linux = "x86_64-unknown-linux-gnu";
        assert_eq!(names(linux, None).unwrap(), ["avx512", "avx2", "baseline"]);
        assert_eq!(names(linux, Some("x86-64-v3")).unwrap(), ["avx2"]);
        assert_eq!(names(linux, Some("x86-64-v2")).unwrap(), ["baseline"]);
        assert_eq!(names("x86_64-pc-windows-msvc", None).unwrap(), ["baseline"]);
        assert_eq!(names("aarch64-unknown-linux-gnu", None).unwrap(), ["baseline"]);
        assert!(names("x86_64-pc-windows-msvc", Some("x86-64-v3")).is_err());
        assert!(names("aarch64-apple-darwin", Some("x86-64")).is_err());
        assert!(names("wasm32-unknown-unknown", None).is_err());
        assert!(names("riscv64gc-unknown-linux-gnu", None).is_err());
        assert!(names("nonsense", None).is_err());
        assert!(names(linux, Some("pentium")).is_err());
    }
}
