//! Programs made from programs: other forms of the input and of the weights.

pub mod bytes;
pub mod half;

use crate::program::{Kernel, Program};

/// The number of a kernel in a program, which is added if it is not there.
fn kernel_number(program: &mut Program, kernel: Kernel) -> usize {
    match program.kernels.iter().position(|known| *known == kernel) {
        Some(number) => number,
        None => {
            program.kernels.push(kernel);
            program.kernels.len() - 1
        }
    }
}
