//! The wide emitter against a direct evaluation of the kernel IR.

use super::*;
use crate::vir::{
    BinOp, Builder, Cmp, Count, FoldOp, G, GImmOp, GOp, KernelFunction, Mem, Op, UnOp, V,
};

/// Runs a kernel function on plain Rust values. Words are addresses of real memory.
pub(crate) struct Evaluator {
    lanes: usize,
    vectors: Vec<[u32; 16]>,
    words: Vec<u64>,
    /// Whether a sum of products had several NaN with different bits: which one comes out is not defined,
    /// and operations on bits may show it.
    ambiguous: bool,
    /// The addresses that were asked for ahead of time, in order.
    fetched: Vec<u64>,
}

/// What an evaluation showed besides what it wrote.
pub(crate) struct Evaluated {
    /// Whether the result is defined to the last bit.
    pub(crate) is_defined: bool,
    /// The addresses that were asked for ahead of time, in order.
    pub(crate) fetched: Vec<u64>,
}

impl Evaluator {
    /// Runs a function.
    ///
    /// # Safety
    /// Every access of the function, with these arguments, must be within live memory.
    pub(crate) unsafe fn run(function: &KernelFunction, args: &[u64]) -> Evaluated {
        let mut words = args.to_vec();
        words.resize(function.words as usize, 0);
        let lanes = function.lanes as usize;
        let vectors = vec![[0; 16]; function.vectors as usize];
        let fetched = Vec::new();
        let mut evaluator = Evaluator { lanes, vectors, words, ambiguous: false, fetched };
        // SAFETY: as the caller promises.
        unsafe { evaluator.body(&function.body) };
        Evaluated { is_defined: !evaluator.ambiguous, fetched: evaluator.fetched }
    }

    /// Notes lanes in which several operands are NaN with different bits.
    fn note_nan(&mut self, operands: &[[u32; 16]]) {
        self.ambiguous |= (0..self.lanes).any(|i| {
            let lane = operands.iter().map(|operand| operand[i]);
            let mut nan = lane.filter(|bits| f32::from_bits(*bits).is_nan());
            nan.next().is_some_and(|first| nan.any(|other| other != first))
        });
    }

    fn address(&self, mem: Mem) -> *mut u32 {
        self.words[mem.base.0 as usize].wrapping_add_signed(mem.disp.into()) as *mut u32
    }

    unsafe fn load(&self, mem: Mem, n: usize) -> [u32; 16] {
        let p = self.address(mem);
        // SAFETY: within live memory by the caller's promise.
        std::array::from_fn(|i| if i < n { unsafe { p.add(i).read_unaligned() } } else { 0 })
    }

    unsafe fn store(&self, mem: Mem, src: V, n: usize) {
        for (i, x) in self.vectors[src.0 as usize].iter().take(n).enumerate() {
            // SAFETY: within live memory by the caller's promise.
            unsafe { self.address(mem).add(i).write_unaligned(*x) }
        }
    }

    fn v(&self, v: V) -> [u32; 16] {
        self.vectors[v.0 as usize]
    }

    fn g(&self, g: G) -> u64 {
        self.words[g.0 as usize]
    }

    fn set(&mut self, dst: V, value: [u32; 16]) {
        self.vectors[dst.0 as usize] = value;
    }

    unsafe fn body(&mut self, body: &[Op]) {
        for op in body {
            // SAFETY: as the caller promises.
            unsafe { self.op(op) }
        }
    }

    unsafe fn op(&mut self, op: &Op) {
        let lanes = self.lanes;
        let fma = |a: u32, b: u32, c: u32| {
            f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits()
        };
        // SAFETY: as the caller promises, for every access below.
        unsafe {
            match *op {
                Op::Load { dst, mem } => self.set(dst, self.load(mem, lanes)),
                Op::LoadPart { dst, mem, n } => self.set(dst, self.load(mem, n.into())),
                Op::Prefetch { mem } => self.fetched.push(self.address(mem) as u64),
                Op::Broadcast { dst, mem } => self.set(dst, [self.load(mem, 1)[0]; 16]),
                Op::Store { src, mem } => self.store(mem, src, lanes),
                Op::StorePart { src, mem, n } => self.store(mem, src, n.into()),
                Op::Const { dst, bits } => self.set(dst, [bits; 16]),
                Op::Mask { dst, n } => {
                    self.set(dst, std::array::from_fn(|i| if i < n.into() { !0 } else { 0 }))
                }
                Op::FromInt { dst, src } => {
                    self.set(dst, [(self.g(src) as i64 as f32).to_bits(); 16])
                }
                Op::Mov { dst, src } => self.set(dst, self.v(src)),
                Op::Fma { acc, a, b } => {
                    let (a, b, c) = (self.v(a), self.v(b), self.v(acc));
                    self.note_nan(&[a, b, c]);
                    self.set(acc, std::array::from_fn(|i| fma(a[i], b[i], c[i])));
                }
                Op::MulAdd { dst, a, b, c } => {
                    let (a, b, c) = (self.v(a), self.v(b), self.v(c));
                    self.note_nan(&[a, b, c]);
                    self.set(dst, std::array::from_fn(|i| fma(a[i], b[i], c[i])));
                }
                Op::FmaMem { acc, a, mem } => {
                    let (a, b, c) = (self.v(a), self.load(mem, lanes), self.v(acc));
                    self.note_nan(&[a, b, c]);
                    self.set(acc, std::array::from_fn(|i| fma(a[i], b[i], c[i])));
                }
                Op::Bin { op, dst, a, b } => {
                    let (a, b) = (self.v(a), self.v(b));
                    self.set(dst, std::array::from_fn(|i| bin(op, &a, &b, i)));
                }
                Op::Un { op, dst, a } => {
                    let a = self.v(a);
                    self.set(
                        dst,
                        a.map(|x| match op {
                            UnOp::Sqrt => f32::from_bits(x).sqrt().to_bits(),
                            UnOp::Shl(n) => x << n,
                            UnOp::Shr(n) => x >> n,
                        }),
                    );
                }
                Op::Select { cmp, dst, a, b, x, y } => {
                    let (a, b, x, y) = (self.v(a), self.v(b), self.v(x), self.v(y));
                    let holds = |i: usize| {
                        let (a, b) = (f32::from_bits(a[i]), f32::from_bits(b[i]));
                        match cmp {
                            Cmp::Lt => a < b,
                            Cmp::Le => a <= b,
                            Cmp::Eq => a == b,
                            Cmp::Unordered => a.is_nan() || b.is_nan(),
                        }
                    };
                    self.set(dst, std::array::from_fn(|i| if holds(i) { x[i] } else { y[i] }));
                }
                Op::Fold { op, dst, src } => {
                    let mut x = self.v(src);
                    let op = match op {
                        FoldOp::Add => BinOp::Add,
                        FoldOp::Min => BinOp::Min,
                        FoldOp::Max => BinOp::Max,
                    };
                    let mut n = lanes;
                    while n > 1 {
                        n /= 2;
                        for i in 0..n {
                            x[i] = lane(op, x[i], x[i + n]);
                        }
                    }
                    self.set(dst, [x[0]; 16]);
                }
                Op::GConst { dst, value } => self.words[dst.0 as usize] = value as u64,
                Op::GMov { dst, src } => self.words[dst.0 as usize] = self.g(src),
                Op::GBin { op, dst, a, b } => {
                    let (a, b) = (self.g(a), self.g(b));
                    self.words[dst.0 as usize] = match op {
                        GOp::Add => a.wrapping_add(b),
                        GOp::Sub => a.wrapping_sub(b),
                        GOp::Mul => a.wrapping_mul(b),
                        GOp::Min => (a as i64).min(b as i64) as u64,
                        GOp::Max => (a as i64).max(b as i64) as u64,
                    };
                }
                Op::GImm { op, dst, a, imm } => {
                    let a = self.g(a);
                    self.words[dst.0 as usize] = match op {
                        GImmOp::Add => a.wrapping_add(imm as u64),
                        GImmOp::Mul => a.wrapping_mul(imm as u64),
                        GImmOp::Shl => a << imm,
                        GImmOp::Shr => a >> imm,
                    };
                }
                Op::GSelect { dst, a, b, x, y } => {
                    let less = self.g(a) < self.g(b);
                    self.words[dst.0 as usize] = if less { self.g(x) } else { self.g(y) };
                }
                Op::GLoad { dst, mem } => {
                    let p = self.address(mem) as *const u64;
                    self.words[dst.0 as usize] = p.read_unaligned();
                }
                Op::GLoad32 { dst, mem } => {
                    self.words[dst.0 as usize] = self.address(mem).read_unaligned().into();
                }
                Op::GStore { src, mem } => {
                    (self.address(mem) as *mut u64).write_unaligned(self.g(src));
                }
                Op::Clock { dst } => self.words[dst.0 as usize] = crate::laps::ticks(),
                Op::Loop { count, ref body } => {
                    let n = match count {
                        Count::Static(n) => n.into(),
                        Count::Reg(g) => self.g(g),
                    };
                    for _ in 0..n {
                        self.body(body);
                    }
                }
            }
        }
    }
}

/// The lane `i` of the result.
fn bin(op: BinOp, a: &[u32; 16], b: &[u32; 16], i: usize) -> u32 {
    let group = i / 4 * 4;
    let from = |lanes: [usize; 4], of: [bool; 4]| {
        let source = if of[i % 4] { b } else { a };
        source[group + lanes[i % 4]]
    };
    match op {
        BinOp::ZipLow => from([0, 0, 1, 1], [false, true, false, true]),
        BinOp::ZipHigh => from([2, 2, 3, 3], [false, true, false, true]),
        BinOp::PairLow => from([0, 1, 0, 1], [false, false, true, true]),
        BinOp::PairHigh => from([2, 3, 2, 3], [false, false, true, true]),
        _ => lane(op, a[i], b[i]),
    }
}

/// Of operations lane by lane.
fn lane(op: BinOp, a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    match op {
        BinOp::Add => (x + y).to_bits(),
        BinOp::Sub => (x - y).to_bits(),
        BinOp::Mul => (x * y).to_bits(),
        BinOp::Div => (x / y).to_bits(),
        BinOp::Min => (if x < y { x } else { y }).to_bits(),
        BinOp::Max => (if x > y { x } else { y }).to_bits(),
        BinOp::And => a & b,
        BinOp::Or => a | b,
        BinOp::Xor => a ^ b,
        BinOp::IAdd => a.wrapping_add(b),
        BinOp::ISub => a.wrapping_sub(b),
        BinOp::ZipLow | BinOp::ZipHigh | BinOp::PairLow | BinOp::PairHigh => unreachable!(),
    }
}

/// A small generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Floats at the start of the memory that kernels read, and floats that they may write.
const READ: usize = 96;
const WRITE: usize = 512;

/// Parameters: read memory, write memory, a small count.
fn random_function(seed: u64, lanes: u32) -> KernelFunction {
    let mut random = Random(seed);
    let mut b = Builder::new(format!("random_{seed}"), 3, lanes);
    let vectors: Vec<V> = (0..4 + random.below(24)).map(|i| b.splat(i as f32 - 3.5)).collect();
    let words: Vec<G> = (0..3 + random.below(12)).map(|i| b.g_const(i as i64 * 4)).collect();
    let cursor = b.g_copy(G(1));
    block(&mut b, &mut random, &vectors, &words, cursor, 2);
    for (i, v) in vectors.iter().enumerate() {
        b.store(*v, G(1), (i as u32 * lanes * 4) as i32);
    }
    b.finish()
}

fn block(
    b: &mut Builder,
    random: &mut Random,
    vectors: &[V],
    words: &[G],
    cursor: G,
    depth: usize,
) {
    let lanes = b.lanes() as u64;
    for _ in 0..6 + random.below(10) {
        let any = |r: &mut Random| vectors[r.below(vectors.len() as u64) as usize];
        let (d, x, y) = (any(random), any(random), any(random));
        let word = |r: &mut Random| words[r.below(words.len() as u64) as usize];
        let (gd, gx, gy) = (word(random), word(random), word(random));
        let mem = Mem { base: G(0), disp: 4 * random.below((READ as u64) - lanes) as i32 };
        let part = (1 + random.below(lanes - 1)) as u8;
        let bins = [
            BinOp::Add,
            BinOp::Sub,
            BinOp::Mul,
            BinOp::Div,
            BinOp::Min,
            BinOp::Max,
            BinOp::And,
            BinOp::Or,
            BinOp::Xor,
            BinOp::IAdd,
            BinOp::ISub,
            BinOp::ZipLow,
            BinOp::ZipHigh,
            BinOp::PairLow,
            BinOp::PairHigh,
        ];
        match random.below(28) {
            0 => b.push(Op::Load { dst: d, mem }),
            1 => b.push(Op::LoadPart { dst: d, mem, n: part }),
            2 => b.push(Op::Broadcast { dst: d, mem }),
            3 => b.push(Op::Fma { acc: d, a: x, b: y }),
            4 => b.push(Op::FmaMem { acc: d, a: x, mem }),
            5..=9 => b.push(Op::Bin {
                op: bins[random.below(bins.len() as u64) as usize],
                dst: d,
                a: x,
                b: y,
            }),
            10 => b.push(Op::Un { op: UnOp::Shl(1 + part % 8), dst: d, a: x }),
            11 => b.push(Op::Un { op: UnOp::Shr(1 + part % 8), dst: d, a: x }),
            12 => b.push(Op::Un { op: UnOp::Sqrt, dst: d, a: x }),
            13 | 14 => {
                let cmp = [Cmp::Lt, Cmp::Le, Cmp::Eq, Cmp::Unordered][random.below(4) as usize];
                let (l, r) = (any(random), any(random));
                b.push(Op::Select { cmp, dst: d, a: l, b: r, x, y });
            }
            15 => {
                let op = [FoldOp::Add, FoldOp::Min, FoldOp::Max][random.below(3) as usize];
                b.push(Op::Fold { op, dst: d, src: x });
            }
            16 => b.push(Op::Mov { dst: d, src: x }),
            17 => b.push(Op::Mask { dst: d, n: part }),
            18 => b.push(Op::FromInt { dst: d, src: gx }),
            19 => {
                let op = [GOp::Add, GOp::Sub, GOp::Mul, GOp::Min, GOp::Max][part as usize % 5];
                b.push(Op::GBin { op, dst: gd, a: gx, b: gy });
            }
            20 => {
                let op = [GImmOp::Add, GImmOp::Mul, GImmOp::Shl, GImmOp::Shr][part as usize % 4];
                let imm = match op {
                    GImmOp::Shl | GImmOp::Shr => i64::from(part),
                    _ if part.is_multiple_of(3) => 0x1_2345_6789,
                    _ => -17,
                };
                b.push(Op::GImm { op, dst: gd, a: gx, imm });
            }
            21 => {
                let (l, r) = (word(random), word(random));
                b.push(Op::GSelect { dst: gd, a: l, b: r, x: gx, y: gy });
            }
            22 => b.push(Op::GLoad32 { dst: gd, mem }),
            23 => {
                // A store through a pointer that a loop moves.
                b.push(Op::StorePart { src: x, mem: Mem { base: cursor, disp: 1200 }, n: part });
                b.push(Op::GImm { op: GImmOp::Add, dst: cursor, a: cursor, imm: 4 });
            }
            26 => b.push(Op::MulAdd { dst: d, a: x, b: y, c: any(random) }),
            25 => b.push(Op::Prefetch { mem }),
            24 => b.push(Op::GStore { src: gx, mem: Mem { base: G(1), disp: 1984 } }),
            _ if depth > 0 => {
                let count = match random.below(4) {
                    0 => Count::Reg(G(2)),
                    n => Count::Static(n as u32),
                };
                b.repeat(count, |b| block(b, random, vectors, words, cursor, depth - 1));
            }
            _ => b.push(Op::GMov { dst: gd, src: gx }),
        }
    }
}

fn call(code: &WideCode, args: &[u64; 3]) {
    use std::os::raw::c_void;
    let len = code.bytes.len();
    // SAFETY: a private mapping of its own, filled before it becomes executable; the code is that of
    // a function of three words by the C calling convention.
    unsafe {
        let p = libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(p, libc::MAP_FAILED);
        std::ptr::copy_nonoverlapping(code.bytes.as_ptr(), p as *mut u8, len);
        assert_eq!(libc::mprotect(p, len, libc::PROT_READ | libc::PROT_EXEC), 0);
        let f = std::mem::transmute::<*mut c_void, extern "C" fn(u64, u64, u64)>(p);
        f(args[0], args[1], args[2]);
        libc::munmap(p, len);
    }
}

fn agree(function: &KernelFunction, isa: WideIsa, count: u64) {
    let code = emit(function, isa).unwrap_or_else(|e| panic!("{e}\n{function}"));
    let mut random = Random(count);
    let read: Vec<f32> = (0..READ).map(|_| random.below(2000) as f32 / 250.0 - 4.0).collect();
    let (mut expected, mut got) = (vec![0u32; WRITE], vec![0u32; WRITE]);
    // SAFETY: generated functions stay within `READ` and `WRITE` values.
    let evaluated = unsafe {
        let args = [read.as_ptr() as u64, expected.as_mut_ptr() as u64, count];
        Evaluator::run(function, &args)
    };
    call(&code, &[read.as_ptr() as u64, got.as_mut_ptr() as u64, count]);
    for (i, (e, g)) in expected.iter().zip(&got).enumerate() {
        // Which NaN an operation makes is not defined.
        let both_nan = f32::from_bits(*e).is_nan() && f32::from_bits(*g).is_nan();
        assert!(
            !evaluated.is_defined || e == g || both_nan,
            "word {i}: {e:08x} and {g:08x}, count {count}\n{function}"
        );
    }
}

fn available() -> Vec<WideIsa> {
    [WideIsa::Avx2, WideIsa::Avx512]
        .into_iter()
        .filter(|isa| {
            let ok = isa.is_available();
            if !ok {
                println!("skipped: this machine has no {}", isa.name());
            }
            ok
        })
        .collect()
}

#[test]
fn random_functions_agree_with_their_evaluation() {
    for isa in available() {
        for seed in 0..600 {
            let function = random_function(seed, isa.lanes());
            for count in [0, 3] {
                agree(&function, isa, count);
            }
        }
    }
}

/// `rows` x `vectors` accumulators over `k` products: the inner loop of a matrix product.
fn tile(rows: i32, vectors: i32, lanes: u32) -> KernelFunction {
    let mut b = Builder::new("tile", 3, lanes);
    let bytes = b.vector_bytes();
    let acc: Vec<V> = (0..rows * vectors).map(|_| b.splat(0.0)).collect();
    let (a, w) = (b.g_copy(G(0)), b.g_copy(G(0)));
    b.times(3, |b| {
        let columns: Vec<V> = (0..vectors).map(|v| b.load(w, v * bytes)).collect();
        for r in 0..rows {
            let x = b.broadcast(a, 4 * r);
            for (v, column) in columns.iter().enumerate() {
                b.fma(acc[r as usize * vectors as usize + v], x, *column);
            }
        }
        b.g_advance(a, 4);
        b.g_advance(w, 4);
    });
    for (i, v) in acc.iter().enumerate() {
        b.store(*v, G(1), (i as i32 % 4) * bytes);
    }
    b.finish()
}

#[test]
fn tiles_of_matrix_products_do_not_spill() {
    for (isa, tiles) in
        [(WideIsa::Avx2, [(6, 2), (5, 2), (4, 3)]), (WideIsa::Avx512, [(12, 2), (14, 2), (8, 3)])]
    {
        for (rows, vectors) in tiles {
            let code = emit(&tile(rows, vectors, isa.lanes()), isa).unwrap();
            assert_eq!(code.spills, 0, "{rows}x{vectors} {}", isa.name());
        }
    }
    for isa in available() {
        agree(&tile(5, 2, isa.lanes()), isa, 0);
    }
}

/// Encodings can be checked where the machine cannot run them.
#[test]
fn code_decodes_to_whole_instructions() {
    use iced_x86::{Decoder, DecoderOptions, Register};
    for isa in [WideIsa::Avx2, WideIsa::Avx512] {
        for seed in 0..100 {
            let code = emit(&random_function(seed, isa.lanes()), isa).unwrap();
            let mut decoder = Decoder::new(64, &code.bytes[..code.code_len], DecoderOptions::NONE);
            let mut last = None;
            for instruction in &mut decoder {
                assert!(!instruction.is_invalid(), "{} seed {seed}", isa.name());
                if isa == WideIsa::Avx2 {
                    // The first byte of every EVEX encoding.
                    assert_ne!(code.bytes[instruction.ip() as usize], 0x62);
                }
                let target = instruction.near_branch_target();
                assert!(target <= code.code_len as u64);
                if instruction.memory_base() == Register::RIP {
                    let place = instruction.memory_displacement64() as usize;
                    assert!((code.code_len..code.bytes.len()).contains(&place));
                }
                last = Some(instruction);
            }
            assert_eq!(last.map(|i| i.mnemonic()), Some(iced_x86::Mnemonic::Ret));
        }
    }
}

#[test]
fn what_cannot_be_emitted_says_why() {
    let error = emit(&Builder::new("narrow", 1, 4).finish(), WideIsa::Avx2).unwrap_err();
    assert_eq!(error.to_string(), "kernel `narrow` has 4 lanes, avx2 code has 8");
    let error = emit(&Builder::new("many", 7, 8).finish(), WideIsa::Avx2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel `many` has 7 parameters; at most 6 are passed in registers"
    );
}
