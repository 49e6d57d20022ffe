//! Which instruction sets the machine has, asked at run time.
//!
//! Cranelift has no `cpuid`, so the function that asks is written with an assembler. It calls nothing and
//! touches no memory but the stack.

use crate::error::CodegenError;
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, eax, ebx, ecx, edi, r8d, rbx};

/// What the function returns on a machine with neither AVX2 nor AVX-512.
pub const BASELINE: i64 = 1;
/// With AVX2 and FMA.
pub const AVX2: i64 = 2;
/// With AVX-512 F, VL, DQ and BW besides.
pub const AVX512: i64 = 3;

/// `cpuid(1).ecx`: FMA, XGETBV by the operating system, AVX.
const LEAF1: u32 = 1 << 12 | 1 << 27 | 1 << 28;
/// `cpuid(7).ebx`: AVX2.
const LEAF7_AVX2: u32 = 1 << 5;
/// `cpuid(7).ebx`: AVX-512 F, DQ, BW, VL.
const LEAF7_AVX512: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
/// `xgetbv(0)`: the operating system saves XMM and YMM registers.
const SAVES_AVX: u32 = 0b110;
/// And mask registers and ZMM registers.
const SAVES_AVX512: u32 = 0b1110_0110;

/// Machine code of `unsigned cpu(void)` (System V): [`BASELINE`], [`AVX2`] or [`AVX512`].
pub fn detector() -> Result<Vec<u8>, CodegenError> {
    write().map_err(|error| CodegenError::Compile {
        function: "cpu".into(),
        message: error.to_string(),
    })
}

fn write() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut done = a.create_label();
    // `cpuid` overwrites rbx, which belongs to the caller.
    a.push(rbx)?;
    a.mov(r8d, BASELINE as u32)?;
    a.xor(eax, eax)?;
    a.cpuid()?;
    a.cmp(eax, 7u32)?;
    a.jb(done)?;
    a.mov(eax, 1u32)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.and(ecx, LEAF1 as i32)?;
    a.cmp(ecx, LEAF1 as i32)?;
    a.jne(done)?;
    a.xor(ecx, ecx)?;
    a.xgetbv()?;
    a.mov(edi, eax)?;
    a.and(eax, SAVES_AVX as i32)?;
    a.cmp(eax, SAVES_AVX as i32)?;
    a.jne(done)?;
    a.mov(eax, 7u32)?;
    a.xor(ecx, ecx)?;
    a.cpuid()?;
    a.test(ebx, LEAF7_AVX2)?;
    a.je(done)?;
    a.mov(r8d, AVX2 as u32)?;
    a.and(ebx, LEAF7_AVX512 as i32)?;
    a.cmp(ebx, LEAF7_AVX512 as i32)?;
    a.jne(done)?;
    a.and(edi, SAVES_AVX512 as i32)?;
    a.cmp(edi, SAVES_AVX512 as i32)?;
    a.jne(done)?;
    a.mov(r8d, AVX512 as u32)?;
    a.set_label(&mut done)?;
    a.mov(eax, r8d)?;
    a.pop(rbx)?;
    a.ret()?;
    a.assemble(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wide::WideIsa;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn agrees_with_the_standard_library() {
        use cranelift_jit::{JITBuilder, JITModule};
        use cranelift_module::{Linkage, Module, default_libcall_names};
        let mut module = JITModule::new(JITBuilder::new(default_libcall_names()).unwrap());
        let signature = module.make_signature();
        let id = module.declare_function("cpu", Linkage::Export, &signature).unwrap();
        module.define_function_bytes(id, 16, &detector().unwrap(), &[]).unwrap();
        module.finalize_definitions().unwrap();
        let code = module.get_finalized_function(id);
        // SAFETY: the function takes nothing, returns a word, and keeps what System V says.
        let level = unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> u32>(code)() };
        let expected = match WideIsa::detect() {
            Some(WideIsa::Avx512) => AVX512,
            Some(WideIsa::Avx2) => AVX2,
            None => BASELINE,
        };
        assert_eq!(i64::from(level), expected);
    }
}
