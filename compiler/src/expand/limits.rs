//! Bounds of an expansion. They are far beyond every known network and well within a machine.

/// Most operations of a graph.
pub const MAX_NODES: usize = 100_000;
/// Most rounds of one repeat.
pub const MAX_REPEATS: usize = 10_000;
/// Deepest nesting of blocks.
pub const MAX_CALLS: usize = 64;
/// Deepest nesting of evaluation, all blocks together.
pub const MAX_DEPTH: usize = 600;
/// Most expressions that are evaluated.
pub const MAX_STEPS: u64 = 1_000_000;
/// Most elements of a constant made by `grid`.
pub const MAX_GRID: usize = 1 << 24;
/// Most steps of all grids together: elements times operations of an element.
pub const MAX_GRID_STEPS: u64 = 1 << 31;
/// Longest operator cell that is matched against patterns, in bytes.
pub const MAX_OPERATOR_CELL: usize = 400;
