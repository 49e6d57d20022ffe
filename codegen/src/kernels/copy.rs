//! Strided copies and gathers. Operands: `x`, [the indices,] `out`.

use super::conv::copy_values;
use super::{BuiltKernel, Target, begin, each_unit, indices, scaled};
use crate::program::CopyKernel;
use crate::vir::{Builder, G, GOp};

/// Values that a unit should have.
const UNIT: usize = 4096;

/// Builds a strided copy. A unit is the inner axes for one index of the outer ones.
pub fn build(c: &CopyKernel, name: &str, target: &Target) -> BuiltKernel {
    let mut c = c.clone();
    if c.shape.is_empty() {
        c.shape.push(1);
        c.x_strides.push(0);
        c.out_strides.push(0);
    }
    let c = &c;
    let rank = c.shape.len();
    let mut outer = rank - 1;
    let mut inner = c.shape[rank - 1];
    while outer > 0 && inner * c.shape[outer - 1] <= UNIT {
        outer -= 1;
        inner *= c.shape[outer];
    }
    let units: usize = c.shape[..outer].iter().product();
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &c.shape[..outer]);
        let x = params.operand(b, 0);
        let x = b.g_imm(crate::vir::GImmOp::Add, x, c.x_offset as i64 * 4);
        let out = params.operand(b, 1);
        let out = b.g_imm(crate::vir::GImmOp::Add, out, c.out_offset as i64 * 4);
        for (axis, index) in index.iter().enumerate() {
            let bytes = b.g_imm(crate::vir::GImmOp::Mul, *index, c.x_strides[axis] as i64 * 4);
            b.g_bin_to(GOp::Add, x, x, bytes);
            let bytes = scaled(b, *index, c.out_strides[axis] * 4);
            b.g_bin_to(GOp::Add, out, out, bytes);
        }
        nest(b, c, x, out, outer);
    });
    let total: usize = c.shape.iter().product();
    BuiltKernel { function: b.finish(), units, scratch: 0, cost: total as u64 * 2 / 5 }
}

fn nest(b: &mut Builder, c: &CopyKernel, x: G, out: G, axis: usize) {
    let (from, to) = (b.g_copy(x), b.g_copy(out));
    if axis + 1 == c.shape.len() {
        return row(b, c, from, to);
    }
    b.times(c.shape[axis], |b| {
        nest(b, c, from, to, axis + 1);
        b.g_advance(from, c.x_strides[axis] as i64 * 4);
        b.g_advance(to, c.out_strides[axis] as i64 * 4);
    });
}

/// The last axis; both pointers move.
fn row(b: &mut Builder, c: &CopyKernel, from: G, to: G) {
    let last = c.shape.len() - 1;
    let (n, x_stride, out_stride) = (c.shape[last], c.x_strides[last], c.out_strides[last]);
    let constant = match c.fill {
        Some(bits) => Some(b.splat_bits(bits)),
        None if x_stride == 0 => Some(b.broadcast(from, 0)),
        None => None,
    };
    if out_stride == 1 || n == 1 {
        if let Some(value) = constant {
            let whole = n / b.lanes();
            b.times(whole, |b| {
                b.store(value, to, 0);
                b.g_advance(to, b.vector_bytes() as i64);
            });
            let rest = n % b.lanes();
            if rest > 0 {
                b.store_n(value, to, 0, rest);
            }
            return;
        }
        if x_stride == 1 || n == 1 {
            return copy_values(b, from, to, n);
        }
    }
    let one = |b: &mut Builder| {
        let value = constant.unwrap_or_else(|| b.load_n(from, 0, 1));
        b.store_n(value, to, 0, 1);
        b.g_advance(from, x_stride as i64 * 4);
        b.g_advance(to, out_stride as i64 * 4);
    };
    b.times(n / 4, |b| (0..4).for_each(|_| one(b)));
    (0..n % 4).for_each(|_| one(b));
}

/// Builds a gather of rows: `[outer, len, inner]` to `[outer, count, inner]`. A unit is one row,
/// or all rows of one outer index if they are short.
pub fn build_gather(
    [outer, len, inner, count]: [usize; 4],
    name: &str,
    target: &Target,
) -> BuiltKernel {
    let together = if inner * count <= UNIT { count } else { 1 };
    let groups = count / together;
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[outer, groups]);
        let x = params.operand(b, 0);
        let x = b.g_address(x, index[0], (len * inner * 4) as i64, 0);
        let table = params.operand(b, 1);
        let table = b.g_address(table, index[1], together as i64 * 4, 0);
        let out = params.operand(b, 2);
        let out = b.g_address(out, unit, (together * inner * 4) as i64, 0);
        b.times(together, |b| {
            let row = b.g_load32(table, 0);
            let from = b.g_address(x, row, inner as i64 * 4, 0);
            let to = b.g_copy(out);
            copy_values(b, from, to, inner);
            b.g_advance(table, 4);
            b.g_advance(out, inner as i64 * 4);
        });
    });
    let values = (outer * count * inner) as u64;
    BuiltKernel { function: b.finish(), units: outer * groups, scratch: 0, cost: values * 2 / 5 }
}
