//! Numbers as people read them.

/// Multiply-accumulates or parameters in the papers' units: `300.8M`, `4.09G`.
pub fn short(value: u64) -> String {
    let value = value as f64;
    for (unit, size) in [("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3)] {
        if value >= size {
            let scaled = value / size;
            let digits = if scaled >= 100.0 { 1 } else { 2 };
            return format!("{scaled:.digits$}{unit}");
        }
    }
    format!("{value:.0}")
}

/// Bytes with a binary unit: `3.7 MiB`.
pub fn bytes(value: usize) -> String {
    let value = value as f64;
    for (unit, size) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        let size = f64::from(1u32 << size);
        if value >= size {
            return format!("{:.1} {unit}", value / size);
        }
    }
    format!("{value:.0} B")
}

/// A number for JSON, rounded to so many digits after the point, so that it is short.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let shown = [999, 3_504_872, 300_774_272, 4_089_184_256].map(short);
        assert_eq!(shown, ["999", "3.50M", "300.8M", "4.09G"]);
        assert_eq!([12, 2048, 3 << 20].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB"]);
    }
}
