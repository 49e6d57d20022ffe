//! The cases that every way of running kernels must pass.

use crate::support::case::Case;
use crate::support::harness::random_operands;
use netwright_codegen::name;
use netwright_codegen::program::Kernel;

/// Cases in the making.
#[derive(Default)]
pub struct Cases(pub Vec<Case>);

impl Cases {
    /// A kernel on random operands.
    pub fn add(&mut self, kernel: Kernel) {
        let values = random_operands(&kernel);
        self.add_values(&kernel, &values, 1e-5);
    }

    /// A kernel on given operands; `tolerance` is relative to `1 + |expected|`.
    pub fn add_values(&mut self, kernel: &Kernel, values: &[Vec<f32>], tolerance: f64) {
        self.0.push(Case::new(kernel, values, tolerance));
    }
}

/// Cases that belong together.
#[derive(Clone, Copy)]
pub struct Group {
    /// The file and the function that make them.
    pub name: &'static str,
    pub add: fn(&mut Cases),
}

impl Group {
    pub fn cases(self) -> Vec<Case> {
        let mut cases = Cases::default();
        (self.add)(&mut cases);
        cases.0
    }

    /// Checks all cases in this process.
    pub fn check(self) {
        let cases = self.cases();
        assert!(!cases.is_empty());
        for case in cases {
            println!("{:.2} of the allowed error: {}", case.check(), name::kernel(&case.kernel));
        }
    }
}

/// Makes the list of a file's groups of cases, `GROUPS`, and a test for each that checks them in this
/// process.
macro_rules! groups {
    ($($name:ident)*) => {
        pub const GROUPS: &[$crate::cases::Group] = &[$($crate::cases::Group {
            name: concat!(module_path!(), "::", stringify!($name)),
            add: $name,
        }),*];

        mod in_process {
            $(#[test]
            fn $name() {
                $crate::cases::Group { name: stringify!($name), add: super::$name }.check();
            })*
        }
    };
}
pub(crate) use groups;

/// All groups of all files.
pub fn all() -> impl Iterator<Item = Group> {
    [
        crate::conv::GROUPS,
        crate::kernels::GROUPS,
        crate::chain::GROUPS,
        crate::attention::GROUPS,
        crate::winograd::GROUPS,
        crate::functions::GROUPS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
