//! Checks that a program is consistent before code is made of it, so that the code need not look.

use crate::buffer::ALIGN;
use crate::error::CodegenError;
use crate::operands::{Role, operands};
use crate::program::{Kernel, Place, Program};

/// Most inputs and outputs together.
pub const MAX_BUFFERS: usize = 256;

/// Indices in the weights that steps read through; checked before running.
pub struct Table {
    /// Byte offset in the weights.
    pub offset: usize,
    /// Number of indices.
    pub count: usize,
    /// Bytes between indices.
    pub stride: usize,
    /// What they must be below.
    pub limit: usize,
}

/// Checks a program: kernels, operands and places fit together. Returns its index tables.
pub fn check(program: &Program) -> Result<Vec<Table>, CodegenError> {
    let fail =
        |message: String| Err(CodegenError::Program { program: program.name.clone(), message });
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if program.name.is_empty() || !program.name.chars().all(is_name) {
        return fail("its name is not a C identifier".into());
    }
    if program.inputs.len() + program.outputs.len() > MAX_BUFFERS {
        return fail(format!("more than {MAX_BUFFERS} inputs and outputs"));
    }
    let even = |bytes: &usize| bytes.is_multiple_of(program.rounds.max(1));
    if program.rounds == 0 || !program.outputs.iter().chain(&program.inputs).all(even) {
        return fail(format!("its buffers do not make {} rounds", program.rounds));
    }
    let part = |bytes: &usize| bytes / program.rounds;
    let kernels = program.kernels.iter().map(operands).collect::<Result<Vec<_>, CodegenError>>()?;
    let mut tables = Vec::new();
    for step in &program.steps {
        let Some(expected) = kernels.get(step.kernel) else {
            return fail(format!("step `{}` has no kernel {}", step.name, step.kernel));
        };
        if expected.len() != step.args.len() {
            return fail(format!(
                "step `{}` has {} operands, its kernel takes {}",
                step.name,
                step.args.len(),
                expected.len()
            ));
        }
        for (i, (place, operand)) in step.args.iter().zip(expected).enumerate() {
            let (buffer, offset) = match *place {
                Place::Input(n) => (program.inputs.get(n).map(part), 0),
                Place::Output(n) => (program.outputs.get(n).map(part), 0),
                Place::Arena(offset) => (Some(program.arena_bytes), offset),
                Place::Weights(offset) => (Some(program.weights_bytes), offset),
            };
            let fits = buffer
                .is_some_and(|b| offset.checked_add(operand.bytes).is_some_and(|end| end <= b));
            if !fits || offset % ALIGN != 0 {
                return fail(format!(
                    "operand {i} of step `{}` ({} bytes at {place:?}) does not fit its buffer",
                    step.name, operand.bytes
                ));
            }
            let writable = matches!(place, Place::Output(_) | Place::Arena(_));
            if operand.role == Role::Output && !writable {
                return fail(format!("step `{}` writes to {place:?}", step.name));
            }
        }
        tables.extend(index_tables(&program.kernels[step.kernel], &step.args));
        if matches!(
            (&program.kernels[step.kernel], step.args.get(1)),
            (Kernel::Gather { .. } | Kernel::Resize(_), Some(place)) if !matches!(place, Place::Weights(_))
        ) {
            return fail(format!("the indices of step `{}` are not in the weights", step.name));
        }
    }
    Ok(tables)
}

/// The indices in the weights that a step reads through.
fn index_tables(kernel: &Kernel, args: &[Place]) -> Vec<Table> {
    let Some(Place::Weights(offset)) = args.get(1) else { return vec![] };
    match kernel {
        Kernel::Gather { len, count, .. } => {
            vec![Table { offset: *offset, count: *count, stride: 4, limit: *len }]
        }
        Kernel::Resize(r) => {
            let rows = r.out_h * r.taps_h;
            vec![
                Table { offset: *offset, count: rows, stride: 8, limit: r.in_h },
                Table {
                    offset: offset + rows * 8,
                    count: r.out_w * r.taps_w,
                    stride: 8,
                    limit: r.in_w,
                },
            ]
        }
        _ => vec![],
    }
}

/// Checks the indices in the weights, through which kernels read without looking.
pub fn check_tables(tables: &[Table], weights: &[u8]) -> Result<(), CodegenError> {
    for table in tables {
        let entries = weights[table.offset..].chunks(table.stride).take(table.count);
        for entry in entries {
            let index = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            if index as usize >= table.limit {
                return Err(CodegenError::Buffer {
                    what: "weights".into(),
                    message: format!(
                        "index {index} at byte {}, where there are {} rows; the weights were \
                         packed for another program, or are damaged",
                        table.offset, table.limit
                    ),
                });
            }
        }
    }
    Ok(())
}
