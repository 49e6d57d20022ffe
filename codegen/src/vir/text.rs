//! The text form of kernel functions, one operation a line, loops indented.

use super::{BinOp, Cmp, Count, FoldOp, G, GImmOp, GOp, KernelFunction, Mem, Op, UnOp, V};
use std::fmt;

impl fmt::Display for V {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Display for G {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

impl fmt::Display for Mem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.disp {
            0 => write!(f, "[{}]", self.base),
            disp => write!(f, "[{}{disp:+}]", self.base),
        }
    }
}

impl fmt::Display for KernelFunction {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let params: Vec<String> = (0..self.params).map(|i| G(i).to_string()).collect();
        writeln!(f, "kernel {}({}) lanes {} {{", self.name, params.join(", "), self.lanes)?;
        body(f, &self.body, 1)?;
        writeln!(f, "}}")
    }
}

fn body(f: &mut fmt::Formatter, ops: &[Op], depth: usize) -> fmt::Result {
    for op in ops {
        write!(f, "{:1$}", "", 2 * depth)?;
        if let Op::Loop { count, body: inner } = op {
            match count {
                Count::Static(n) => writeln!(f, "loop {n} {{")?,
                Count::Reg(g) => writeln!(f, "loop {g} {{")?,
            }
            body(f, inner, depth + 1)?;
            writeln!(f, "{:1$}}}", "", 2 * depth)?;
        } else {
            writeln!(f, "{op}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Op::Prefetch { mem } => write!(f, "prefetch {mem}"),
            Op::Load { dst, mem } => write!(f, "{dst} = load {mem}"),
            Op::LoadPart { dst, mem, n } => write!(f, "{dst} = load.{n} {mem}"),
            Op::Broadcast { dst, mem } => write!(f, "{dst} = broadcast {mem}"),
            Op::Store { src, mem } => write!(f, "store {mem}, {src}"),
            Op::StorePart { src, mem, n } => write!(f, "store.{n} {mem}, {src}"),
            Op::Const { dst, bits } => {
                write!(f, "{dst} = const {:?} (0x{bits:08x})", f32::from_bits(*bits))
            }
            Op::Mask { dst, n } => write!(f, "{dst} = mask {n}"),
            Op::FromInt { dst, src } => write!(f, "{dst} = float {src}"),
            Op::Mov { dst, src } => write!(f, "{dst} = {src}"),
            Op::MulAdd { dst, a, b, c } => write!(f, "{dst} = {a} * {b} + {c}"),
            Op::Fma { acc, a, b } => write!(f, "{acc} += {a} * {b}"),
            Op::FmaMem { acc, a, mem } => write!(f, "{acc} += {a} * {mem}"),
            Op::Bin { op, dst, a, b } => write!(f, "{dst} = {} {a}, {b}", bin(*op)),
            Op::Un { op: UnOp::Sqrt, dst, a } => write!(f, "{dst} = sqrt {a}"),
            Op::Un { op: UnOp::Shl(n), dst, a } => write!(f, "{dst} = shl {a}, {n}"),
            Op::Un { op: UnOp::Shr(n), dst, a } => write!(f, "{dst} = shr {a}, {n}"),
            Op::Select { cmp, dst, a, b, x, y } => {
                let cmp = match cmp {
                    Cmp::Lt => "lt",
                    Cmp::Le => "le",
                    Cmp::Eq => "eq",
                    Cmp::Unordered => "unordered",
                };
                write!(f, "{dst} = select {cmp} {a}, {b} ? {x} : {y}")
            }
            Op::Fold { op, dst, src } => {
                let op = match op {
                    FoldOp::Add => "add",
                    FoldOp::Min => "min",
                    FoldOp::Max => "max",
                };
                write!(f, "{dst} = fold.{op} {src}")
            }
            Op::GConst { dst, value } => write!(f, "{dst} = {value}"),
            Op::GMov { dst, src } => write!(f, "{dst} = {src}"),
            Op::GBin { op, dst, a, b } => {
                let op = match op {
                    GOp::Add => "add",
                    GOp::Sub => "sub",
                    GOp::Mul => "mul",
                    GOp::Min => "min",
                    GOp::Max => "max",
                };
                write!(f, "{dst} = {op} {a}, {b}")
            }
            Op::GImm { op, dst, a, imm } => {
                let op = match op {
                    GImmOp::Add => "add",
                    GImmOp::Mul => "mul",
                    GImmOp::Shl => "shl",
                    GImmOp::Shr => "shr",
                };
                write!(f, "{dst} = {op} {a}, {imm}")
            }
            Op::GSelect { dst, a, b, x, y } => write!(f, "{dst} = {a} < {b} ? {x} : {y}"),
            Op::GLoad { dst, mem } => write!(f, "{dst} = word {mem}"),
            Op::GLoad32 { dst, mem } => write!(f, "{dst} = word32 {mem}"),
            Op::GStore { src, mem } => write!(f, "word {mem}, {src}"),
            Op::Clock { dst } => write!(f, "{dst} = clock"),
            Op::Loop { count, body } => write!(f, "loop {count:?} of {} operations", body.len()),
        }
    }
}

fn bin(op: BinOp) -> &'static str {
    match op {
        BinOp::Add => "add",
        BinOp::Sub => "sub",
        BinOp::Mul => "mul",
        BinOp::Div => "div",
        BinOp::Min => "min",
        BinOp::Max => "max",
        BinOp::And => "and",
        BinOp::Or => "or",
        BinOp::Xor => "xor",
        BinOp::IAdd => "iadd",
        BinOp::ISub => "isub",
        BinOp::ZipLow => "zip_low",
        BinOp::ZipHigh => "zip_high",
        BinOp::PairLow => "pair_low",
        BinOp::PairHigh => "pair_high",
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn loops_are_indented() {
        let mut b = Builder::new("sum", 2, 8);
        let acc = b.splat(0.0);
        b.times(3, |b| {
            let x = b.load_n(G(0), -4, 5);
            b.bin_to(BinOp::Add, acc, acc, x);
            b.g_advance(G(0), 32);
        });
        let total = b.fold(FoldOp::Add, acc);
        b.store_n(total, G(1), 0, 1);
        assert_eq!(
            b.finish().to_string(),
            "kernel sum(g0, g1) lanes 8 {\n  v0 = const 0.0 (0x00000000)\n  loop 3 {\n    \
             v1 = load.5 [g0-4]\n    v0 = add v0, v1\n    g0 = add g0, 32\n  }\n  \
             v2 = fold.add v0\n  store.1 [g1], v2\n}\n"
        );
    }
}
