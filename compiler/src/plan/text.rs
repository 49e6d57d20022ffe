//! The text form of a plan: what `dump --stage plan` prints.

use super::{Content, Plan};
use netwright_codegen::name;
use netwright_codegen::program::Place;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = &self.program;
        writeln!(f, "plan {}", program.name)?;
        for (i, port) in self.inputs.iter().enumerate() {
            writeln!(f, "input  in{i} {} {:?}", port.name, port.shape)?;
        }
        for (i, port) in self.outputs.iter().enumerate() {
            writeln!(f, "output out{i} {} {:?}", port.name, port.shape)?;
        }
        writeln!(
            f,
            "arena {} bytes, weights {} bytes",
            program.arena_bytes, program.weights_bytes
        )?;
        if program.rounds > 1 {
            writeln!(f, "{} rounds, each over its part of inputs and outputs", program.rounds)?;
        }
        writeln!(f, "\nkernels")?;
        for (i, kernel) in program.kernels.iter().enumerate() {
            writeln!(f, "  k{i} {}", name::kernel(kernel))?;
        }
        writeln!(f, "\nsteps")?;
        for (i, step) in program.steps.iter().enumerate() {
            let args: Vec<String> = step.args.iter().map(place).collect();
            writeln!(f, "  {i} k{}({})  {}", step.kernel, args.join(", "), step.name)?;
        }
        writeln!(f, "\nvalues")?;
        for buffer in &self.buffers {
            let [first, last, bytes] = [buffer.first, buffer.last, buffer.bytes];
            let place = place(&buffer.place);
            writeln!(f, "  {place} {bytes} bytes, steps {first}..{last}  {}", buffer.name)?;
        }
        writeln!(f, "\nweights")?;
        for item in &self.items {
            write!(f, "  w+{} {} bytes  {}: ", item.offset, item.bytes, item.name)?;
            match &item.content {
                Content::Conv { weight, bias: Some(bias), .. } => {
                    writeln!(f, "packed {weight}, {bias}")?;
                }
                Content::Conv { weight, bias: None, .. } => writeln!(f, "packed {weight}")?,
                Content::Tensor(node) => writeln!(f, "{node}")?,
                Content::Words(words) => writeln!(f, "{} words", words.len())?,
            }
        }
        Ok(())
    }
}

fn place(place: &Place) -> String {
    match place {
        Place::Input(i) => format!("in{i}"),
        Place::Output(i) => format!("out{i}"),
        Place::Arena(offset) => format!("a+{offset}"),
        Place::Weights(offset) => format!("w+{offset}"),
    }
}
