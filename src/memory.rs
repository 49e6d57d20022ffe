//! Whether a network's weights fit into this machine, asked before they are made.

use crate::error::Error;
use netwright_ir::Graph;

/// Bytes that can be used without swapping, where the system says so.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Bytes that packing the weights of a network takes at least: all of them once, and the largest
/// twice more (as it is read or generated, and rescaled).
fn needed(graph: &Graph) -> u64 {
    let bytes = |shape: &[usize]| shape.iter().fold(4, |n: u64, d| n.saturating_mul(*d as u64));
    let sizes = graph.params.iter().map(|param| bytes(&param.shape));
    let largest = sizes.clone().max().unwrap_or(0);
    sizes.fold(largest.saturating_mul(2), u64::saturating_add)
}

/// Refuses a network whose weights are larger than the memory that is free.
///
/// # Errors
/// [`Error::Compile`] with both numbers.
pub fn check(graph: &Graph) -> Result<(), Error> {
    let needed = needed(graph);
    match available() {
        Some(available) if needed > available => Err(Error::Compile(format!(
            "the weights of `{}` take {:.1} GiB of memory, of which {:.1} GiB are free: choose a smaller network",
            graph.name,
            gib(needed),
            gib(available)
        ))),
        _ => Ok(()),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use netwright_ir::{Param, Source};

    fn graph(rows: usize) -> Graph {
        let shape = vec![rows, 1 << 20];
        let source = Source::Tensor { name: "w".into(), shape: shape.clone() };
        let param = Param { path: "w".into(), shape, trained: true, source };
        Graph { name: "net".into(), params: vec![param], ..Graph::default() }
    }

    #[test]
    fn weights_count_once_and_the_largest_twice_more() {
        assert_eq!(needed(&graph(2)), 3 * 2 * (4 << 20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_cannot_fit_is_refused() {
        assert!(check(&graph(1)).is_ok());
        let error = check(&graph(1 << 40)).unwrap_err().to_string();
        assert!(error.starts_with("the weights of `net` take 12884901888.0 GiB"), "{error}");
    }
}
