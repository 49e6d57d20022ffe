//! Packed weights as 16-bit numbers.
//!
//! The arithmetic stays as it is: a step before each that reads packed weights widens them into the arena.
//! Tables, and vectors that no kernel packs, stay `f32`.

use super::kernel_number;
use crate::buffer::{ALIGN, AlignedBuffer};
use crate::error::CodegenError;
use crate::kernels::widen::BLOCK;
use crate::operands::{Role, operands};
use crate::program::{Half, Kernel, Place, Program, Step, WidenKernel};

/// A program whose packed weights are halves, and how they are made from those of the original.
pub struct Narrowed {
    /// The program.
    pub program: Program,
    format: Half,
    pieces: Vec<Piece>,
}

/// A piece of the original's weights.
struct Piece {
    from: usize,
    bytes: usize,
    to: usize,
    /// The step that reads it as packed weights, if any: it becomes halves.
    reader: Option<String>,
}

impl Piece {
    /// Values of the halves, the last block filled up.
    fn values(&self) -> usize {
        (self.bytes / 4).next_multiple_of(BLOCK)
    }
}

/// Lets a program read its packed weights as halves.
///
/// # Errors
/// When the program contradicts itself.
pub fn narrow(program: &Program, format: Half) -> Result<Narrowed, CodegenError> {
    let program = &without_ahead(program);
    let pieces = pieces(program)?;
    let mut result = Program {
        name: program.name.clone(),
        kernels: program.kernels.clone(),
        steps: Vec::with_capacity(2 * program.steps.len()),
        rounds: program.rounds,
        inputs: program.inputs.clone(),
        outputs: program.outputs.clone(),
        arena_bytes: program.arena_bytes,
        weights_bytes: pieces.last().map_or(0, |last| last.to + stored(last)),
    };
    let scratch = program.arena_bytes.next_multiple_of(ALIGN);
    for step in &program.steps {
        let mut step = step.clone();
        let mut end = scratch;
        for place in &mut step.args {
            let Place::Weights(offset) = *place else { continue };
            let at = pieces.partition_point(|piece| piece.from <= offset).saturating_sub(1);
            let piece = &pieces[at];
            if piece.reader.is_none() {
                *place = Place::Weights(piece.to + offset - piece.from);
                continue;
            }
            let values = piece.values();
            let kernel = Kernel::Widen(WidenKernel { values, format });
            let kernel = kernel_number(&mut result, kernel);
            let args = vec![Place::Weights(piece.to), Place::Arena(end)];
            result.steps.push(Step { name: format!("{} weights", step.name), kernel, args });
            *place = Place::Arena(end);
            end += (values * 4).next_multiple_of(ALIGN);
        }
        result.arena_bytes = result.arena_bytes.max(end);
        result.steps.push(step);
    }
    Ok(Narrowed { program: result, format, pieces })
}

/// The program, fetching nothing ahead: halves are widened just before they are read.
fn without_ahead(program: &Program) -> Program {
    let mut plain = Program { kernels: vec![], steps: vec![], ..program.clone() };
    for step in &program.steps {
        let mut step = step.clone();
        let kernel = program.kernels[step.kernel].without_ahead();
        if kernel != program.kernels[step.kernel] {
            step.args.pop();
        }
        step.kernel = kernel_number(&mut plain, kernel);
        plain.steps.push(step);
    }
    plain
}

fn stored(piece: &Piece) -> usize {
    if piece.reader.is_some() { piece.values() * 2 } else { piece.bytes }
}

/// The weights cut into what is packed for a kernel and what lies between.
fn pieces(program: &Program) -> Result<Vec<Piece>, CodegenError> {
    let mut packed: Vec<(usize, usize, &str)> = Vec::new();
    for step in &program.steps {
        let kernel = &program.kernels[step.kernel];
        // The weights of these are tables of indices.
        if matches!(kernel, Kernel::Gather { .. } | Kernel::Resize(_) | Kernel::Bytes(_)) {
            continue;
        }
        for (place, operand) in step.args.iter().zip(operands(kernel)?) {
            if let (Place::Weights(offset), Role::Weights) = (*place, operand.role) {
                packed.push((offset, operand.bytes, &step.name));
            }
        }
    }
    packed.sort_unstable();
    packed.dedup_by_key(|piece| (piece.0, piece.1));
    let mut result: Vec<Piece> = Vec::new();
    let (mut from, mut to) = (0, 0);
    let mut push = |from: usize, bytes: usize, reader: Option<&str>| {
        if bytes > 0 {
            let piece = Piece { from, bytes, to, reader: reader.map(str::to_string) };
            to = (to + stored(&piece)).next_multiple_of(ALIGN);
            result.push(piece);
        }
    };
    for (offset, bytes, reader) in packed {
        if offset < from {
            return Err(CodegenError::Program {
                program: program.name.clone(),
                message: format!("the packed weights of step `{reader}` overlap those of another"),
            });
        }
        push(from, offset - from, None);
        push(offset, bytes, Some(reader));
        from = offset + bytes;
    }
    push(from, program.weights_bytes.saturating_sub(from), None);
    Ok(result)
}

impl Narrowed {
    /// The weights of the new program from those of the original.
    ///
    /// # Errors
    /// A value that the format cannot hold, or too little memory.
    pub fn pack(&self, weights: &[u8]) -> Result<AlignedBuffer, CodegenError> {
        let mut buffer = AlignedBuffer::zeroed(self.program.weights_bytes)?;
        let out = buffer.as_bytes_mut();
        for piece in &self.pieces {
            let from = &weights[piece.from..piece.from + piece.bytes];
            let to = &mut out[piece.to..piece.to + stored(piece)];
            let Some(reader) = &piece.reader else {
                to.copy_from_slice(from);
                continue;
            };
            for (i, value) in values(from).enumerate() {
                let half = self.narrowed(value, reader)?;
                let (block, place) = (i / BLOCK, i % BLOCK);
                let word = block * BLOCK / 2 + place % (BLOCK / 2);
                let at = word * 4 + if place < BLOCK / 2 { 0 } else { 2 };
                to[at..at + 2].copy_from_slice(&half.to_le_bytes());
            }
        }
        Ok(buffer)
    }

    /// Rounds the original's packed weights to what the halves hold: with these, the original gives the
    /// same bits as the new program.
    ///
    /// # Errors
    /// A value that the format cannot hold.
    pub fn round(&self, weights: &mut [u8]) -> Result<(), CodegenError> {
        for piece in &self.pieces {
            let Some(reader) = &piece.reader else { continue };
            let bytes = &mut weights[piece.from..piece.from + piece.bytes];
            for place in bytes.chunks_exact_mut(4) {
                let value = values(place).next().unwrap_or(0.0);
                let half = self.narrowed(value, reader)?;
                let value = match self.format {
                    Half::F16 => half::f16::from_bits(half).to_f32(),
                    Half::Bf16 => half::bf16::from_bits(half).to_f32(),
                };
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }

    /// The nearest half, ties to even.
    fn narrowed(&self, value: f32, reader: &str) -> Result<u16, CodegenError> {
        let (half, finite) = match self.format {
            Half::F16 => {
                let half = half::f16::from_f32(value);
                (half.to_bits(), half.is_finite())
            }
            Half::Bf16 => {
                let half = half::bf16::from_f32(value);
                (half.to_bits(), half.is_finite())
            }
        };
        if finite {
            return Ok(half);
        }
        let (name, cure) = match self.format {
            Half::F16 if value.is_finite() => ("f16", "; bf16 can"),
            Half::F16 => ("f16", ""),
            Half::Bf16 => ("bf16", ""),
        };
        Err(CodegenError::Buffer {
            what: format!("the weights of `{reader}`"),
            message: format!("{value} is among them, which {name} cannot hold{cure}"),
        })
    }
}

fn values(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}
