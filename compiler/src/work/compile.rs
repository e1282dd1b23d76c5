//! Compiles entries to machine code, in parallel.

use std::collections::{BTreeSet, HashMap};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use cranelift_codegen::{FinalizedMachReloc, FinalizedRelocTarget, binemit, ir};
use cwasm_format::TrapCode;
use cwasm_format::header::Kind;

use super::barriers;
use super::build::{Job, Worker, build, size_hint};
use super::inline::Bodies;
use super::leaves;
use super::list::{Entry, WorkList};
use super::machine;
use crate::error::{Error, Result};
use crate::ir::symbol::{FuncId, Symbol};
use crate::ir::trap::from_trap_code;
use crate::options::Progress;

/// All functions of the text, compiled: those of the work list, and then what they share.
pub(crate) struct Compiled<'l> {
    list: &'l WorkList,
    /// Functions for handles and the builtins' trampolines that something refers to.
    shared: Vec<Entry>,
    /// The numbers of shared functions.
    ids: HashMap<Symbol, FuncId>,
    /// In the order of the text.
    pub(crate) functions: Vec<CompiledFunction>,
}

impl<'l> Compiled<'l> {
    /// The list's functions, to which those that they share are added.
    fn new(list: &'l WorkList, functions: Vec<CompiledFunction>) -> Compiled<'l> {
        Compiled {
            list,
            shared: Vec::new(),
            ids: HashMap::new(),
            functions,
        }
    }

    fn add(&mut self, symbol: Symbol, entry: Entry, function: CompiledFunction) {
        self.ids.insert(symbol, FuncId(self.functions.len() as u32));
        self.shared.push(entry);
        self.functions.push(function);
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

    /// The function that a symbol means; `None` if it is not a function, or was not compiled
    /// because nothing refers to it.
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
    /// The alignment that the code needs or, unless it is optimised for size, likes.
    pub(crate) align: u32,
    pub(crate) relocs: Vec<Reloc>,
    /// Offset of each instruction that can trap, and why.
    pub(crate) traps: Vec<(u32, TrapCode)>,
    /// For thunks: the call into wasm.
    pub(crate) enter: Option<EnterCall>,
    /// Whether it was beyond the budget of the backtracking register allocator.
    pub(crate) single_pass: bool,
}

/// A place in code that depends on where something else is.
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

/// Compiles all entries, and then what they share: functions for handles, and the builtins'
/// trampolines.
pub(crate) fn compile<'l>(
    list: &'l WorkList,
    job: Job<'_, '_>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Compiled<'l>> {
    let bodies = leaves::bodies(list, job);
    let functions = compile_entries(&list.entries, job, &bodies, progress)?;
    let mut compiled = Compiled::new(list, functions);
    // Functions that adapters share call others.
    let mut first = 0;
    while first < compiled.functions.len() {
        let copies = used(&compiled.functions[first..], |symbol| match symbol {
            Symbol::Copy(func) if compiled.func(symbol).is_none() => Some(func),
            _ => None,
        });
        first = compiled.functions.len();
        let entries: Vec<Entry> = copies.iter().copied().map(Entry::Copy).collect();
        let functions = compile_entries(&entries, job, &bodies, &|_| {})?;
        for ((func, entry), function) in copies.into_iter().zip(entries).zip(functions) {
            compiled.add(Symbol::Copy(func), entry, function);
        }
    }
    for op in used(&compiled.functions, |symbol| match symbol {
        Symbol::Handle(op) => Some(op),
        _ => None,
    }) {
        let entry = Entry::Handle(op);
        let functions = compile_entries(slice::from_ref(&entry), job, &bodies, &|_| {})?;
        for function in functions {
            compiled.add(Symbol::Handle(op), entry.clone(), function);
        }
    }
    let builtins = used(&compiled.functions, |symbol| match symbol {
        Symbol::Builtin(builtin) => Some(builtin),
        _ => None,
    });
    let entries: Vec<Entry> = builtins.iter().copied().map(Entry::Builtin).collect();
    let functions = compile_entries(&entries, job, &bodies, &|_| {})?;
    for ((builtin, entry), function) in builtins.into_iter().zip(entries).zip(functions) {
        compiled.add(Symbol::Builtin(builtin), entry, function);
    }
    Ok(compiled)
}

/// The symbols that compiled functions refer to, of those that `select` knows.
fn used<T: Ord>(
    compiled: &[CompiledFunction],
    select: impl Fn(Symbol) -> Option<T>,
) -> BTreeSet<T> {
    let relocs = compiled.iter().flat_map(|compiled| &compiled.relocs);
    relocs.filter_map(|reloc| select(reloc.symbol)).collect()
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
    // The place of the first entry, in the list's order, that is known to fail. Those after it need
    // not be compiled, those before it must be: the error is the same whatever the threads do.
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
                // What was half built is still in there.
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
    worker.context.clear();
    build(entry, job, bodies, worker)?;
    let context = &mut worker.context;
    // What a component gave to an imported module may come back as that module's export: it has two
    // names then.
    let is_aliased = job.unit.is_open && job.unit.kind == Kind::Component;
    if is_aliased || !job.target.alias_analysis {
        barriers::insert(&mut context.func);
    }
    let machine = machine::generate(context, &mut worker.registers, job.target)
        .map_err(|error| Error::codegen(format!("{entry:?}"), format!("{error:?}")))?;
    let buffer = &machine.code.buffer;
    assert!(buffer.alignment <= job.target.arch.function_align);
    let enter = buffer.call_sites().find_map(|site| {
        let handler = site
            .exception_handlers
            .iter()
            .find_map(|handler| match handler {
                cranelift_codegen::FinalizedMachExceptionHandler::Default(offset) => Some(*offset),
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
    let traps = buffer
        .traps()
        .iter()
        .map(|trap| (trap.offset, from_trap_code(trap.code)))
        .collect();
    let (bytes, relocs) = (buffer.data().to_vec(), buffer.relocs().to_vec());
    let relocs = relocs
        .iter()
        .map(|found| reloc(found, &context.func))
        .collect::<Result<_>>()?;
    Ok(CompiledFunction {
        code: bytes,
        align: buffer.alignment.max(job.target.function_align()),
        relocs,
        traps,
        enter,
        single_pass: machine.single_pass,
    })
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
