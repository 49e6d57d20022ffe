//! Instruction codes by vector width.

use crate::vir::{BinOp, Cmp, FoldOp, UnOp};
use iced_x86::Code;

/// The encodings of one vector width: VEX for 128 and 256 bits, EVEX for 512.
pub struct Codes {
    /// Unaligned load.
    pub load: Code,
    /// Unaligned store.
    pub store: Code,
    /// Register to register.
    pub mov: Code,
    /// One value of memory to all lanes.
    pub broadcast_mem: Code,
    /// Lane 0 to all lanes.
    pub broadcast_reg: Code,
    /// Fused multiply-add, accumulator first.
    pub fma: Code,
    /// The same with the sum apart: `d = d * x + y`.
    pub mul_add: Code,
    /// All lanes zero (exclusive or).
    pub xor: Code,
}

/// 256-bit encodings.
pub const YMM: Codes = Codes {
    load: Code::VEX_Vmovups_ymm_ymmm256,
    store: Code::VEX_Vmovups_ymmm256_ymm,
    mov: Code::VEX_Vmovaps_ymm_ymmm256,
    broadcast_mem: Code::VEX_Vbroadcastss_ymm_m32,
    broadcast_reg: Code::VEX_Vbroadcastss_ymm_xmm,
    fma: Code::VEX_Vfmadd231ps_ymm_ymm_ymmm256,
    mul_add: Code::VEX_Vfmadd213ps_ymm_ymm_ymmm256,
    xor: Code::VEX_Vxorps_ymm_ymm_ymmm256,
};

/// 512-bit encodings.
pub const ZMM: Codes = Codes {
    load: Code::EVEX_Vmovups_zmm_k1z_zmmm512,
    store: Code::EVEX_Vmovups_zmmm512_k1z_zmm,
    mov: Code::EVEX_Vmovaps_zmm_k1z_zmmm512,
    broadcast_mem: Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
    broadcast_reg: Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32,
    fma: Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
    mul_add: Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
    xor: Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32,
};

/// Three-operand arithmetic, 256 and 512 bits.
pub fn bin(op: BinOp, wide: bool) -> Code {
    use Code::*;
    let [ymm, zmm] = match op {
        BinOp::Add => [VEX_Vaddps_ymm_ymm_ymmm256, EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er],
        BinOp::Sub => [VEX_Vsubps_ymm_ymm_ymmm256, EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er],
        BinOp::Mul => [VEX_Vmulps_ymm_ymm_ymmm256, EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er],
        BinOp::Div => [VEX_Vdivps_ymm_ymm_ymmm256, EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er],
        BinOp::Min => [VEX_Vminps_ymm_ymm_ymmm256, EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae],
        BinOp::Max => [VEX_Vmaxps_ymm_ymm_ymmm256, EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae],
        BinOp::And => [VEX_Vandps_ymm_ymm_ymmm256, EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32],
        BinOp::Or => [VEX_Vorps_ymm_ymm_ymmm256, EVEX_Vpord_zmm_k1z_zmm_zmmm512b32],
        BinOp::Xor => [VEX_Vxorps_ymm_ymm_ymmm256, EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32],
        BinOp::IAdd => [VEX_Vpaddd_ymm_ymm_ymmm256, EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32],
        BinOp::ISub => [VEX_Vpsubd_ymm_ymm_ymmm256, EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32],
        BinOp::ZipLow => [VEX_Vunpcklps_ymm_ymm_ymmm256, EVEX_Vunpcklps_zmm_k1z_zmm_zmmm512b32],
        BinOp::ZipHigh => [VEX_Vunpckhps_ymm_ymm_ymmm256, EVEX_Vunpckhps_zmm_k1z_zmm_zmmm512b32],
        BinOp::PairLow => [VEX_Vunpcklpd_ymm_ymm_ymmm256, EVEX_Vunpcklpd_zmm_k1z_zmm_zmmm512b64],
        BinOp::PairHigh => [VEX_Vunpckhpd_ymm_ymm_ymmm256, EVEX_Vunpckhpd_zmm_k1z_zmm_zmmm512b64],
    };
    if wide { zmm } else { ymm }
}

/// One-operand arithmetic; shifts take their distance as an immediate.
pub fn un(op: UnOp, wide: bool) -> Code {
    use Code::*;
    let [ymm, zmm] = match op {
        UnOp::Sqrt => [VEX_Vsqrtps_ymm_ymmm256, EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er],
        UnOp::Shl(_) => [VEX_Vpslld_ymm_ymm_imm8, EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8],
        UnOp::Shr(_) => [VEX_Vpsrld_ymm_ymm_imm8, EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8],
    };
    if wide { zmm } else { ymm }
}

/// The fold's operation on 256-bit (EVEX only) and 128-bit registers.
pub fn fold(op: FoldOp, wide: bool) -> [Code; 2] {
    use Code::*;
    match (op, wide) {
        (FoldOp::Add, false) => [VEX_Vaddps_ymm_ymm_ymmm256, VEX_Vaddps_xmm_xmm_xmmm128],
        (FoldOp::Min, false) => [VEX_Vminps_ymm_ymm_ymmm256, VEX_Vminps_xmm_xmm_xmmm128],
        (FoldOp::Max, false) => [VEX_Vmaxps_ymm_ymm_ymmm256, VEX_Vmaxps_xmm_xmm_xmmm128],
        (FoldOp::Add, true) => {
            [EVEX_Vaddps_ymm_k1z_ymm_ymmm256b32, EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32]
        }
        (FoldOp::Min, true) => {
            [EVEX_Vminps_ymm_k1z_ymm_ymmm256b32, EVEX_Vminps_xmm_k1z_xmm_xmmm128b32]
        }
        (FoldOp::Max, true) => {
            [EVEX_Vmaxps_ymm_k1z_ymm_ymmm256b32, EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32]
        }
    }
}

/// The comparison's immediate: quiet, false for NaN (true for it in `Unordered`).
pub fn predicate(cmp: Cmp) -> u32 {
    match cmp {
        Cmp::Eq => 0x00,
        Cmp::Lt => 0x11,
        Cmp::Le => 0x12,
        Cmp::Unordered => 0x03,
    }
}
