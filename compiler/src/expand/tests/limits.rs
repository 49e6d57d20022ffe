//! Bad input ends at once.

use super::{codes, lines, rendered};
use std::time::{Duration, Instant};

fn at_once(text: &str) -> Vec<&'static str> {
    let start = Instant::now();
    let found = codes(text);
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    found
}

#[test]
fn recursion() {
    let text = "block a(x) {\n  y = x -> b\n}\nblock b(x) {\n  y = x -> a\n}\n";
    assert_eq!(at_once(&(text.to_string() + &lines("  y = x -> a"))), ["E0612"]);
    // By way of an argument.
    let text = "block a(x, f) {\n  y = x -> f(f)\n}\n";
    assert_eq!(at_once(&(text.to_string() + &lines("  y = x -> a(a)"))), ["E0612"]);
    let text = "network t {\n  operator a = b\n  operator b = a\n  table {\n    | operator |\n    | a |\n  }\n}\n";
    assert_eq!(at_once(text), ["E0612"]);
    let text = "setting a = b + 1\nsetting b = a\n";
    assert_eq!(at_once(&(text.to_string() + &lines("  y = x -> conv(a)"))), ["E0612"]);
}

#[test]
fn repeats() {
    assert_eq!(at_once(&lines("  y = x -> repeat(1_000_000_000, relu)")), ["E0613"]);
    assert_eq!(at_once(&lines("  y = x -> repeat(10000, repeat(10000, identity))")), ["E0615"]);
    let text = "block many(x) {\n  y = x -> repeat(10000, identity)\n}\n";
    let text = text.to_string() + &lines("  y = x -> repeat(10000, many)");
    assert_eq!(at_once(&text), ["E0615"]);
    let text = "block many(x) {\n  y = x -> repeat(1000, relu)\n}\n";
    let text = text.to_string() + &lines("  y = x -> repeat(1000, many)");
    assert_eq!(at_once(&text), ["E0614"]);
}

#[test]
fn sizes() {
    assert_eq!(at_once(&lines("  y = x -> conv(1e12, 3x3)")), ["E0301"]);
    assert_eq!(at_once(&lines("  y = x -> conv(1e300 * 1e300)")), ["E0212"]);
    assert_eq!(at_once(&lines("  y = x -> pad(1e12, 1, 1, 1)")), ["E0301"]);
    assert_eq!(at_once(&lines("  y = x + grid(i < 1e6, j < 1e6 : i)")), ["E0616"]);
    assert_eq!(at_once(&lines("  z = list(1e9)\n  y = x + z[0]")), ["E0218"]);
    assert_eq!(at_once("network t(resolution = 1e9) {\n  y = x -> relu\n}\n"), ["E0218"]);
    assert_eq!(at_once(&lines("  y = x -> expand(1e6, 1e6, 1e6, 1e6)")), ["E0301"]);
}

#[test]
fn nesting() {
    let mut text = String::new();
    for i in 0..70 {
        let next = if i == 69 { "relu".to_string() } else { format!("b{}", i + 1) };
        let open = "(".repeat(10);
        let close = ")".repeat(10);
        text += &format!("block b{i}(x) {{\n  y = {open}x -> {next}{close}\n}}\n");
    }
    assert_eq!(at_once(&(text + &lines("  y = x -> b0"))), ["E0611"]);
    let sum = vec!["1"; 800].join(" + ");
    let found = rendered(&lines(&format!("  n = {sum}\n  y = x -> relu")));
    assert!(found.is_empty() || found.contains("E06"), "{found}");
}

#[test]
fn brackets_without_end() {
    for text in ["(".repeat(100_000), "[".repeat(100_000), "{".repeat(100_000)] {
        assert!(!at_once(&lines(&format!("  y = {text}"))).is_empty());
    }
}
