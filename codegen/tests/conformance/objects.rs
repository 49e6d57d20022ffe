//! The cases in objects: linked with a driver in C, and run by this machine or an emulated one.

#[path = "../../../tests/object/tools.rs"]
mod tools;

use crate::cases;
use crate::support::case::Case;
use crate::support::harness::random_operands;
use netwright_codegen::name;
use netwright_codegen::object::{self, KernelFunction, Level, ObjectOptions};
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::program::{Function, Kernel, MapKernel, Post, Program};
use netwright_codegen::wide::WideIsa;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};
use tools::*;

/// What symbols in the objects begin with.
const NAME: &str = "conformance";

/// A case with a name to report it by.
struct Named {
    name: String,
    case: Case,
}

/// Names a command that runs a static program for x86-64 Linux on a CPU with AVX-512, such as
/// `tools/emulate_avx512.sh`.
const AVX512_EMULATOR: &str = "NETWRIGHT_AVX512_EMULATOR";

/// How to make programs for a machine and to run them.
struct Toolchain {
    triple: &'static str,
    compiler: &'static str,
    objcopy: &'static str,
    /// What stands before the program, where this machine cannot run it itself.
    emulator: Vec<String>,
    /// Of the target's levels those to be judged.
    has: fn(&Level) -> bool,
}

fn aarch64() -> Toolchain {
    Toolchain {
        triple: "aarch64-unknown-linux-gnu",
        compiler: "aarch64-linux-gnu-gcc",
        objcopy: "aarch64-linux-gnu-objcopy",
        emulator: vec!["qemu-aarch64".into()],
        has: |_| true,
    }
}

fn x86_64() -> Toolchain {
    Toolchain {
        triple: "x86_64-unknown-linux-gnu",
        compiler: "gcc",
        objcopy: "objcopy",
        emulator: vec![],
        has: |level| match level {
            Level::Baseline => true,
            Level::Wide(isa) => isa.is_available(),
        },
    }
}

/// AVX-512 on the emulator that [`AVX512_EMULATOR`] names.
fn avx512() -> Option<Toolchain> {
    let Ok(command) = std::env::var(AVX512_EMULATOR) else {
        eprintln!("SKIPPED: {AVX512_EMULATOR} names no emulator with AVX-512");
        return None;
    };
    let emulator = command.split_whitespace().map(String::from).collect();
    Some(Toolchain { emulator, has: |level| *level == Level::Wide(WideIsa::Avx512), ..x86_64() })
}

impl Toolchain {
    /// Whether all of it is here; says aloud what is not.
    fn is_there(&self) -> bool {
        if self.emulator.is_empty() && !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
            eprintln!("SKIPPED: this machine does not run {}", self.triple);
            return false;
        }
        let emulator = self.emulator.first().map(String::as_str);
        [Some(self.compiler), Some(self.objcopy), emulator].into_iter().flatten().all(there_is)
    }

    /// Those of the target that this machine, or the emulated one, has.
    fn levels(&self) -> Vec<Level> {
        let mut levels = Level::all(&self.triple.parse().unwrap());
        levels.retain(self.has);
        levels
    }

    /// Writes an object of the cases' kernels, their table and their data into a folder.
    fn write(&self, folder: &Path, all: &[Named]) {
        let program = Program {
            name: NAME.into(),
            kernels: all.iter().map(|one| one.case.kernel.clone()).collect(),
            inputs: vec![4],
            outputs: vec![4],
            ..Program::default()
        };
        let target = self.triple.parse().unwrap();
        let options = ObjectOptions { levels: self.levels(), ..ObjectOptions::new(target) };
        let file = object::build(&program, &[], &options).unwrap();
        let mut bytes = Vec::new();
        file.write(&mut bytes).unwrap();
        std::fs::write(folder.join("local.o"), bytes).unwrap();
        let (table, data) = table(all, &file.kernels);
        std::fs::write(folder.join("cases.c"), table).unwrap();
        std::fs::write(folder.join("data"), data).unwrap();
    }

    /// Links what [`Toolchain::write`] wrote with the driver, and runs it.
    fn run(&self, folder: &Path) -> Output {
        for (name, text) in [
            ("driver.c", include_str!("driver.c")),
            ("table.h", include_str!("table.h")),
            ("data.s", include_str!("data.s")),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        // Symbols of kernels are local: only `NAME_run` is the object's interface.
        let visible = format!("--globalize-symbol={NAME}_*");
        let mut objcopy = Command::new(self.objcopy);
        objcopy.args(["--wildcard", &visible, "local.o", "kernels.o"]).current_dir(folder);
        succeeds(&mut objcopy);
        let mut arguments = STRICT.to_vec();
        arguments.extend(["-O1", "-static", "driver.c", "cases.c", "data.s", "kernels.o"]);
        arguments.extend(["-lm", "-o", "driver"]);
        compile(self.compiler, folder, &arguments);
        let mut words = self.emulator.iter().map(String::as_str).chain(["./driver"]);
        let mut driver = Command::new(words.next().unwrap());
        driver.args(words).current_dir(folder).output().expect("the driver starts")
    }
}

/// The table of cases in C, once for each level, and the data that it refers to.
fn table(all: &[Named], functions: &[KernelFunction]) -> (String, Vec<u8>) {
    let mut data: Vec<u8> = Vec::new();
    let mut put = |values: &[u8]| {
        data.resize(data.len().next_multiple_of(64), 0);
        let at = data.len();
        data.extend_from_slice(values);
        at
    };
    let doubles =
        |values: &[f64]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut rows = vec![];
    for Named { case, .. } in all {
        let mut row = String::from("{");
        let values = case.operands();
        for (operand, (role, bytes)) in operands(&case.kernel).unwrap().iter().zip(&values) {
            let role = match role {
                Role::Input | Role::Ahead => "INPUT",
                Role::Weights => "WEIGHTS",
                Role::Output => "OUTPUT",
            };
            let _ = write!(row, "{{{role}, {}, {}}}, ", operand.bytes, put(bytes));
        }
        let (expected, allowed) = (put(&doubles(&case.expected)), put(&doubles(&case.allowed)));
        rows.push(format!("{}, {row}}}, {expected}, {allowed}", values.len()));
    }
    let mut text = String::from("#include \"table.h\"\n\n");
    let symbols: std::collections::BTreeSet<&str> =
        functions.iter().map(|function| function.symbol.as_str()).collect();
    for symbol in symbols {
        let _ = writeln!(text, "extern kernel_function {symbol};");
    }
    text += "\nconst struct test_case cases[] = {\n";
    for level in functions.chunks(all.len()) {
        for ((one, function), row) in all.iter().zip(level).zip(&rows) {
            let KernelFunction { level, symbol, units, scratch } = function;
            let name =
                format!("{}, {}: {}", one.name, level.name(), name::kernel(&one.case.kernel));
            let _ = writeln!(text, "    {{\"{name}\", {symbol}, {units}, {scratch}, {row}}},");
        }
    }
    let _ = writeln!(text, "}};\n\nconst size_t case_count = {};", functions.len());
    (text, data)
}

/// Runs all cases.
fn judge(toolchain: &Toolchain) {
    if !toolchain.is_there() {
        return;
    }
    let mut all = vec![];
    for group in cases::all() {
        let name = group.name.split_once("::").map_or(group.name, |(_, name)| name);
        let cases = group.cases().into_iter().enumerate();
        all.extend(cases.map(|(i, case)| Named { name: format!("{name} {i}"), case }));
    }
    let folder = tempfile::tempdir().unwrap();
    toolchain.write(folder.path(), &all);
    let output = toolchain.run(folder.path());
    assert!(output.status.success(), "{}", text(&output));
    let count = all.len() * toolchain.levels().len();
    assert!(text(&output).contains(&format!("{count} of {count} cases passed")));
}

/// What a program wrote, and how it ended.
fn text(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{}{}", output.status, texts[0], texts[1])
}

/// A wrong value and a buffer that is too small are found and reported, each by the name of its case.
fn judge_failures(toolchain: &Toolchain) {
    if !toolchain.is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let values = 37;
    let kernel = Kernel::Map(MapKernel {
        shape: vec![values],
        strides: vec![vec![1]],
        steps: vec![Post::Unary(Function::Relu)],
    });
    let right = Case::new(&kernel, &random_operands(&kernel), 1e-5);
    let mut wrong = right.clone();
    wrong.expected[20] += 0.5;
    let named = |name: &str, case: &Case| Named { name: name.into(), case: case.clone() };
    let all = [named("first", &right), named("second", &wrong), named("third", &right)];
    toolchain.write(folder.path(), &all);
    let output = toolchain.run(folder.path());
    let report = text(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("second, baseline: map_37_relu: value 20 is "), "{report}");
    let levels = toolchain.levels().len();
    assert!(report.contains(&format!("{} of {} cases passed", 2 * levels, 3 * levels)), "{report}");

    let table = folder.path().join("cases.c");
    let of = |values: usize| format!("{{OUTPUT, {},", values * 4);
    let text_of = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, text_of.replace(&of(values), &of(values - 1))).unwrap();
    let output = toolchain.run(folder.path());
    let report = text(&output);
    assert_eq!(output.status.code(), Some(2), "{report}");
    assert!(report.contains("map_37_relu: touches memory that is not its own"), "{report}");
}

#[test]
fn aarch64_emulated() {
    judge(&aarch64());
}

#[test]
fn aarch64_failures_are_reported() {
    judge_failures(&aarch64());
}

#[test]
fn x86_64_all_levels() {
    judge(&x86_64());
}

#[test]
fn avx512_emulated() {
    if let Some(toolchain) = avx512() {
        judge(&toolchain);
    }
}

#[test]
fn x86_64_failures_are_reported() {
    judge_failures(&x86_64());
}
