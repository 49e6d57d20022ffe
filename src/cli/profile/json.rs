//! A profile as an object for programs.

use super::super::numbers::rounded;
use super::Subject;
use crate::profile::{Profile, Row, RowKind};
use serde_json::{Map, Value, json};

/// The whole profile.
pub fn object(subject: &Subject, profile: &Profile) -> Value {
    let machine = &profile.machine;
    let levels: Map<String, Value> = machine
        .levels
        .iter()
        .map(|level| (level.level.name().into(), json!(rounded(level.gbps, 2))))
        .collect();
    let sum = profile.steps_sum();
    let classes: Vec<Value> = profile
        .classes()
        .iter()
        .map(|(class, totals)| {
            json!({
                "class": class.name(),
                "kernels": totals.kernels,
                "ms": ms(totals.seconds),
                "share": rounded(totals.seconds / sum, 4),
                "gflops": rounded(totals.gflops(), 2),
                "gbps": rounded(totals.gbps(), 2),
                "roof_ms": ms(totals.roof),
            })
        })
        .collect();
    let layers: Vec<Value> = profile.layers.iter().map(|layer| row(layer, sum)).collect();
    json!({
        "network": subject.title,
        "backend": subject.backend,
        "threads": subject.threads,
        "batch": subject.batch,
        "cpu": machine.cpu,
        "vector_bits": machine.all.bits,
        "peak_gflops": rounded(machine.all.gflops, 2),
        "peak_gflops_1_thread": rounded(machine.one.gflops, 2),
        "bandwidth_gbps": levels,
        "runs": profile.runs,
        "median_ms": ms(profile.whole),
        "timed_ms": ms(profile.timed),
        "steps_ms": ms(sum),
        "disturbed": profile.disturbed(),
        "macs": profile.work().macs,
        "gflops": rounded(profile.gflops(), 2),
        "weights_bytes": profile.weights_bytes,
        "arena_bytes": profile.arena_bytes,
        "classes": classes,
        "layers": layers,
    })
}

fn row(row: &Row, sum: f64) -> Value {
    let work = &row.work;
    let mut object = json!({
        "name": row.name,
        "kernel": row.kernel,
        "class": row.class.name(),
        "ms": ms(row.seconds),
        "share": rounded(row.seconds / sum, 4),
        "macs": work.macs,
        "flops": work.flops(),
        "bytes_read": work.read,
        "bytes_of_weights": work.weights,
        "bytes_written": work.written,
        "gflops": rounded(row.gflops(), 2),
        "gbps": rounded(row.gbps(), 2),
        "roof_ms": ms(row.roof.seconds),
        "limit": row.roof.limit.name(),
    });
    if row.kind == RowKind::Fused {
        object["fused"] = Value::Bool(true);
    }
    if !row.parts.is_empty() {
        let parts = row.parts.iter().map(|part| self::row(part, sum)).collect::<Vec<_>>();
        object["parts"] = Value::Array(parts);
    }
    object
}

/// Milliseconds, to the nanosecond.
fn ms(seconds: f64) -> f64 {
    rounded(seconds * 1e3, 6)
}

#[cfg(test)]
mod tests {
    use super::super::sample;

    #[test]
    fn the_whole_object() {
        let (subject, profile) = sample::profile();
        let object = super::object(&subject, &profile);
        insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap());
    }
}
