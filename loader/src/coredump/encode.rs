//! Writes a core dump in the tool conventions' format
//! (<https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md>).
//!
//! ```text
//! core | coremodules | coreinstances | corestack | memories | globals | data: runs of pages
//! ```
//!
//! All but the data is small. The data is not collected: what is not zero is looked for first, so
//! that the section's size is known, and then copied in parts.

use std::io::{self, Write};
use std::ops::Range;

use cwasm_format::state::global_type;
use wasm_encoder::{
    AbstractHeapType, ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection,
    CoreDumpStackSection, CoreDumpValue, Encode as _, GlobalSection, GlobalType, HeapType, Ieee32,
    Ieee64, MemorySection, MemoryType, Module, RefType, SectionId, ValType,
};

use super::CoreDumpSize;
use super::collect::{Collected, Global, Memory};

/// Bytes that are left out if they are all zero.
const PAGE: usize = 4096;

/// Bytes that are looked at together at the ends of runs.
const WORD: u64 = 8;

/// Bytes that are written at once.
const BUFFER: usize = 16 * PAGE;

/// The most bytes of a section.
const MAX_SECTION: u64 = u32::MAX as u64;

/// More bytes than the head of a segment: its kind, memory, offset and size.
const MAX_SEGMENT_HEAD: u64 = 32;

/// The name of the only thread.
const THREAD: &str = "main";

/// Writes a core dump of the executable `name`, with at most `max` bytes of memories.
///
/// # Errors
/// If it cannot be written.
pub(super) fn write(
    collected: &Collected<'_>,
    name: &str,
    max: u64,
    out: &mut dyn Write,
) -> io::Result<CoreDumpSize> {
    let head = head(collected, name);
    out.write_all(&head)?;
    let found = Runs::find(&collected.memories, max);
    let data = write_data(&collected.memories, &found, out)?;
    out.flush()?;
    Ok(CoreDumpSize {
        bytes: head.len() as u64 + data,
        memory: found.size,
        left_out: found.left_out,
    })
}

/// All sections but the data.
fn head(collected: &Collected<'_>, name: &str) -> Vec<u8> {
    let mut modules = CoreDumpModulesSection::new();
    for name in &collected.modules {
        modules.module(name);
    }
    let mut instances = CoreDumpInstancesSection::new();
    for instance in &collected.instances {
        let memories = instance.memories.iter().copied();
        let globals = instance.globals.iter().copied();
        instances.instance(instance.module, memories, globals);
    }
    let mut stack = CoreDumpStackSection::new(THREAD);
    let unknown = || std::iter::empty::<CoreDumpValue>();
    for frame in &collected.frames {
        stack.frame(
            frame.instance,
            frame.func_index,
            frame.offset,
            unknown(),
            unknown(),
        );
    }
    let mut memories = MemorySection::new();
    for memory in &collected.memories {
        memories.memory(memory_type(memory));
    }
    let mut globals = GlobalSection::new();
    for global in &collected.globals {
        let (val_type, value) = constant(global);
        let ty = GlobalType {
            val_type,
            mutable: false,
            shared: false,
        };
        globals.global(ty, &value);
    }
    let mut module = Module::new();
    module.section(&CoreDumpSection::new(name));
    module.section(&modules);
    module.section(&instances);
    module.section(&stack);
    module.section(&memories);
    module.section(&globals);
    module.finish()
}

/// The type, with the size at the moment as the minimum.
fn memory_type(memory: &Memory<'_>) -> MemoryType {
    MemoryType {
        minimum: memory.memory.bytes().len() >> memory.page_log2,
        maximum: memory.max,
        memory64: memory.is_64,
        shared: memory.is_shared,
        page_size_log2: (memory.page_log2 != 16).then_some(memory.page_log2),
    }
}

/// The type and value of a global. References have no constants but null.
fn constant(global: &Global) -> (ValType, ConstExpr) {
    let bits = global.bits;
    let reference = |ty| {
        let heap_type = HeapType::Abstract { shared: false, ty };
        let ty = ValType::Ref(RefType {
            nullable: true,
            heap_type,
        });
        (ty, ConstExpr::ref_null(heap_type))
    };
    match global.ty {
        global_type::I32 => (ValType::I32, ConstExpr::i32_const(bits as i32)),
        global_type::I64 => (ValType::I64, ConstExpr::i64_const(bits as i64)),
        global_type::F32 => {
            let value = Ieee32::new(bits as u32);
            (ValType::F32, ConstExpr::f32_const(value))
        }
        global_type::F64 => {
            let value = Ieee64::new(bits as u64);
            (ValType::F64, ConstExpr::f64_const(value))
        }
        global_type::V128 => (ValType::V128, ConstExpr::v128_const(bits as i128)),
        global_type::EXTERN_REF => reference(AbstractHeapType::Extern),
        global_type::EXN_REF => reference(AbstractHeapType::Exn),
        _ => reference(AbstractHeapType::Func),
    }
}

/// Runs of pages that are not zero.
#[derive(Debug, Default)]
struct Runs {
    /// The memory's index, and its bytes.
    runs: Vec<(u32, Range<u64>)>,
    /// Bytes of all of them.
    size: u64,
    /// Bytes of pages that are not zero and not among them.
    left_out: u64,
}

impl Runs {
    /// Finds at most `max` bytes, and no more than a section can have.
    fn find(memories: &[Memory<'_>], max: u64) -> Runs {
        let mut found = Runs::default();
        // What the runs take in the section, at most.
        let mut taken = MAX_SEGMENT_HEAD;
        for (index, memory) in (0..).zip(memories) {
            let bytes = memory.memory.bytes();
            let mut start = 0;
            while start < bytes.len() {
                let end = bytes.len().min(start + PAGE as u64);
                if !bytes.are_zero(start, PAGE) {
                    let size = end - start;
                    let fits =
                        found.size + size <= max && taken + size + MAX_SEGMENT_HEAD <= MAX_SECTION;
                    match fits {
                        true => taken += found.add(index, start..end),
                        false => found.left_out += size,
                    }
                }
                start = end;
            }
        }
        found.trim(memories);
        found
    }

    /// Leaves out zeros at the ends of runs, by words.
    fn trim(&mut self, memories: &[Memory<'_>]) {
        self.size = 0;
        for (memory, bytes) in &mut self.runs {
            let from = memories[*memory as usize].memory.bytes();
            while bytes.start + WORD < bytes.end && from.are_zero(bytes.start, WORD as usize) {
                bytes.start += WORD;
            }
            let is_whole = bytes.end.is_multiple_of(WORD);
            while is_whole
                && bytes.start + WORD < bytes.end
                && from.are_zero(bytes.end - WORD, WORD as usize)
            {
                bytes.end -= WORD;
            }
            self.size += bytes.end - bytes.start;
        }
    }

    /// Adds bytes of a memory, after those that were added before; what they take in the section,
    /// at most.
    fn add(&mut self, memory: u32, bytes: Range<u64>) -> u64 {
        let size = bytes.end - bytes.start;
        self.size += size;
        match self.runs.last_mut() {
            Some((of, last)) if *of == memory && last.end == bytes.start => {
                last.end = bytes.end;
                size
            }
            _ => {
                self.runs.push((memory, bytes));
                size + MAX_SEGMENT_HEAD
            }
        }
    }
}

/// Writes the section with the contents of the memories: its bytes.
fn write_data(memories: &[Memory<'_>], found: &Runs, out: &mut dyn Write) -> io::Result<u64> {
    let segment_heads = found.runs.iter();
    let segment_heads: Vec<Vec<u8>> = segment_heads
        .map(|(memory, bytes)| segment_head(*memory, bytes, memories[*memory as usize].is_64))
        .collect();
    let mut count = Vec::new();
    (found.runs.len() as u32).encode(&mut count);
    let heads: usize = segment_heads.iter().map(Vec::len).sum();
    let size = (count.len() + heads) as u64 + found.size;
    let mut head = vec![SectionId::Data as u8];
    // `find` has kept it below the limit.
    (size as u32).encode(&mut head);
    head.extend(count);
    out.write_all(&head)?;
    let mut buffer = vec![0; BUFFER];
    for ((memory, bytes), segment_head) in found.runs.iter().zip(&segment_heads) {
        out.write_all(segment_head)?;
        let from = memories[*memory as usize].memory.bytes();
        for start in bytes.clone().step_by(BUFFER) {
            let size = (bytes.end - start).min(BUFFER as u64) as usize;
            from.copy(start, &mut buffer[..size]);
            out.write_all(&buffer[..size])?;
        }
    }
    Ok(head.len() as u64 + heads as u64 + found.size)
}

/// What is before the bytes of an active segment.
fn segment_head(memory: u32, bytes: &Range<u64>, is_64: bool) -> Vec<u8> {
    /// The kind of segment that names its memory.
    const ACTIVE_IN_MEMORY: u32 = 2;
    let mut head = Vec::new();
    match memory {
        0 => memory.encode(&mut head),
        _ => {
            ACTIVE_IN_MEMORY.encode(&mut head);
            memory.encode(&mut head);
        }
    }
    let offset = match is_64 {
        true => ConstExpr::i64_const(bytes.start as i64),
        false => ConstExpr::i32_const(bytes.start as i32),
    };
    offset.encode(&mut head);
    ((bytes.end - bytes.start) as u32).encode(&mut head);
    head
}
