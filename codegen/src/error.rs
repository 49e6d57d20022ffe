//! What can go wrong between a program and a result.

use thiserror::Error;

/// Errors of code generation and of running generated code.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodegenError {
    /// A descriptor that no code can be made for: a zero size, or one beyond the limits.
    #[error("kernel `{kernel}`: {message}")]
    Kernel {
        /// The kernel's name.
        kernel: String,
        /// What is wrong with it.
        message: String,
    },
    /// A program that contradicts itself: a place outside its buffer, a missing operand.
    #[error("program `{program}`: {message}")]
    Program {
        /// The program's name.
        program: String,
        /// What is wrong with it.
        message: String,
    },
    /// The back end that was asked for does not exist on this machine.
    #[error("{0}")]
    Unsupported(String),
    /// The code generator failed.
    #[error("cannot compile `{function}`: {message}")]
    Compile {
        /// The function being compiled.
        function: String,
        /// What the code generator said.
        message: String,
    },
    /// A buffer of the caller has the wrong length or alignment.
    #[error("{what}: {message}")]
    Buffer {
        /// Which buffer.
        what: String,
        /// Its fault, with the numbers.
        message: String,
    },
    /// Memory could not be had.
    #[error("cannot allocate {bytes} bytes")]
    Memory {
        /// Size of the request.
        bytes: usize,
    },
}

impl CodegenError {
    /// An error of Cranelift's module about that function or data.
    pub(crate) fn module(name: &str, error: cranelift_module::ModuleError) -> CodegenError {
        CodegenError::Compile { function: name.into(), message: error.to_string() }
    }
}
