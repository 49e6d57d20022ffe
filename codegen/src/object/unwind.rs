//! Call-frame information: how debuggers and profilers find the callers of each function.
//!
//! Cranelift says it for its own code. Of code that comes as bytes (the wide emitter's, the CPU test), it is
//! read off the instructions: these move the stack pointer by pushes, pops and constants only.

use crate::error::CodegenError;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use gimli::RunTimeEndian;
use gimli::write::{
    Address, CallFrameInstruction, CieId, EhFrame, EndianVec, FrameDescriptionEntry, FrameTable,
    RelocateWriter, Relocation, RelocationTarget,
};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use object::write::{Object, StandardSection, SymbolId};
use object::{RelocationEncoding, RelocationFlags, RelocationKind};

/// DWARF's numbers of the general registers in the order of their encodings.
const DWARF: [u16; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];

/// Bytes between the stack pointer and the canonical frame address when a function is entered.
const ENTRY: i32 = 8;

/// Collects the frames of an object's functions.
#[derive(Default)]
pub struct Frames {
    table: FrameTable,
    entry: Option<CieId>,
    symbols: Vec<SymbolId>,
}

impl Frames {
    /// Adds a function that Cranelift compiled. What is not in System V's form is left out.
    pub fn add(&mut self, isa: &dyn TargetIsa, symbol: SymbolId, info: &UnwindInfo) {
        let UnwindInfo::SystemV(info) = info else { return };
        if let Some((entry, address)) = self.next(isa, symbol) {
            self.table.add_fde(entry, info.to_fde(address));
        }
    }

    /// Adds a function of x86-64 that comes as bytes: `code` is its instructions, `len` its bytes with
    /// the constants that follow.
    pub fn add_x86(&mut self, isa: &dyn TargetIsa, symbol: SymbolId, code: &[u8], len: usize) {
        if let Some((entry, address)) = self.next(isa, symbol) {
            let mut frame = FrameDescriptionEntry::new(address, len as u32);
            for (offset, instruction) in x86_frame(code) {
                frame.add_instruction(offset, instruction);
            }
            self.table.add_fde(entry, frame);
        }
    }

    fn next(&mut self, isa: &dyn TargetIsa, symbol: SymbolId) -> Option<(CieId, Address)> {
        if self.entry.is_none() {
            let mut entry = isa.create_systemv_cie()?;
            // Relative to their place: no work for the dynamic loader.
            entry.fde_address_encoding = gimli::DW_EH_PE_pcrel | gimli::DW_EH_PE_sdata4;
            self.entry = Some(self.table.add_cie(entry));
        }
        self.symbols.push(symbol);
        Some((self.entry?, Address::Symbol { symbol: self.symbols.len() - 1, addend: 0 }))
    }

    /// Writes the section.
    pub fn finish(self, object: &mut Object<'static>) -> Result<(), CodegenError> {
        if self.entry.is_none() {
            return Ok(());
        }
        let fail = |message: String| CodegenError::Compile {
            function: "call-frame information".into(),
            message,
        };
        let mut section =
            EhFrame(Section { bytes: EndianVec::new(RunTimeEndian::Little), places: Vec::new() });
        self.table.write_eh_frame(&mut section).map_err(|e| fail(e.to_string()))?;
        let EhFrame(Section { bytes, places }) = section;
        let id = object.section_id(StandardSection::EhFrame);
        let start = object.append_section_data(id, bytes.slice(), 8);
        for place in places {
            let RelocationTarget::Symbol(index) = place.target else { continue };
            // Relative to the section: an exported function could be another's in a shared library.
            let function = object.symbol(self.symbols[index]);
            let (offset, Some(code)) = (function.value as i64, function.section.id()) else {
                continue;
            };
            let symbol = object.section_symbol(code);
            // The tables say how a pointer is written; all that Cranelift chooses are relative.
            let relative = place.eh_pe.is_some_and(|pe| pe.application() == gimli::DW_EH_PE_pcrel);
            let kind = if relative { RelocationKind::Relative } else { RelocationKind::Absolute };
            object
                .add_relocation(
                    id,
                    object::write::Relocation {
                        offset: start + place.offset as u64,
                        symbol,
                        addend: place.addend + offset,
                        flags: RelocationFlags::Generic {
                            kind,
                            encoding: RelocationEncoding::Generic,
                            size: 8 * place.size,
                        },
                    },
                )
                .map_err(|e| fail(e.to_string()))?;
        }
        Ok(())
    }
}

/// What each instruction does to the frame, at the offset behind it.
fn x86_frame(code: &[u8]) -> Vec<(u32, CallFrameInstruction)> {
    let mut result = Vec::new();
    let mut depth = ENTRY;
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    // The depth in the body, to which code behind a return goes back.
    let mut body = ENTRY;
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let end = instruction.next_ip() as u32;
        let first = (instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register)
            .then(|| instruction.op0_register());
        let constant = || instruction.immediate(1) as i32;
        let before = depth;
        match (instruction.mnemonic(), first) {
            (Mnemonic::Push, Some(register)) => {
                depth += 8;
                let saved = gimli::Register(DWARF[register as usize - Register::RAX as usize]);
                result.push((end, CallFrameInstruction::CfaOffset(depth)));
                result.push((end, CallFrameInstruction::Offset(saved, -depth)));
                body = depth;
                continue;
            }
            (Mnemonic::Sub, Some(Register::RSP)) => {
                depth += constant();
                body = depth;
            }
            (Mnemonic::Add, Some(Register::RSP)) => depth -= constant(),
            (Mnemonic::Pop, Some(_)) => depth -= 8,
            (Mnemonic::Ret, _) => depth = body,
            _ => {}
        }
        if depth != before && (end as usize) < code.len() {
            result.push((end, CallFrameInstruction::CfaOffset(depth)));
        }
    }
    result
}

/// The section while it is written.
struct Section {
    bytes: EndianVec<RunTimeEndian>,
    places: Vec<Relocation>,
}

impl RelocateWriter for Section {
    type Writer = EndianVec<RunTimeEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }

    fn relocate(&mut self, relocation: Relocation) {
        self.places.push(relocation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::code_asm::{CodeAssembler, r12, rax, rbx, rsp};

    #[test]
    fn frames_follow_the_stack_pointer() {
        let mut a = CodeAssembler::new(64).unwrap();
        a.push(rbx).unwrap();
        a.push(r12).unwrap();
        a.sub(rsp, 0x40).unwrap();
        a.mov(rax, rbx).unwrap();
        a.add(rsp, 0x40).unwrap();
        a.pop(r12).unwrap();
        a.pop(rbx).unwrap();
        a.ret().unwrap();
        let code = a.assemble(0).unwrap();
        use CallFrameInstruction::{CfaOffset, Offset};
        let expected = vec![
            (1, CfaOffset(16)),
            (1, Offset(gimli::Register(3), -16)),
            (3, CfaOffset(24)),
            (3, Offset(gimli::Register(12), -24)),
            (7, CfaOffset(88)),
            (14, CfaOffset(24)),
            (16, CfaOffset(16)),
            (17, CfaOffset(8)),
        ];
        assert_eq!(x86_frame(&code), expected);
    }
}
