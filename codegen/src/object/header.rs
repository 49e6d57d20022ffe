//! The C header of an object.

use super::{ERRORS, ObjectFile};
use crate::buffer::ALIGN;
use std::fmt::Write;

/// What the header says besides numbers of the object.
pub struct Interface<'a> {
    /// Begins all names; a C identifier.
    pub prefix: &'a str,
    /// The element type of the input: `float` or `uint8_t`.
    pub input_type: &'a str,
    /// Bytes of the input, and what it is: `f32, NCHW 1x3x224x224`.
    pub input: (usize, String),
    /// Name, bytes and description of each output.
    pub outputs: Vec<(String, usize, String)>,
    /// More macros: name without prefix, value, comment.
    pub constants: Vec<(String, String, String)>,
    /// Lines for people, as the opening comment: what the network expects, how it was built.
    pub notes: Vec<String>,
}

/// Version of the interface that headers describe.
pub const ABI: u32 = 1;

/// The text of the header, which C99 and C++ compilers read.
pub fn text(interface: &Interface, object: &ObjectFile) -> String {
    let prefix = interface.prefix;
    let upper = prefix.to_ascii_uppercase();
    let mut out = String::from("/*\n");
    for line in &interface.notes {
        // A comment must not end early.
        let _ = writeln!(out, "{}", format!(" * {}", line.replace("*/", "* /")).trim_end());
    }
    let _ = write!(
        out,
        " */\n#ifndef {upper}_H\n#define {upper}_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
    );
    let mut define = |name: &str, value: String, comment: &str| {
        let comment = match comment {
            "" => String::new(),
            text => format!(" /* {} */", text.replace("*/", "* /")),
        };
        let name = format!("{upper}_{name}");
        let _ = writeln!(out, "#define {name:<32} {value:>12}{comment}");
    };
    define("ABI", ABI.to_string(), "");
    define("INPUT_BYTES", format!("{}u", interface.input.0), &interface.input.1);
    match interface.outputs.as_slice() {
        [(name, bytes, what)] => {
            define("OUTPUT_BYTES", format!("{bytes}u"), &format!("{name}: {what}"));
        }
        several => {
            define("OUTPUTS", format!("{}u", several.len()), "");
            for (i, (name, bytes, what)) in several.iter().enumerate() {
                let comment = format!("{name}: {what}");
                define(&format!("OUTPUT_{i}_BYTES"), format!("{bytes}u"), &comment);
            }
        }
    }
    for (name, value, comment) in &interface.constants {
        define(name, value.clone(), comment);
    }
    if let Some(header) = object.external {
        let bytes = header.bytes + super::external::HEADER_BYTES;
        let comment = format!("of {prefix}.weights, aligned to {upper}_ALIGN");
        define("WEIGHTS_BYTES", format!("{bytes}u"), &comment);
    }
    let threads = object.threads;
    define("THREADS", format!("{threads}u"), "most threads that a run uses");
    let comment =
        format!("caller's memory, aligned to {upper}_ALIGN, for up to {upper}_THREADS threads");
    define("WORKSPACE_BYTES", format!("{}u", object.workspace_bytes(threads)), &comment);
    define("ALIGN", format!("{ALIGN}u"), "");
    let one = object.workspace_bytes(1);
    let more = object.workspace_bytes(2).saturating_sub(one);
    let _ = write!(
        out,
        "/* enough for runs with that many threads (1 where options is NULL) */\n\
         #define {upper}_WORKSPACE_BYTES_FOR(threads) ({one}u + {more}u * ((size_t)(threads) < 2u ? 0u : \\\n    \
         (size_t)(threads) < {upper}_THREADS ? (size_t)(threads) - 1u : {upper}_THREADS - 1u))\n\n\
         /* what a run returns: 0, or */\n"
    );
    for (name, number, what) in ERRORS {
        if name == "E_WEIGHTS" && object.external.is_none() {
            continue;
        }
        let _ = writeln!(
            out,
            "#define {:<32} {:>12} /* {what} */",
            format!("{upper}_{name}"),
            format!("({number})")
        );
    }
    let weights = match object.external {
        Some(_) => "const void *weights, size_t weights_bytes, ",
        None => "",
    };
    let output = match interface.outputs.len() {
        1 => "float *output",
        _ => "float *const *outputs",
    };
    let _ = write!(
        out,
        r#"
/* How to run on several threads. parallel_for calls task(arg, i) once for each i below n, on any threads
   and in any order, and returns when all of these calls have returned. */
typedef struct {{
    size_t size; /* sizeof({prefix}_options) */
    void (*parallel_for)(void *pool, size_t n, void (*task)(void *, size_t), void *arg);
    void *pool;     /* first argument of parallel_for */
    size_t threads; /* n is at most that, and at most {upper}_THREADS */
}} {prefix}_options;

#ifdef __cplusplus
extern "C" {{
#endif

/* Runs the network once. Any number of threads may call it at once, each with its own workspace, whose
   contents before and after mean nothing. Results do not depend on the number of threads. */
int {prefix}_run({weights}const {input} *input, {output}, void *workspace,
    const {prefix}_options *options /* NULL: this thread */);

#ifdef __cplusplus
}}
#endif

#endif
"#,
        input = interface.input_type,
    );
    out
}
