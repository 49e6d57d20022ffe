//! The wide emitter: kernel functions as x86-64 machine code of the machine's full vector width.
//!
//! Cranelift's x86-64 vectors are 128 bits wide. This emitter turns a [`KernelFunction`] into code of
//! 256 bits (AVX2 and FMA) or 512 bits (AVX-512 F, VL, DQ and BW): [`lower`] brings it into SSA form over virtual registers,
//! `regalloc2` (Cranelift's own allocator) chooses registers, [`encode`] writes instructions with
//! `iced-x86`. The bytes are position independent, constants included, and call nothing.

mod codes;
mod encode;
mod lower;
mod machine;
#[cfg(test)]
pub(crate) mod tests;

use crate::vir::{CheckError, KernelFunction};
use thiserror::Error;

/// An instruction set that the wide emitter writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WideIsa {
    /// AVX2 and FMA: 8 lanes, 16 vector registers.
    Avx2,
    /// AVX-512 F, VL, DQ and BW: 16 lanes, 32 vector registers.
    Avx512,
}

impl WideIsa {
    /// The widest that this machine can run: what the CPU has and the operating system saves.
    pub fn detect() -> Option<WideIsa> {
        [WideIsa::Avx512, WideIsa::Avx2].into_iter().find(|isa| isa.is_available())
    }

    /// Whether this machine can run it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            WideIsa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            WideIsa::Avx512 => {
                WideIsa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
        }
    }

    /// Whether this machine can run it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        false
    }

    /// Values in a vector register.
    pub fn lanes(self) -> u32 {
        match self {
            WideIsa::Avx2 => 8,
            WideIsa::Avx512 => 16,
        }
    }

    /// Vector registers.
    pub fn vector_registers(self) -> usize {
        match self {
            WideIsa::Avx2 => 16,
            WideIsa::Avx512 => 32,
        }
    }

    /// Short name, as in symbols: `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            WideIsa::Avx2 => "avx2",
            WideIsa::Avx512 => "avx512",
        }
    }
}

/// Machine code of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WideCode {
    /// The code, then its constants; starts at the entry. Wants an alignment of 64.
    pub bytes: Vec<u8>,
    /// Bytes of `bytes` that are instructions; the rest is constants.
    pub code_len: usize,
    /// Values that did not fit into registers: inner loops of a good kernel have none.
    pub spills: usize,
}

/// Why a function could not be emitted. Each is a fault of the kernel builder.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each variant's text says what its fields are")]
pub enum WideError {
    /// The function breaks a rule of the kernel IR.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The function's lanes are not the instruction set's.
    #[error("kernel `{function}` has {lanes} lanes, {isa} code has {expected}")]
    Lanes { function: String, lanes: u32, isa: &'static str, expected: u32 },
    /// More parameters than the calling convention passes in registers.
    #[error("kernel `{function}` has {params} parameters; at most 6 are passed in registers")]
    Params { function: String, params: u32 },
    /// The register allocator gave up.
    #[error("kernel `{function}`: register allocation failed: {message}")]
    Registers { function: String, message: String },
    /// An instruction has no encoding.
    #[error("kernel `{function}`: no encoding: {message}")]
    Encoding { function: String, message: String },
}

/// Emits `function` for `isa`. Equal functions give equal bytes.
pub fn emit(function: &KernelFunction, isa: WideIsa) -> Result<WideCode, WideError> {
    emit_with(function, isa, &mut Memory::default())
}

/// The register allocator's working memory, for one function after the other.
#[derive(Default)]
pub struct Memory(regalloc2::Ctx);

/// As [`emit`], in memory that is kept: a program has dozens of functions, and fresh memory costs a
/// fault for each page.
pub fn emit_with(
    function: &KernelFunction,
    isa: WideIsa,
    memory: &mut Memory,
) -> Result<WideCode, WideError> {
    crate::vir::check(function)?;
    if function.lanes != isa.lanes() {
        return Err(WideError::Lanes {
            function: function.name.clone(),
            lanes: function.lanes,
            isa: isa.name(),
            expected: isa.lanes(),
        });
    }
    if function.params as usize > machine::ARGUMENTS.len() {
        return Err(WideError::Params { function: function.name.clone(), params: function.params });
    }
    let code = lower::lower(function, isa);
    let environment = machine::environment(isa);
    let options = regalloc2::RegallocOptions {
        verbose_log: false,
        validate_ssa: cfg!(debug_assertions),
        algorithm: regalloc2::Algorithm::Ion,
    };
    let allocation =
        regalloc2::run_with_ctx(&code, &environment, &options, &mut memory.0).map_err(|error| {
            WideError::Registers { function: function.name.clone(), message: error.to_string() }
        })?;
    if cfg!(any(test, debug_assertions)) {
        let mut checker = regalloc2::checker::Checker::new(&code, &environment);
        checker.prepare(allocation);
        checker.run().map_err(|errors| WideError::Registers {
            function: function.name.clone(),
            message: format!("the allocator's checker found {errors:?}"),
        })?;
    }
    encode::encode(&code, allocation, isa).map_err(|message| WideError::Encoding {
        function: function.name.clone(),
        message: message.to_string(),
    })
}
