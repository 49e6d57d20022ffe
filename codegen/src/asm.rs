//! Listings of machine code.

use std::fmt::Write;

/// The instructions of a piece of code, one a line, with their offsets.
pub fn listing(code: &[u8]) -> String {
    let mut text = String::new();
    if cfg!(target_arch = "x86_64") {
        use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter};
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        let mut formatter = NasmFormatter::new();
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            let mut line = String::new();
            formatter.format(&instruction, &mut line);
            let _ = writeln!(text, "  {:5x}  {line}", instruction.ip());
        }
    } else {
        for (i, word) in code.chunks(4).enumerate() {
            let bytes: String = word.iter().rev().map(|b| format!("{b:02x}")).collect();
            let _ = writeln!(text, "  {:5x}  {bytes}", i * 4);
        }
    }
    text
}
