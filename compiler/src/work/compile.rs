//! Compiles entries to machine code, in parallel.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use cranelift_codegen::{
    ExceptionContextLoc, FinalizedMachCallSite, FinalizedMachExceptionHandler, FinalizedMachReloc,
    FinalizedRelocTarget, binemit, ir,
};
use cwasm_format::TrapCode;
use cwasm_format::header::Kind;

use super::barriers;
use super::build::{Job, Worker, build, size_hint};
use super::inline::Bodies;
use super::leaves;
use super::list::{Entry, WorkList};
use super::machine;
use super::origins::Origins;
use super::timing::{Times, Watch};
use crate::error::{Error, Result};
use crate::ir::saved::Saved;
use crate::ir::symbol::{FuncId, Symbol};
use crate::ir::trap::from_trap_code;
use crate::isa::{MachineCode, Target};
use crate::options::{OptLevel, Progress};

/// All functions of the text, compiled: those of the work list, then those that they share.
pub(crate) struct Compiled<'l> {
    list: &'l WorkList,
    /// Functions that other functions share: parts of adapters, functions on handles, trampolines
    /// of builtins. Only those that are used.
    shared: Vec<Entry>,
    /// The numbers of shared functions.
    ids: HashMap<Symbol, FuncId>,
    /// The functions in the order of the text.
    pub(crate) functions: Vec<CompiledFunction>,
}

impl<'l> Compiled<'l> {
    /// Starts with the list's functions; shared functions are added later.
    fn new(list: &'l WorkList, functions: Vec<CompiledFunction>) -> Compiled<'l> {
        Compiled {
            list,
            shared: Vec::new(),
            ids: HashMap::new(),
            functions,
        }
    }

    /// Adds the shared functions of one kind that the functions so far refer to, and those that
    /// these refer to. `select` is the kind's part of a symbol.
    fn add_used<T: Copy + Ord>(
        &mut self,
        (job, bodies): (Job<'_, '_>, &Bodies),
        select: impl Fn(Symbol) -> Option<T>,
        symbol: impl Fn(T) -> Symbol,
        entry: impl Fn(T) -> Entry,
    ) -> Result<()> {
        let mut first = 0;
        while first < self.functions.len() {
            let new = &self.functions[first..];
            let mut used: BTreeSet<T> = new
                .iter()
                .flat_map(|function| &function.relocs)
                .filter_map(|reloc| select(reloc.symbol))
                .collect();
            used.retain(|part| self.func(symbol(*part)).is_none());
            first = self.functions.len();
            let entries: Vec<Entry> = used.iter().copied().map(&entry).collect();
            let functions = compile_entries(&entries, job, bodies, &|_| {})?;
            for ((part, entry), function) in used.into_iter().zip(entries).zip(functions) {
                let id = FuncId(self.functions.len() as u32);
                self.ids.insert(symbol(part), id);
                self.shared.push(entry);
                self.functions.push(function);
            }
        }
        Ok(())
    }

    /// How many core functions there are: they come first.
    pub(crate) fn core_funcs(&self) -> usize {
        self.list.core_funcs
    }

    /// How many functions had their registers allocated in a single pass.
    pub(crate) fn single_pass(&self) -> usize {
        let functions = self.functions.iter();
        functions.filter(|found| found.single_pass).count()
    }

    /// Bytes of machine code.
    pub(crate) fn code_size(&self) -> usize {
        self.functions.iter().map(|found| found.code.len()).sum()
    }

    /// The entry of each function, in the order of the text.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.list.entries.iter().chain(&self.shared)
    }

    /// The function of a symbol; `None` if it is not a function, or was not compiled because
    /// nothing refers to it.
    pub(crate) fn func(&self, symbol: Symbol) -> Option<FuncId> {
        match symbol {
            Symbol::Func(func) => Some(func),
            symbol => self.ids.get(&symbol).copied(),
        }
    }
}

/// A compiled function.
pub(crate) struct CompiledFunction {
    pub(crate) code: Vec<u8>,
    /// The alignment that the code needs or, unless it is optimised for size, runs fastest with.
    pub(crate) align: u32,
    pub(crate) relocs: Vec<Reloc>,
    /// Offset of each instruction that can trap, with the trap.
    pub(crate) traps: Vec<(u32, TrapCode)>,
    /// For thunks: the call into wasm.
    pub(crate) enter: Option<EnterCall>,
    /// The calls from which exceptions are caught.
    pub(crate) catch_calls: Vec<CatchCall>,
    /// Whether it was beyond the budget of the backtracking register allocator.
    pub(crate) single_pass: bool,
    /// Of core functions, with debug information: where the code comes from.
    pub(crate) origins: Option<Origins>,
    /// The registers that it saves for its caller.
    pub(crate) saved: Saved,
    /// What it took, if that was measured.
    pub(crate) times: Times,
}

/// A place in code that depends on the address of a symbol.
pub(crate) struct Reloc {
    pub(crate) offset: u32,
    pub(crate) kind: binemit::Reloc,
    pub(crate) symbol: Symbol,
    pub(crate) addend: i64,
}

/// Offsets as in [`cwasm_format::code::EntryRecord`], from the start of the function.
pub(crate) struct EnterCall {
    pub(crate) return_offset: u32,
    pub(crate) handler_offset: u32,
    pub(crate) frame_size: u32,
    pub(crate) context_offset: u32,
}

/// A call from which exceptions are caught. Offsets are from the start of the function.
pub(crate) struct CatchCall {
    pub(crate) return_offset: u32,
    pub(crate) frame_size: u32,
    /// As in [`cwasm_format::exceptions::CatchList`].
    pub(crate) context_offset: Option<u32>,
    /// What each handler catches, and its offset.
    pub(crate) catches: Vec<(u32, u32)>,
}

/// Compiles all entries, then the functions that they share.
pub(crate) fn compile<'l>(
    list: &'l WorkList,
    job: Job<'_, '_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Compiled<'l>> {
    let bodies = leaves::bodies(list, job);
    let functions = compile_entries(&list.entries, job, &bodies, progress)?;
    let mut compiled = Compiled::new(list, functions);
    let context = (job, &bodies);
    let copy = |symbol| match symbol {
        Symbol::Copy(func) => Some(func),
        _ => None,
    };
    compiled.add_used(context, copy, Symbol::Copy, Entry::Copy)?;
    let handle = |symbol| match symbol {
        Symbol::Handle(op) => Some(op),
        _ => None,
    };
    compiled.add_used(context, handle, Symbol::Handle, Entry::Handle)?;
    // Last, because all functions may call builtins.
    let builtin = |symbol| match symbol {
        Symbol::Builtin(builtin) => Some(builtin),
        _ => None,
    };
    compiled.add_used(context, builtin, Symbol::Builtin, Entry::Builtin)?;
    Ok(compiled)
}

fn compile_entries(
    entries: &[Entry],
    job: Job<'_, '_>,
    bodies: &Bodies,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<CompiledFunction>> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|place| std::cmp::Reverse(size_hint(&entries[*place], job.unit)));
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    // The place of the first entry, in the list's order, that is known to fail. Entries after it
    // need not be compiled, those before it must be, so that the error does not depend on the
    // threads.
    let failed = AtomicUsize::new(usize::MAX);
    let results: Vec<Vec<(usize, Result<CompiledFunction>)>> = rayon::broadcast(|_| {
        let mut worker = Worker::new();
        let mut results = Vec::new();
        while let Some(place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if *place > failed.load(Ordering::Relaxed) {
                continue;
            }
            let result = compile_entry(&entries[*place], job, bodies, &mut worker);
            if result.is_err() {
                failed.fetch_min(*place, Ordering::Relaxed);
                // The worker still has parts of the function that failed.
                worker = Worker::new();
            }
            results.push((*place, result));
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress {
                done,
                total: entries.len(),
            });
        }
        results
    });
    let mut compiled: Vec<Option<CompiledFunction>> = entries.iter().map(|_| None).collect();
    let mut first_error: Option<Error> = None;
    for (place, result) in results.into_iter().flatten() {
        match result {
            Ok(result) => compiled[place] = Some(result),
            Err(error) if place == failed.load(Ordering::Relaxed) => first_error = Some(error),
            Err(_) => {}
        }
    }
    match first_error {
        Some(error) => Err(error),
        None => Ok(compiled.into_iter().flatten().collect()),
    }
}

fn compile_entry(
    entry: &Entry,
    job: Job<'_, '_>,
    bodies: &Bodies,
    worker: &mut Worker,
) -> Result<CompiledFunction> {
    let mut watch = Watch::start(job.is_timed);
    build(entry, job, bodies, worker)?;
    watch.end_translate();
    let context = &mut worker.context;
    // An item that a component gives to an imported module may come back as that module's export:
    // then two slots refer to it.
    let is_aliased = job.unit.is_open && job.unit.kind == Kind::Component;
    if is_aliased || !job.target.alias_analysis {
        barriers::insert(&mut context.func);
    }
    let machine = machine::generate(context, &mut worker.registers, job.target, &mut watch)
        .map_err(|error| Error::codegen(format!("{entry:?}"), format!("{error:?}")))?;
    let buffer = &machine.code.buffer;
    assert!(buffer.alignment <= job.target.arch.function_align);
    let enter = buffer.call_sites().find_map(|site| {
        let handler = site
            .exception_handlers
            .iter()
            .find_map(|handler| match handler {
                FinalizedMachExceptionHandler::Default(offset) => Some(*offset),
                _ => None,
            })?;
        let layout = buffer.frame_layout();
        let context_offset = match layout.and_then(|layout| layout.stackslots.values().next()) {
            Some(slot) => slot.offset,
            None => unreachable!("a thunk keeps its context in its only stack slot"),
        };
        Some(EnterCall {
            return_offset: site.ret_addr,
            handler_offset: handler,
            frame_size: site.frame_offset.unwrap_or(0),
            context_offset,
        })
    });
    let traps = buffer.traps().iter();
    let traps = traps.map(|trap| (trap.offset, from_trap_code(trap.code)));
    let relocs = buffer.relocs().iter();
    let saved = Saved::of(&machine.code, &*job.target.isa);
    let labels = worker.translate.labels.as_ref();
    let mut function = CompiledFunction {
        code: buffer.data().to_vec(),
        align: buffer.alignment.max(job.target.function_align()),
        relocs: relocs
            .map(|found| reloc(found, &context.func))
            .collect::<Result<_>>()?,
        traps: traps.collect(),
        enter,
        catch_calls: buffer
            .call_sites()
            .filter_map(|site| catch_call(&site))
            .collect(),
        single_pass: machine.single_pass,
        origins: (job.target.debug && matches!(entry, Entry::Core { .. }))
            .then(|| Origins::of(&machine.code, &*job.target.isa, labels, &saved)),
        saved,
        times: Times::default(),
    };
    if job.target.opt != OptLevel::None {
        let (blocks, align) = (&machine.code.bb_starts, buffer.alignment);
        relax(&mut function, (blocks, align), job.target);
    }
    function.times = watch.end();
    Ok(function)
}

/// A call from which exceptions are caught; `None` if they are not.
fn catch_call(site: &FinalizedMachCallSite<'_>) -> Option<CatchCall> {
    let mut call = CatchCall {
        return_offset: site.ret_addr,
        frame_size: site.frame_offset.unwrap_or(0),
        context_offset: None,
        catches: Vec::new(),
    };
    for handler in site.exception_handlers {
        match handler {
            FinalizedMachExceptionHandler::Tag(tag, offset) => {
                call.catches.push((tag.as_u32(), *offset));
            }
            FinalizedMachExceptionHandler::Context(ExceptionContextLoc::SPOffset(offset)) => {
                call.context_offset = Some(*offset);
            }
            FinalizedMachExceptionHandler::Context(ExceptionContextLoc::GPR(_)) => {
                unreachable!("an exception keeps no register, so that the context is in the frame")
            }
            // Those of thunks.
            FinalizedMachExceptionHandler::Default(_) => {}
        }
    }
    (!call.catches.is_empty()).then_some(call)
}

/// Makes the code of a function shorter.
fn relax(function: &mut CompiledFunction, (blocks, align): (&[u32], u32), target: &Target) {
    if function.enter.is_some() {
        return;
    }
    let traps: Vec<u32> = function.traps.iter().map(|(offset, _)| *offset).collect();
    let relocs: Vec<u32> = function.relocs.iter().map(|reloc| reloc.offset).collect();
    let code = MachineCode {
        bytes: &function.code,
        align,
        blocks,
        traps: &traps,
        relocs: &relocs,
    };
    let Some(relaxed) = (target.arch.relax)(&code, target.opt == OptLevel::Speed) else {
        return;
    };
    for (offset, _) in &mut function.traps {
        *offset = relaxed.moved(*offset);
    }
    for reloc in &mut function.relocs {
        reloc.offset = relaxed.moved(reloc.offset);
    }
    for call in &mut function.catch_calls {
        // What follows the call may be aligned.
        call.return_offset = relaxed.moved(call.return_offset - 1) + 1;
        for (_, handler) in &mut call.catches {
            *handler = relaxed.moved(*handler);
        }
    }
    if let Some(origins) = &mut function.origins {
        origins.relax(&relaxed);
    }
    function.saved.relax(|offset| relaxed.moved(offset));
    function.code = relaxed.bytes;
}

fn reloc(found: &FinalizedMachReloc, func: &ir::Function) -> Result<Reloc> {
    let FinalizedRelocTarget::ExternalName(ir::ExternalName::User(name)) = found.target else {
        return Err(Error::codegen(
            format!("{}", func.name),
            format!("a relocation to {:?}", found.target),
        ));
    };
    let symbol = Symbol::from_name(&func.params.user_named_funcs()[name]);
    Ok(Reloc {
        offset: found.offset,
        kind: found.kind,
        symbol,
        addend: found.addend,
    })
}
