//! Rows of a profile: layers, and the kernels inside them.

use super::machine::{Limit, Roof};
use netwright_codegen::work::{Class, Work};

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A kernel.
    Kernel,
    /// The steps of a layer, its parts.
    Layer,
    /// A step of several stages, its parts.
    Fused,
    /// What such a step does between its stages.
    Between,
}

/// A layer, or a kernel that is a part of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The layer's name in the spec.
    pub name: String,
    /// The kernel's name; of a layer of several steps, that of the part that takes longest.
    pub kernel: String,
    /// The kernel's class; of a layer of several steps, that of the part that takes longest.
    pub class: Class,
    /// What there is to do.
    pub work: Work,
    /// Median of the measured time.
    pub seconds: f64,
    /// What the machine would need at least.
    pub roof: Roof,
    /// What it stands for.
    pub kind: RowKind,
    /// The kernels, in the order of execution, where the row is more than one.
    pub parts: Vec<Row>,
}

impl Row {
    /// Billions of floating-point operations a second.
    pub fn gflops(&self) -> f64 {
        rate(self.work.flops(), self.seconds)
    }

    /// Billions of bytes a second.
    pub fn gbps(&self) -> f64 {
        rate(self.work.bytes(), self.seconds)
    }

    /// The time that the machine would need at least, as a share of the measured one.
    pub fn roof_share(&self) -> f64 {
        if self.seconds > 0.0 { self.roof.seconds / self.seconds } else { 0.0 }
    }

    /// What the row is as a part of another.
    pub fn part(&self) -> &'static str {
        match self.kind {
            RowKind::Between => "between stages",
            _ => self.class.name(),
        }
    }

    /// The kernels of a row: its parts (and theirs), or itself.
    pub fn kernels(&self) -> Box<dyn Iterator<Item = &Row> + '_> {
        match self.parts.as_slice() {
            [] => Box::new(std::iter::once(self)),
            parts => Box::new(parts.iter().flat_map(Row::kernels)),
        }
    }

    /// The row of a step of several stages. The rest of its time, in which it moves what the stages need and waits
    /// for other threads, is a part too, the last; it has the step's class.
    pub(crate) fn with_stages(mut self, stages: Vec<Row>) -> Row {
        if stages.is_empty() {
            return self;
        }
        let inside: f64 = stages.iter().map(|stage| stage.seconds).sum();
        let rest = Row {
            work: Work::default(),
            seconds: (self.seconds - inside).max(0.0),
            roof: Roof { seconds: 0.0, limit: Limit::Arithmetic },
            kernel: format!("between the stages of {}", self.kernel),
            kind: RowKind::Between,
            ..self.clone()
        };
        self.kind = RowKind::Fused;
        self.parts = stages;
        self.parts.push(rest);
        self
    }

    /// Steps that follow each other and have one name become one row with parts.
    pub(super) fn layers(steps: Vec<Row>) -> Vec<Row> {
        let mut layers: Vec<Vec<Row>> = Vec::new();
        for step in steps {
            match layers.last_mut() {
                Some(layer) if layer[0].name == step.name => layer.push(step),
                _ => layers.push(vec![step]),
            }
        }
        layers.into_iter().map(Row::of_parts).collect()
    }

    /// A row of the sums of its parts; a single part stays what it is.
    fn of_parts(mut parts: Vec<Row>) -> Row {
        let longest = parts.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Some(longest) = longest.filter(|_| parts.len() > 1) else { return parts.remove(0) };
        Row {
            name: longest.name.clone(),
            kernel: longest.kernel.clone(),
            class: longest.class,
            work: parts.iter().map(|part| part.work).sum(),
            seconds: parts.iter().map(|part| part.seconds).sum(),
            roof: Roof {
                seconds: parts.iter().map(|part| part.roof.seconds).sum(),
                limit: longest.roof.limit,
            },
            kind: RowKind::Layer,
            parts,
        }
    }
}

/// Sums over kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Number of kernels.
    pub kernels: usize,
    /// Measured time.
    pub seconds: f64,
    /// What there is to do.
    pub work: Work,
    /// Seconds that the machine would need at least.
    pub roof: f64,
}

impl Totals {
    /// Adds a kernel.
    pub fn add(&mut self, row: &Row) {
        self.kernels += 1;
        self.seconds += row.seconds;
        self.work = [self.work, row.work].into_iter().sum();
        self.roof += row.roof.seconds;
    }

    /// Billions of floating-point operations a second.
    pub fn gflops(&self) -> f64 {
        rate(self.work.flops(), self.seconds)
    }

    /// Billions of bytes a second.
    pub fn gbps(&self) -> f64 {
        rate(self.work.bytes(), self.seconds)
    }
}

/// Billions a second.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds / 1e9 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn row(name: &str, class: Class, seconds: f64) -> Row {
        Row {
            name: name.into(),
            kernel: format!("{class}_kernel"),
            class,
            work: Work { macs: 10, read: 4, written: 8, ..Work::default() },
            seconds,
            roof: Roof { seconds: seconds / 2.0, limit: Limit::Arithmetic },
            kind: RowKind::Kernel,
            parts: Vec::new(),
        }
    }

    #[test]
    fn steps_of_one_name_are_one_layer() {
        let steps = vec![
            row("a", Class::Dense, 1.0),
            row("b", Class::Copy, 1.0),
            row("b", Class::Product, 3.0),
            row("a", Class::Dense, 2.0),
        ];
        let layers = Row::layers(steps);
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a"]);
        let b = &layers[1];
        assert_eq!((b.class, b.seconds, b.work.macs, b.parts.len()), (Class::Product, 4.0, 20, 2));
        assert_eq!((b.roof.seconds, b.roof_share()), (2.0, 0.5));
        assert_eq!(layers.iter().flat_map(Row::kernels).count(), 4);
    }

    #[test]
    fn rates() {
        let row = row("a", Class::Dense, 1e-9);
        assert_eq!((row.gflops().round(), row.gbps().round()), (20.0, 12.0));
        let mut totals = Totals::default();
        totals.add(&row);
        totals.add(&row);
        assert_eq!((totals.kernels, totals.gflops().round()), (2, 20.0));
        assert_eq!(Totals::default().gflops(), 0.0);
    }
}
