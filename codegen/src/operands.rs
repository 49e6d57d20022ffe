//! The operands of kernels: what they are and how far they reach, checked.

use crate::error::CodegenError;
use crate::kernels::bytes::LEVELS;
use crate::kernels::widen::BLOCK;
use crate::name;
use crate::pack;
use crate::program::{
    AttentionKernel, ChainKernel, ConvKernel, CopyKernel, Kernel, MapKernel, MatMulKernel, Operand,
    PoolKernel, Post, WinogradKernel,
};

/// Byte offsets within an operand fit in 31 bits.
const LIMIT: u128 = 1 << 31;
/// Axes of an iteration space.
const MAX_RANK: usize = 16;
/// Steps of an epilogue.
const MAX_POSTS: usize = 64;

/// What a kernel does with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads a value.
    Input,
    /// Reads packed weights or a table: see [`crate::pack`] and [`Kernel`].
    Weights,
    /// Writes its result.
    Output,
    /// Asks the caches to hold it, for later steps.
    Ahead,
}

/// An operand of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandInfo {
    /// What the kernel does with it.
    pub role: Role,
    /// Bytes from its start that the kernel may touch.
    pub bytes: usize,
}

/// The operands of a kernel in order. Fails if the descriptor has a size of 0, contradicts itself,
/// or reaches beyond 2 GiB.
pub fn operands(kernel: &Kernel) -> Result<Vec<OperandInfo>, CodegenError> {
    list(kernel).map_err(|message| CodegenError::Kernel { kernel: name::kernel(kernel), message })
}

type Checked<T> = Result<T, String>;

fn list(kernel: &Kernel) -> Checked<Vec<OperandInfo>> {
    let mut result = List(Vec::new());
    match kernel {
        Kernel::Conv(c) => {
            check_conv(c)?;
            result.conv(c, pack::conv_bytes(c)?)?;
            result.ahead(c)?;
        }
        Kernel::Rows(c) => {
            check_conv(c)?;
            check_stays(c)?;
            result.conv(c, pack::conv_bytes(c)?)?;
        }
        Kernel::Chain(chain) => {
            check_chain(chain)?;
            result.chain(chain)?;
        }
        Kernel::Winograd(w) => {
            check_winograd(w)?;
            result.conv(&w.conv, pack::winograd::bytes(w))?;
        }
        Kernel::MatMul(m) => {
            check_matmul(m)?;
            let bytes = |batch: &[usize], sizes: [usize; 2], strides: [usize; 2]| {
                strided_bytes(m.batch.iter().zip(batch).chain(sizes.iter().zip(&strides)))
            };
            result.raw(Role::Input, bytes(&m.a_batch, [m.m, m.k], m.a_strides))?;
            result.raw(Role::Input, bytes(&m.b_batch, [m.k, m.n], m.b_strides))?;
            let mut out = m.batch.clone();
            out.extend([m.m, m.n]);
            result.add(Role::Output, &out)?;
            result.epilogue(&m.epilogue, &out, None)?;
        }
        Kernel::Attention(a) => {
            check_attention(a)?;
            let bytes = |strides: &[usize], matrix: [usize; 2]| {
                strided_bytes(a.batch.iter().chain(&matrix).zip(strides))
            };
            result.raw(Role::Input, bytes(&a.q, [a.queries, a.width]))?;
            result.raw(Role::Input, bytes(&a.k, [a.keys, a.width]))?;
            result.raw(Role::Input, bytes(&a.v, [a.keys, a.out_width]))?;
            result.raw(Role::Output, bytes(&a.out, [a.queries, a.out_width]))?;
            for strides in &a.operands {
                result.raw(Role::Input, bytes(strides, [a.queries, a.keys]))?;
            }
        }
        Kernel::Map(m) => {
            check_map(m)?;
            for strides in &m.strides {
                result.raw(Role::Input, strided_bytes(m.shape.iter().zip(strides)))?;
            }
            result.add(Role::Output, &m.shape)?;
        }
        Kernel::Pool(p) => {
            check_pool(p)?;
            result.add(Role::Input, &[p.batch, p.in_h, p.in_w, p.channels])?;
            let out = [p.batch, p.out_h, p.out_w, p.channels];
            result.add(Role::Output, &out)?;
            result.epilogue(&p.epilogue, &out, Some(p.batch))?;
        }
        Kernel::Reduce(r) => {
            result.add(Role::Input, &[r.outer, r.len, r.inner])?;
            let out = [r.outer, r.inner];
            result.add(Role::Output, &out)?;
            result.epilogue(&r.epilogue, &out, Some(r.outer))?;
        }
        Kernel::Softmax { outer, len, inner } => {
            result.add(Role::Input, &[*outer, *len, *inner])?;
            result.add(Role::Output, &[*outer, *len, *inner])?;
        }
        Kernel::LayerNorm { rows, len, affine, epilogue, .. } => {
            result.add(Role::Input, &[*rows, *len])?;
            if *affine {
                result.add(Role::Input, &[*len])?;
                result.add(Role::Input, &[*len])?;
            }
            result.add(Role::Output, &[*rows, *len])?;
            result.epilogue(epilogue, &[*rows, *len], None)?;
        }
        Kernel::Copy(c) => {
            let [x, out] = copy_reach(c)?;
            result.raw(Role::Input, x)?;
            result.raw(Role::Output, out)?;
        }
        Kernel::Gather { outer, len, inner, count } => {
            result.add(Role::Input, &[*outer, *len, *inner])?;
            result.add(Role::Weights, &[*count])?;
            result.add(Role::Output, &[*outer, *count, *inner])?;
        }
        Kernel::Resize(r) => {
            result.add(Role::Input, &[r.batch, r.in_h, r.in_w, r.channels])?;
            positive(&[r.taps_h, r.taps_w])?;
            let table = r.out_h as u128 * r.taps_h as u128 + r.out_w as u128 * r.taps_w as u128;
            result.raw(Role::Weights, table * 8)?;
            result.add(Role::Output, &[r.batch, r.out_h, r.out_w, r.channels])?;
        }
        Kernel::Bytes(b) => {
            positive(&[b.batch, b.pixels, b.channels])?;
            let image = product(&[b.pixels as u128, b.channels as u128]);
            if image < 4 {
                return Err("images of less than 4 bytes".into());
            }
            result.raw(Role::Input, product(&[b.batch as u128, image]))?;
            result.add(Role::Weights, &[b.channels, LEVELS])?;
            result.add(Role::Output, &[b.batch, b.channels, b.pixels])?;
        }
        Kernel::Scale(s) => {
            positive(&[s.inputs, s.outputs])?;
            let packed = pack::panels_bytes(s.inputs as u128, s.outputs);
            result.add(Role::Input, &[s.inputs])?;
            result.raw(Role::Weights, packed)?;
            result.raw(Role::Output, packed)?;
        }
        Kernel::Widen(w) => {
            positive(&[w.values])?;
            if w.values % BLOCK != 0 {
                return Err(format!("{} values are no whole blocks of {BLOCK}", w.values));
            }
            result.raw(Role::Weights, w.values as u128 * 2)?;
            result.add(Role::Output, &[w.values])?;
        }
    }
    Ok(result.0)
}

struct List(Vec<OperandInfo>);

impl List {
    fn raw(&mut self, role: Role, bytes: u128) -> Checked<()> {
        if bytes >= LIMIT {
            return Err(format!("an operand of {bytes} bytes; the limit is 2 GiB"));
        }
        self.0.push(OperandInfo { role, bytes: bytes as usize });
        Ok(())
    }

    fn add(&mut self, role: Role, shape: &[usize]) -> Checked<()> {
        positive(shape)?;
        // Saturating: a product too large for 128 bits is beyond the limit all the same.
        let values = shape.iter().fold(4u128, |n, x| n.saturating_mul(*x as u128));
        self.raw(role, values)
    }

    fn conv(&mut self, c: &ConvKernel, weights: u128) -> Checked<()> {
        self.add(Role::Input, &[c.batch, c.in_h, c.in_w, c.in_c])?;
        self.raw(Role::Weights, weights)?;
        let out = [c.batch, c.out_h, c.out_w, c.out_c];
        self.add(Role::Output, &out)?;
        self.conv_epilogue(c)
    }

    /// The epilogue's operands of a convolution, the sums of its rows last.
    fn conv_epilogue(&mut self, c: &ConvKernel) -> Checked<()> {
        let (posts, sums) = match c.epilogue.split_last() {
            Some((Post::RowSums, posts)) => (posts, true),
            _ => (&c.epilogue[..], false),
        };
        self.epilogue(posts, &[c.batch, c.out_h, c.out_w, c.out_c], Some(c.batch))?;
        match (sums, c.is_depthwise()) {
            (false, _) => Ok(()),
            (true, true) => self.add(Role::Output, &[c.batch, c.out_h, c.out_c]),
            (true, false) => Err("only depthwise convolutions sum their rows".into()),
        }
    }

    /// What a convolution fetches for later steps.
    fn ahead(&mut self, c: &ConvKernel) -> Checked<()> {
        match c.ahead {
            0 => Ok(()),
            _ if c.groups > 1 => check_stays(c),
            bytes => self.raw(Role::Ahead, bytes as u128),
        }
    }

    fn chain(&mut self, chain: &ChainKernel) -> Checked<()> {
        let [first, .., last] = &chain.stages[..] else { return Err("no chain of stages".into()) };
        self.add(Role::Input, &[first.batch, first.in_h, first.in_w, first.in_c])?;
        for c in &chain.stages {
            self.raw(Role::Weights, pack::conv_bytes(c)?)?;
        }
        self.add(Role::Output, &[last.batch, last.out_h, last.out_w, last.out_c])?;
        chain.stages.iter().try_for_each(|c| self.conv_epilogue(c))
    }

    /// The operands of the binary steps; `images` if operands by image are possible.
    fn epilogue(&mut self, posts: &[Post], out: &[usize], images: Option<usize>) -> Checked<()> {
        if posts.len() > MAX_POSTS {
            return Err(format!("an epilogue of {} steps; the limit is {MAX_POSTS}", posts.len()));
        }
        let channels = out.last().copied().unwrap_or(1);
        for post in posts {
            match post {
                Post::Unary(_) => {}
                Post::RowSums => {
                    return Err("sums of rows are not the last of a convolution".into());
                }
                Post::Binary(_, Operand::Full) => self.add(Role::Input, out)?,
                Post::Binary(_, Operand::Channel) => self.add(Role::Input, &[channels])?,
                Post::Binary(_, Operand::ImageChannel) => match images {
                    Some(images) => self.add(Role::Input, &[images, channels])?,
                    None => return Err("operands by image need a kernel with images".into()),
                },
                Post::Binary(_, Operand::Scalar) => self.add(Role::Input, &[1])?,
            }
        }
        Ok(())
    }
}

fn positive(sizes: &[usize]) -> Checked<()> {
    match sizes.iter().all(|n| *n > 0) {
        true => Ok(()),
        false => Err(format!("a size of 0 in {sizes:?}")),
    }
}

/// Bytes from the first to the last value of a strided box of positive sizes.
fn strided_bytes<'a>(axes: impl Iterator<Item = (&'a usize, &'a usize)>) -> u128 {
    let last = axes.fold(0u128, |sum, (n, stride)| {
        sum.saturating_add((*n as u128 - 1).saturating_mul(*stride as u128))
    });
    product(&[last.saturating_add(1), 4])
}

/// A product that stays at the largest number instead of wrapping.
fn product(factors: &[u128]) -> u128 {
    factors.iter().fold(1, |n, x| n.saturating_mul(*x))
}

/// Cells from the first of the first window to the last of the last.
fn reach(outputs: usize, stride: usize, taps: usize, dilation: usize) -> u128 {
    let steps = product(&[outputs as u128 - 1, stride as u128]);
    let window = product(&[taps as u128 - 1, dilation as u128]);
    steps.saturating_add(window).saturating_add(1)
}

fn check_conv(c: &ConvKernel) -> Checked<()> {
    positive(&[c.batch, c.in_h, c.in_w, c.in_c, c.out_h, c.out_w, c.out_c, c.groups])?;
    positive(&[c.kernel, c.stride, c.dilation].concat())?;
    if !c.in_c.is_multiple_of(c.groups) || !c.out_c.is_multiple_of(c.groups) {
        return Err(format!("{} groups of {} and {} channels", c.groups, c.in_c, c.out_c));
    }
    let rows = reach(c.out_h, c.stride[0], c.kernel[0], c.dilation[0]);
    let columns = reach(c.out_w, c.stride[1], c.kernel[1], c.dilation[1]);
    let pixel = c.in_c as u128 * 4;
    let border = c.pad[0].max(c.pad[1]) as u128;
    let line = columns.max(c.in_w as u128);
    let small = rows < LIMIT
        && product(&[columns, pixel]) < LIMIT
        && product(&[border, pixel]) < LIMIT
        && product(&[c.dilation[0] as u128, line, pixel]) < LIMIT
        && product(&[c.kernel[0] as u128, c.kernel[1] as u128, pixel]) < LIMIT;
    match small {
        true => Ok(()),
        false => Err("its windows reach over more than 2 GiB".into()),
    }
}

/// Where nothing is fetched for later steps.
fn check_stays(c: &ConvKernel) -> Checked<()> {
    match c.ahead {
        0 => Ok(()),
        _ => Err("only products in one group that are steps of their own fetch ahead".into()),
    }
}

fn check_chain(chain: &ChainKernel) -> Checked<()> {
    for c in &chain.stages {
        check_conv(c)?;
        check_stays(c)?;
    }
    let (Some(last), 2..) = (chain.stages.last(), chain.stages.len()) else {
        return Err("a chain has at least two stages".into());
    };
    for pair in chain.stages.windows(2) {
        let [from, to] = [&pair[0], &pair[1]];
        let made = [from.batch, from.out_h, from.out_w, from.out_c];
        let read = [to.batch, to.in_h, to.in_w, to.in_c];
        if made != read || to.input_nchw {
            return Err(format!("a stage makes {made:?}, and the next reads {read:?}"));
        }
        if crate::kernels::epilogue::operand_kinds(&from.epilogue).any(|k| k == Operand::Full) {
            return Err("only the last stage may read another map".into());
        }
        if from.epilogue.contains(&Post::RowSums) {
            // Two bands may compute the same row.
            return Err("only the last stage may sum its rows".into());
        }
    }
    if !(1..=last.out_h).contains(&chain.rows) {
        return Err(format!("bands of {} rows of a map of {}", chain.rows, last.out_h));
    }
    Ok(())
}

fn check_winograd(w: &WinogradKernel) -> Checked<()> {
    let c = &w.conv;
    check_conv(c)?;
    check_stays(c)?;
    let ones = [c.stride, c.dilation] == [[1, 1], [1, 1]];
    if c.kernel != [3, 3] || !ones || c.groups != 1 || c.input_nchw {
        return Err("Winograd's algorithm is for dense 3x3 convolutions with step 1".into());
    }
    match w.tile {
        2 | 4 => Ok(()),
        tile => Err(format!("tiles of {tile}x{tile}; there are 2x2 and 4x4")),
    }
}

fn check_matmul(m: &MatMulKernel) -> Checked<()> {
    positive(&m.batch)?;
    positive(&[m.m, m.n, m.k])?;
    if m.batch.len() > MAX_RANK
        || m.a_batch.len() != m.batch.len()
        || m.b_batch.len() != m.batch.len()
    {
        return Err("strides do not match the leading axes".into());
    }
    Ok(())
}

fn check_attention(a: &AttentionKernel) -> Checked<()> {
    if a.steps.contains(&Post::RowSums) {
        return Err("sums of rows are not the last of a convolution".into());
    }
    positive(&a.batch)?;
    positive(&[a.queries, a.keys, a.width, a.out_width, a.rows])?;
    let binary = a.steps.iter().filter(|s| matches!(s, Post::Binary(..))).count();
    if a.operands.len() != binary {
        return Err(format!("{} operands for {binary} binary steps", a.operands.len()));
    }
    let axes = a.batch.len() + 2;
    let mut strides = [&a.q, &a.k, &a.v, &a.out].into_iter().chain(&a.operands);
    if axes > MAX_RANK || strides.any(|s| s.len() != axes) {
        return Err("strides do not match the leading axes".into());
    }
    let apart = |strides: &Vec<usize>, columns: usize| columns > 1 && strides[axes - 1] != 1;
    if apart(&a.q, a.width) || apart(&a.out, a.out_width) {
        return Err("values of a row of queries or results are not adjacent".into());
    }
    if a.operands.iter().any(|strides| strides[axes - 1] > 1) {
        return Err("values of a row of an operand are neither adjacent nor one value".into());
    }
    if a.steps.len() > MAX_POSTS {
        return Err(format!("{} steps; the limit is {MAX_POSTS}", a.steps.len()));
    }
    // Scores of all queries, whose addresses are computed within a block of them.
    match product(&[a.queries as u128, a.keys as u128 + 32, 4]) < LIMIT {
        true => Ok(()),
        false => Err("the scores of a head take more than 2 GiB".into()),
    }
}

fn check_map(m: &MapKernel) -> Checked<()> {
    positive(&m.shape)?;
    let binary = m.steps.iter().filter(|s| matches!(s, Post::Binary(..))).count();
    if m.strides.len() != binary + 1 {
        return Err(format!("{} inputs for {binary} binary steps", m.strides.len()));
    }
    if m.shape.len() > MAX_RANK || m.strides.iter().any(|s| s.len() != m.shape.len()) {
        return Err("strides do not match the shape".into());
    }
    if m.steps.contains(&Post::RowSums) {
        return Err("sums of rows are not the last of a convolution".into());
    }
    if m.steps.len() > MAX_POSTS {
        return Err(format!("{} steps; the limit is {MAX_POSTS}", m.steps.len()));
    }
    Ok(())
}

fn check_pool(p: &PoolKernel) -> Checked<()> {
    positive(&[p.kernel, p.stride].concat())?;
    positive(&[p.batch, p.in_h, p.in_w, p.out_h, p.out_w, p.channels])?;
    let rows = reach(p.out_h, p.stride[0], p.kernel[0], 1);
    let columns = reach(p.out_w, p.stride[1], p.kernel[1], 1);
    let border = p.pad.iter().map(|n| *n as u128).max().unwrap_or(0);
    match product(&[rows.max(columns).max(border), p.channels as u128, 4]) < LIMIT {
        true => Ok(()),
        false => Err("its windows reach over more than 2 GiB".into()),
    }
}

/// Bytes from the start of `x` and of `out` that a copy touches.
fn copy_reach(c: &CopyKernel) -> Checked<[u128; 2]> {
    positive(&c.shape)?;
    let rank = c.shape.len();
    if rank > MAX_RANK || c.x_strides.len() != rank || c.out_strides.len() != rank {
        return Err("strides do not match the shape".into());
    }
    let (mut low, mut high) = (c.x_offset as i128, c.x_offset as i128);
    for (n, stride) in c.shape.iter().zip(&c.x_strides) {
        let span = (*n as i128 - 1).saturating_mul(*stride as i128);
        low = low.saturating_add(span.min(0));
        high = high.saturating_add(span.max(0));
    }
    if low < 0 && c.fill.is_none() {
        return Err("it reads before the start of its operand".into());
    }
    let out = c.shape.iter().zip(&c.out_strides).fold(c.out_offset as u128, |sum, (n, s)| {
        sum.saturating_add((*n as u128 - 1).saturating_mul(*s as u128))
    });
    let bytes = |last: u128| last.saturating_add(1).saturating_mul(4);
    let x = if c.fill.is_some() { 0 } else { bytes(high.unsigned_abs()) };
    Ok([x, bytes(out)])
}
