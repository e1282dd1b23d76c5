//! Links a unit: places functions in the text and resolves their relocations.

use cwasm_format::code::{EntryRecord, FunctionRecord, function_kind};
use cwasm_format::concurrent::OpRecord;
use cwasm_format::exceptions::{CatchList, CatchRecord, CatchSite};
use cwasm_format::header::{NONE, SectionId, SectionRange};
use cwasm_format::imports::LowerRecord;
use cwasm_format::traps::{self, TrapBlock};

use crate::error::{Error, Result};
use crate::ir::symbol::{FuncId, Symbol};
use crate::isa::Arch;
use crate::work::{CatchCall, Compiled, Entry};

/// The largest text, which near calls can reach.
const MAX_TEXT_SIZE: u64 = 1 << 31;

/// The tables of handlers of exceptions.
#[derive(Default)]
pub(crate) struct CatchTables {
    pub(crate) sites: Vec<CatchSite>,
    pub(crate) lists: Vec<CatchList>,
    pub(crate) catches: Vec<CatchRecord>,
}

/// The functions' places, before relocations are resolved.
pub(crate) struct Text {
    /// Text offset of each entry.
    pub(crate) offsets: Vec<u32>,
    /// Bytes of the text.
    pub(crate) size: u32,
    /// Text offset after the last core function.
    pub(crate) thunks_start: u32,
}

impl Text {
    /// Places the functions in their order.
    pub(crate) fn place(compiled: &Compiled<'_>) -> Result<Text> {
        let mut end = 0u64;
        let mut offsets = Vec::with_capacity(compiled.functions.len());
        for function in &compiled.functions {
            let start = end.next_multiple_of(function.align.into());
            offsets.push(start as u32);
            end = start + function.code.len() as u64;
            if end > MAX_TEXT_SIZE {
                return Err(Error::limit("bytes of machine code", end, MAX_TEXT_SIZE));
            }
        }
        let size = end as u32;
        let thunks_start = offsets.get(compiled.core_funcs()).copied().unwrap_or(size);
        Ok(Text {
            offsets,
            size,
            thunks_start,
        })
    }

    /// The text offset of a function.
    pub(crate) fn offset(&self, func: FuncId) -> u32 {
        self.offsets[func.0 as usize]
    }

    /// The bytes of the text. `sections` says where all sections are in the file.
    pub(crate) fn link(
        &self,
        arch: &Arch,
        compiled: &Compiled<'_>,
        sections: &[SectionRange],
    ) -> Result<Vec<u8>> {
        let padding = arch.padding.iter().copied().cycle();
        let mut bytes: Vec<u8> = padding.take(self.size as usize).collect();
        let text = sections[SectionId::Text as usize].offset as i64;
        for (place, function) in compiled.functions.iter().enumerate() {
            let start = self.offsets[place] as usize;
            let code = &mut bytes[start..start + function.code.len()];
            code.copy_from_slice(&function.code);
            for reloc in &function.relocs {
                let target = text + self.target(compiled, reloc.symbol, sections) + reloc.addend;
                let at = text + start as i64 + i64::from(reloc.offset);
                (arch.relocate)(code, reloc.offset, reloc.kind, target - at)?;
            }
        }
        Ok(bytes)
    }

    /// The offset of a symbol from the start of the text.
    fn target(&self, compiled: &Compiled<'_>, symbol: Symbol, sections: &[SectionRange]) -> i64 {
        let section = |id: SectionId| sections[id as usize].offset as i64;
        let text = section(SectionId::Text);
        match symbol {
            Symbol::Func(_) | Symbol::Builtin(_) | Symbol::Handle(_) | Symbol::Copy(_) => {
                match compiled.func(symbol) {
                    Some(func) => self.offset(func).into(),
                    None => unreachable!("all that is used was compiled"),
                }
            }
            Symbol::Text => 0,
            Symbol::Data(offset) => section(SectionId::Data) + i64::from(offset) - text,
            Symbol::Lower(index) => {
                let size = size_of::<LowerRecord>() as i64;
                section(SectionId::Lowers) + i64::from(index) * size - text
            }
            Symbol::Op(index) => {
                let size = size_of::<OpRecord>() as i64;
                section(SectionId::Ops) + i64::from(index) * size - text
            }
        }
    }

    /// The table of functions.
    pub(crate) fn functions(&self, compiled: &Compiled<'_>) -> Vec<FunctionRecord> {
        compiled
            .entries()
            .zip(&self.offsets)
            .map(|(entry, start)| {
                let (kind, instance, index) = match *entry {
                    Entry::Core { instance, index } => (function_kind::CORE, instance, index),
                    Entry::Lower(index) => (function_kind::TRAMPOLINE, 0, index),
                    Entry::Adapter(index) => (function_kind::ADAPTER, 0, index),
                    Entry::Resource(index) => (function_kind::RESOURCE, 0, index),
                    Entry::Op(index) => (function_kind::TRAMPOLINE, 0, index),
                    Entry::Handle(op) => (function_kind::RESOURCE, 0, op as u32),
                    Entry::Copy(func) => (function_kind::ADAPTER, 0, func.direction),
                    Entry::Thunk { ref func, .. } => (function_kind::THUNK, 0, func.0),
                    Entry::ArrayThunk(ty) => (function_kind::THUNK, 0, ty),
                    Entry::HostFunc(ty) => (function_kind::TRAMPOLINE, 0, ty),
                    Entry::Bridge(index) => (function_kind::ADAPTER, 0, index),
                    Entry::Steps { start, .. } => (function_kind::INIT, 0, start),
                    Entry::Init { first, .. } => (function_kind::INIT, 0, first.0),
                    Entry::Builtin(builtin) => (function_kind::BUILTIN, 0, builtin as u32),
                };
                FunctionRecord {
                    start: *start,
                    kind: kind | instance << 8,
                    index,
                }
            })
            .collect()
    }

    /// The table of entries into wasm.
    pub(crate) fn entries(&self, compiled: &Compiled<'_>) -> Vec<EntryRecord> {
        self.offsets
            .iter()
            .zip(&compiled.functions)
            .filter_map(|(start, function)| {
                let enter = function.enter.as_ref()?;
                Some(EntryRecord {
                    return_offset: start + enter.return_offset,
                    handler_offset: start + enter.handler_offset,
                    frame_size: enter.frame_size,
                    context_offset: enter.context_offset,
                })
            })
            .collect()
    }

    /// The tables of handlers of exceptions. Neighbouring calls of a function mostly have the same
    /// handlers, and then share a list.
    pub(crate) fn catches(&self, compiled: &Compiled<'_>) -> CatchTables {
        let mut tables = CatchTables::default();
        for (start, function) in self.offsets.iter().zip(&compiled.functions) {
            let mut last: Option<&CatchCall> = None;
            for call in &function.catch_calls {
                let is_known = last.is_some_and(|last| {
                    let of = |call: &CatchCall| (call.frame_size, call.context_offset);
                    of(last) == of(call) && last.catches == call.catches
                });
                if !is_known {
                    tables.lists.push(CatchList {
                        frame_size: call.frame_size,
                        context_offset: call.context_offset.unwrap_or(NONE),
                        first: tables.catches.len() as u32,
                        count: call.catches.len() as u32,
                    });
                    let catches = call.catches.iter();
                    tables
                        .catches
                        .extend(catches.map(|(catches, handler)| CatchRecord {
                            catches: *catches,
                            handler: start + handler,
                        }));
                    last = Some(call);
                }
                tables.sites.push(CatchSite {
                    return_offset: start + call.return_offset,
                    list: tables.lists.len() as u32 - 1,
                });
            }
        }
        tables
    }

    /// The trap table.
    pub(crate) fn traps(&self, compiled: &Compiled<'_>) -> (Vec<TrapBlock>, Vec<u8>) {
        let traps = self
            .offsets
            .iter()
            .zip(&compiled.functions)
            .flat_map(|(start, function)| {
                function
                    .traps
                    .iter()
                    .map(move |(offset, code)| (start + offset, *code))
            });
        traps::encode(traps)
    }
}
