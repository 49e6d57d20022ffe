//! Code generation: from a [`program::Program`] to native code.
//!
//! ```text
//! Program ──kernels──▶ KernelFunction (vector kernel IR) ──portable | wide──▶ machine code ──jit──▶ CompiledProgram
//! ```
//!
//! - [`program`]: what the planner hands over: kernels by descriptor, steps over memory places.
//! - [`operands`], [`mod@name`], [`pack`]: what a kernel's operands are, its name, its packed
//!   weights.
//! - [`kernels`]: a builder for each kind of kernel, written once for all widths of vectors.
//! - [`vir`]: the vector kernel IR that they write.
//! - [`portable`] and [`wide`]: the emitters.
//! - [`entry`], [`jit`], [`pool`], [`buffer`]: whole programs as callable code, threads, memory.
//! - [`peak`], [`bandwidth`]: what the machine could do at best; [`work`]: what a kernel has to do.

pub mod adapt;
pub mod asm;
pub mod bandwidth;
pub mod buffer;
mod chain;
pub mod entry;
pub mod error;
pub mod jit;
pub mod kernels;
mod laps;
pub mod name;
mod native;
pub mod object;
pub mod operands;
pub mod pack;
pub mod peak;
pub mod pool;
pub mod portable;
mod probe;
pub mod program;
mod validate;
pub mod vir;
pub mod wide;
pub mod work;

pub use buffer::AlignedBuffer;
pub use error::CodegenError;
pub use jit::{Backend, CompileOptions, CompiledProgram, compile};
pub use pool::Pool;
