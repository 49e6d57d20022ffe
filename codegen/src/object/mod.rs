//! Programs as object files, for any linker.
//!
//! An [`ObjectFile`] holds one function for C, `NAME_run`, the kernels' code for one or more instruction
//! sets over one packing of the weights, and the weights, unless they are to be loaded by the application.
//! It refers to nothing outside itself. [`header`] is the C interface.

mod api;
mod cpu;
pub mod external;
pub mod header;
mod unwind;

pub use api::ERRORS;
pub use target_lexicon::Triple;

use crate::buffer::ALIGN;
use crate::entry::{self, Functions};
use crate::error::CodegenError;
use crate::kernels::Target;
use crate::native::{self, Code, Emitter, Leaves};
use crate::portable::PortableIsa;
use crate::program::Program;
use crate::validate;
use crate::wide::WideIsa;
use api::{Api, LevelCode};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{AbiParam, Signature};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};
use cranelift_object::{ObjectBuilder, ObjectModule};
use external::Header;
use object::write::{Object, StandardSection, SymbolId};
use object::{BinaryFormat, SectionKind, SymbolScope};
use target_lexicon::{Architecture, OperatingSystem};
use unwind::Frames;

/// An instruction set that an object has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// What every machine of the target has: 128-bit vectors.
    Baseline,
    /// One of the wide emitter.
    Wide(WideIsa),
}

impl Level {
    /// The useful ones of a target, the most able first; none if no code can be made for it.
    pub fn all(target: &Triple) -> Vec<Level> {
        // The wide emitter writes System V's calling convention.
        let wide = target.architecture == Architecture::X86_64
            && target.operating_system != OperatingSystem::Windows;
        match target.architecture {
            _ if wide => {
                vec![Level::Wide(WideIsa::Avx512), Level::Wide(WideIsa::Avx2), Level::Baseline]
            }
            Architecture::X86_64 => vec![Level::Baseline],
            // COFF has no relocations for the addresses that Cranelift writes there.
            Architecture::Aarch64(_) if target.operating_system != OperatingSystem::Windows => {
                vec![Level::Baseline]
            }
            _ => vec![],
        }
    }

    /// As in symbols and reports: `baseline`, `avx2`, `avx512`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            Level::Wide(isa) => isa.name(),
        }
    }

    fn rank(self) -> Option<i64> {
        match self {
            Level::Baseline => None,
            Level::Wide(WideIsa::Avx2) => Some(cpu::AVX2),
            Level::Wide(WideIsa::Avx512) => Some(cpu::AVX512),
        }
    }

    fn emitter(self, target: &Triple) -> (Emitter, Target) {
        match self {
            Level::Wide(isa) => (Emitter::Wide(isa), native::wide_target(isa)),
            Level::Baseline if target.architecture == Architecture::X86_64 => {
                (Emitter::Portable, Target::X86_128)
            }
            Level::Baseline => (Emitter::Portable, Target::NEON),
        }
    }
}

/// How to make an object.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// The machine it is for.
    pub target: Triple,
    /// The instruction sets it has code for, the most able first.
    pub levels: Vec<Level>,
    /// Most threads that a run uses.
    pub threads: usize,
    /// Leave the weights out: the application gives them to each run.
    pub external_weights: bool,
    /// Bytes of an element of the input: 4, or 1 where the program begins with bytes.
    pub input_align: usize,
    /// Who made it, for a section of its own.
    pub comment: String,
    /// Threads that compile; 0 for one a core.
    pub compile_threads: usize,
    /// As [`crate::jit::CompileOptions::share_from_ns`].
    pub share_from_ns: u64,
}

impl ObjectOptions {
    /// For a target, with all its levels.
    pub fn new(target: Triple) -> ObjectOptions {
        let levels = Level::all(&target);
        let share_from_ns = crate::jit::CompileOptions::default().share_from_ns;
        ObjectOptions {
            target,
            levels,
            threads: 1,
            external_weights: false,
            input_align: 4,
            comment: String::new(),
            compile_threads: 0,
            share_from_ns,
        }
    }
}

/// The function of a kernel in an object: `symbol(operands, begin, end, scratch)` computes the units
/// `begin .. end`. Its symbol is local to the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFunction {
    /// The instruction set that it needs.
    pub level: Level,
    /// Its symbol.
    pub symbol: String,
    /// Number of units.
    pub units: usize,
    /// Bytes of scratch memory, aligned to 64 bytes.
    pub scratch: usize,
}

/// An object file in memory, and its numbers.
pub struct ObjectFile {
    object: Object<'static>,
    /// The functions of the program's kernels, in its order, for each level.
    pub kernels: Vec<KernelFunction>,
    /// Bytes of code, constants included, for each level.
    pub code: Vec<(Level, usize)>,
    /// Bytes of everything else: weights, tables.
    pub data_bytes: usize,
    /// Bytes of the arena.
    arena: usize,
    /// Bytes of scratch memory of a thread, of the level that needs most.
    scratch: usize,
    /// Most threads that a run uses.
    pub threads: usize,
    /// What external weights begin with.
    pub external: Option<Header>,
}

/// Makes the object of a program; its symbols begin with the program's name.
///
/// # Errors
/// When the program contradicts itself, the target is none of Cranelift's, or the weights are too large to
/// be linked.
pub fn build(
    program: &Program,
    weights: &[u8],
    options: &ObjectOptions,
) -> Result<ObjectFile, CodegenError> {
    let tables = validate::check(program)?;
    validate::check_tables(&tables, weights)?;
    let fail =
        |message: String| Err(CodegenError::Program { program: program.name.clone(), message });
    if program.inputs.len() != 1 || program.outputs.is_empty() {
        return fail(format!(
            "the C interface is for one input and at least one output, here are {} and {}",
            program.inputs.len(),
            program.outputs.len()
        ));
    }
    if weights.len() != program.weights_bytes {
        return fail(format!(
            "{} bytes of weights instead of {}",
            weights.len(),
            program.weights_bytes
        ));
    }
    // Code refers to data by distances of 31 bits.
    if !options.external_weights && weights.len() >= 0x7000_0000 {
        return fail(format!(
            "{} bytes of weights are too many for an object file: keep them outside of it",
            weights.len()
        ));
    }
    // All symbols are in the object, at distances known to fit: no global offset table is needed. Mach-O has
    // no relocation for such addresses of data.
    let pic = options.target.binary_format == target_lexicon::BinaryFormat::Macho;
    let portable = PortableIsa::of(&options.target, pic)?;
    let mut module = Writer::new(program, options, portable.isa.clone())?;
    let mut levels = Vec::new();
    let (mut code, mut scratch) = (Vec::new(), 0);
    let mut symbols = Vec::new();
    for &level in &options.levels {
        let prefix = format!("{}_{}", program.name, level.name());
        let (emitter, target) = level.emitter(&options.target);
        let leaves = Leaves::new(program, &target, false);
        let names = leaves.names(&prefix);
        let kernels = native::compile_kernels(
            &leaves.all,
            &names,
            (emitter, &target),
            &portable,
            options.compile_threads,
        )?;
        code.push((level, kernels.iter().map(|kernel| kernel.bytes.len()).sum()));
        let functions = module.kernels(&names, kernels.as_slice())?;
        let (entry, scratch_of) = module.define(&prefix, |own| {
            let linked = native::link(own, program, &leaves, &kernels, &functions, false)?;
            let scratch = linked.iter().map(|kernel| kernel.scratch).max().unwrap_or(0);
            symbols.extend(linked.iter().map(|kernel| {
                let declared = own.module.declarations().get_function_decl(kernel.function);
                KernelFunction {
                    level,
                    symbol: declared.linkage_name(kernel.function).into_owned(),
                    units: kernel.units,
                    scratch: kernel.scratch,
                }
            }));
            let steps = native::step_codes(program, &linked, options.share_from_ns);
            Ok((entry::define(own, program, &steps, scratch)?, scratch))
        })?;
        scratch = scratch.max(scratch_of);
        levels.push(LevelCode { steps: entry.steps, rank: level.rank() });
    }
    let external = options.external_weights.then(|| Header::of(weights));
    let cpu = match levels.iter().any(|level| level.rank.is_some()) {
        true => Some(module.cpu()?),
        false => None,
    };
    let rows = match external {
        Some(_) if !tables.is_empty() => {
            Some(module.data("weights_tables", external::table_rows(&tables))?)
        }
        _ => None,
    };
    let weights_data = match external {
        None if !weights.is_empty() => Some(module.declare_weights()?),
        _ => None,
    };
    let api = Api {
        program,
        levels: &levels,
        cpu,
        weights: weights_data,
        external: external.map(|header| (header, rows)),
        tables: &tables,
        input_align: options.input_align,
        threads: options.threads.max(1),
    };
    module.define(&program.name, |own| api.define(own))?;
    let object = module.finish(weights_data.map(|id| (id, weights)), &options.comment)?;
    Ok(ObjectFile {
        object,
        kernels: symbols,
        code,
        data_bytes: if external.is_some() { 0 } else { weights.len() },
        arena: program.arena_bytes.next_multiple_of(ALIGN),
        scratch,
        threads: options.threads.max(1),
        external,
    })
}

impl ObjectFile {
    /// Writes the file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl std::io::Write) -> std::io::Result<()> {
        self.object.write_stream(out).map_err(|error| match error.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(error) => std::io::Error::other(error.to_string()),
        })
    }

    /// Bytes of workspace for that many threads.
    pub fn workspace_bytes(&self, threads: usize) -> usize {
        // Never nothing: C has no empty arrays.
        (self.arena + self.scratch * threads.clamp(1, self.threads)).max(ALIGN)
    }
}

/// The module while it is filled.
struct Writer<'a> {
    module: ObjectModule,
    isa: OwnedTargetIsa,
    name: &'a str,
    /// How to unwind from the functions so far.
    frames: Vec<(FuncId, Unwind)>,
}

enum Unwind {
    Cranelift(cranelift_codegen::isa::unwind::UnwindInfo),
    /// Instructions of x86-64, and bytes with the constants.
    Read(Vec<u8>, usize),
}

impl<'a> Writer<'a> {
    fn new(
        program: &'a Program,
        options: &ObjectOptions,
        isa: OwnedTargetIsa,
    ) -> Result<Self, CodegenError> {
        let names = cranelift_module::default_libcall_names();
        let unsupported = |e| CodegenError::module(&options.target.to_string(), e);
        let builder =
            ObjectBuilder::new(isa.clone(), program.name.as_str(), names).map_err(unsupported)?;
        let module = ObjectModule::new(builder);
        Ok(Writer { module, isa, name: &program.name, frames: Vec::new() })
    }

    /// Functions that Cranelift compiles, whose symbols begin with `name`.
    fn define<T>(
        &mut self,
        name: &str,
        body: impl FnOnce(&mut Functions<ObjectModule>) -> Result<T, CodegenError>,
    ) -> Result<T, CodegenError> {
        let mut functions = Functions::new(&mut self.module, name);
        let result = body(&mut functions)?;
        let frames = std::mem::take(&mut functions.frames);
        self.frames.extend(frames.into_iter().map(|(id, info)| (id, Unwind::Cranelift(info))));
        Ok(result)
    }

    fn signature(&self, params: usize) -> Signature {
        let mut signature = Signature::new(self.module.isa().default_call_conv());
        signature.params.extend((0..params).map(|_| AbiParam::new(I64)));
        signature
    }

    fn kernels(&mut self, names: &[String], kernels: &[Code]) -> Result<Vec<FuncId>, CodegenError> {
        let signature = self.signature(4);
        let mut functions = Vec::with_capacity(kernels.len());
        for (name, kernel) in names.iter().zip(kernels) {
            let unwind = match &kernel.unwind {
                Some(info) => Unwind::Cranelift(info.clone()),
                None => {
                    let code = kernel.bytes[..kernel.instructions].to_vec();
                    Unwind::Read(code, kernel.bytes.len())
                }
            };
            functions.push(self.function(name, &signature, &kernel.bytes, unwind)?);
        }
        Ok(functions)
    }

    fn function(
        &mut self,
        name: &str,
        signature: &Signature,
        bytes: &[u8],
        unwind: Unwind,
    ) -> Result<FuncId, CodegenError> {
        let fail = |e| CodegenError::module(name, e);
        let id = self.module.declare_function(name, Linkage::Local, signature).map_err(fail)?;
        self.module.define_function_bytes(id, ALIGN as u64, bytes, &[]).map_err(fail)?;
        self.frames.push((id, unwind));
        Ok(id)
    }

    /// The CPU test, and four bytes that remember its result.
    fn cpu(&mut self) -> Result<(FuncId, DataId), CodegenError> {
        let mut signature = self.signature(0);
        signature.returns.push(AbiParam::new(I32));
        let code = cpu::detector()?;
        let unwind = Unwind::Read(code.clone(), code.len());
        let function = self.function(&format!("{}_cpu", self.name), &signature, &code, unwind)?;
        let name = format!("{}_cpu_level", self.name);
        let fail = |e| CodegenError::module(&name, e);
        let memory = self.module.declare_data(&name, Linkage::Local, true, false).map_err(fail)?;
        let mut data = DataDescription::new();
        data.define_zeroinit(4);
        data.set_align(4);
        self.module.define_data(memory, &data).map_err(fail)?;
        Ok((function, memory))
    }

    fn data(&mut self, name: &str, bytes: Vec<u8>) -> Result<DataId, CodegenError> {
        let name = format!("{}_{name}", self.name);
        let fail = |e| CodegenError::module(&name, e);
        let id = self.module.declare_data(&name, Linkage::Local, false, false).map_err(fail)?;
        let mut data = DataDescription::new();
        data.define(bytes.into_boxed_slice());
        data.set_align(ALIGN as u64);
        self.module.define_data(id, &data).map_err(fail)?;
        Ok(id)
    }

    /// Declared as if it were elsewhere; [`Writer::finish`] adds it without another copy.
    fn declare_weights(&mut self) -> Result<DataId, CodegenError> {
        let name = format!("{}_weights", self.name);
        self.module
            .declare_data(&name, Linkage::Import, false, false)
            .map_err(|e| CodegenError::module(&name, e))
    }

    fn finish(
        self,
        weights: Option<(DataId, &[u8])>,
        comment: &str,
    ) -> Result<Object<'static>, CodegenError> {
        let Writer { module, isa, frames, .. } = self;
        let product = module.finish();
        let frames: Vec<(SymbolId, Unwind)> =
            frames.into_iter().map(|(id, unwind)| (product.function_symbol(id), unwind)).collect();
        let weights = weights.map(|(id, bytes)| (product.data_symbol(id), bytes));
        let mut object = product.object;
        if let Some((symbol, bytes)) = weights {
            let section = object.section_id(StandardSection::ReadOnlyData);
            object.symbol_mut(symbol).scope = SymbolScope::Compilation;
            object.add_symbol_data(symbol, section, bytes, ALIGN as u64);
        }
        if object.format() == BinaryFormat::Elf {
            let mut table = Frames::default();
            for (symbol, unwind) in &frames {
                match unwind {
                    Unwind::Cranelift(info) => table.add(&*isa, *symbol, info),
                    Unwind::Read(code, len) => table.add_x86(&*isa, *symbol, code, *len),
                }
            }
            table.finish(&mut object)?;
        }
        if !comment.is_empty() {
            let (segment, name, kind): (&[u8], &[u8], _) = match object.format() {
                BinaryFormat::MachO => (b"__TEXT", b"__comment", SectionKind::ReadOnlyData),
                BinaryFormat::Coff => (b"", b".comment", SectionKind::ReadOnlyData),
                _ => (b"", b".comment", SectionKind::OtherString),
            };
            let section = object.add_section(segment.to_vec(), name.to_vec(), kind);
            let text = [b"\0", comment.as_bytes(), b"\0"].concat();
            object.append_section_data(section, &text, 1);
        }
        Ok(object)
    }
}
