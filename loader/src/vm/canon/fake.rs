//! A guest made of Rust, for tests of what lies between the host and guests: a memory, a `realloc`
//! that can misbehave, and a thunk.

use std::cell::RefCell;
use std::mem::{offset_of, transmute};
use std::ptr::NonNull;

use cwasm_format::TrapCode;
use cwasm_format::abi::PointerWidth;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::hash::TypeHash;
use cwasm_format::header::NONE;
use cwasm_format::resources::UseRange;
use cwasm_format::vmctx::flags::INITIAL;
use cwasm_format::vmctx::{RawReturn, VmContext, VmMemory};

use super::{CallTarget, CanonOptions, Plain};
use crate::artifact::Code;
use crate::engine::Engine;
use crate::store::Store;
use crate::values::{LiftContext, LowerContext};
use crate::vm::store_context::AsContextMut;

/// Bytes of the guest's memory.
pub(crate) const MEMORY_SIZE: usize = 1 << 16;

/// Where `realloc` starts to hand out memory.
pub(crate) const HEAP: u32 = 1024;

/// The behaviour of the guest's `realloc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Realloc {
    /// Gives memory.
    Honest,
    /// Gives this pointer.
    Gives(u32),
    /// Gives memory this many times, then the pointer.
    GivesAfter(usize, u32),
    /// Traps.
    Traps,
}

/// The instance.
#[repr(C)]
struct Block {
    context: VmContext,
    memory: VmMemory,
    flags: u32,
    state: RefCell<State>,
}

struct State {
    next: u32,
    realloc: Realloc,
    reallocs: Vec<[u32; 4]>,
    calls: Vec<Vec<u64>>,
    returns: RawReturn,
}

/// The guest and its store.
pub(crate) struct Guest {
    pub(crate) store: Store<u32>,
    pub(crate) encoding: StringEncoding,
    pub(crate) width: PointerWidth,
    block: Box<Block>,
    /// `u64`s, so that it is aligned as a memory is.
    _memory: Box<[u64]>,
}

fn code(function: *const ()) -> Code {
    let address = NonNull::new(function.cast_mut().cast::<u8>()).unwrap();
    // SAFETY: `Code` is an address and nothing else.
    unsafe { transmute::<NonNull<u8>, Code>(address) }
}

fn block<'a>(context: NonNull<VmContext>) -> &'a Block {
    // SAFETY: tests call with the context of a `Block` that is live.
    unsafe { context.cast::<Block>().as_ref() }
}

extern "C" fn realloc(
    context: NonNull<VmContext>,
    old: u64,
    old_size: u64,
    align: u64,
    new_size: u64,
) -> RawReturn {
    let block = block(context);
    let mut state = block.state.borrow_mut();
    let args = [old, old_size, align, new_size].map(|arg| arg as u32);
    state.reallocs.push(args);
    let honest = (state.next.next_multiple_of(align as u32), 0);
    let (value, status) = match state.realloc {
        Realloc::Honest => honest,
        Realloc::Gives(pointer) => (pointer, 0),
        Realloc::GivesAfter(count, pointer) if state.reallocs.len() > count => (pointer, 0),
        Realloc::GivesAfter(..) => honest,
        Realloc::Traps => (0, TrapCode::Unreachable.number().into()),
    };
    if (value, status) == honest {
        state.next = value + new_size as u32;
        let memory = block.memory.base as usize;
        let kept = old_size.min(new_size) as usize;
        let from = std::ptr::with_exposed_provenance::<u8>(memory + old as usize);
        let to = std::ptr::with_exposed_provenance_mut::<u8>(memory + value as usize);
        // SAFETY: tests ask for less memory than there is.
        unsafe { std::ptr::copy(from, to, kept) };
    }
    RawReturn {
        value: value.into(),
        status,
    }
}

macro_rules! thunks {
    ($($name:ident: $($arg:ident)*;)*) => {
        $(extern "C" fn $name(context: NonNull<VmContext>, $($arg: u64),*) -> RawReturn {
            let mut state = block(context).state.borrow_mut();
            state.calls.push(vec![$($arg),*]);
            state.returns
        })*
        fn thunk(count: usize) -> Code {
            let thunks = [$($name as *const ()),*];
            code(thunks[count])
        }
    };
}

thunks! {
    thunk0: ;
    thunk1: a;
    thunk2: a b;
    thunk3: a b c;
    thunk4: a b c d;
    thunk5: a b c d e;
}

impl Guest {
    pub(crate) fn new() -> Guest {
        let mut memory = vec![0u64; MEMORY_SIZE / 8].into_boxed_slice();
        let base = memory.as_mut_ptr().expose_provenance() as u64;
        let byte_len = MEMORY_SIZE as u64;
        let mut store = Store::new(&Engine::default(), 7);
        let block = Box::new(Block {
            context: VmContext {
                store: store.as_context_mut().opaque().vm_address(),
                instance: 0,
                closed: 0,
                held: 0,
            },
            memory: VmMemory {
                base,
                byte_len,
                max_byte_len: byte_len,
                page_log2: 16,
                is_shared: 0,
                guard: 0,
            },
            flags: INITIAL,
            state: RefCell::new(State {
                next: HEAP,
                realloc: Realloc::Honest,
                reallocs: Vec::new(),
                calls: Vec::new(),
                returns: RawReturn::default(),
            }),
        });
        Guest {
            store,
            encoding: StringEncoding::Utf8,
            width: PointerWidth::W32,
            block,
            _memory: memory,
        }
    }

    pub(crate) fn with_encoding(encoding: StringEncoding) -> Guest {
        Guest {
            encoding,
            ..Guest::new()
        }
    }

    pub(crate) fn with_width(width: PointerWidth) -> Guest {
        Guest {
            width,
            ..Guest::new()
        }
    }

    /// The context: of the guest, not of a real instance.
    pub(crate) fn context(&self) -> NonNull<VmContext> {
        NonNull::from(&*self.block).cast()
    }

    pub(crate) fn options(&mut self) -> CanonOptions {
        let context = NonNull::from(&mut *self.block).cast::<VmContext>();
        CanonOptions {
            context,
            memory: context
                .as_ptr()
                .wrapping_byte_add(offset_of!(Block, memory))
                .cast(),
            realloc: Some(code(realloc as *const ())),
            // SAFETY: inside of the block.
            flags: unsafe { context.byte_add(offset_of!(Block, flags)) }.cast(),
            encoding: Plain::new(self.encoding),
            handles: NONE,
            uses: UseRange::default(),
            width: Plain::new(self.width),
        }
    }

    /// The options as an artifact says them; without `realloc`.
    pub(crate) fn record(&self) -> (cwasm_format::exports::CanonOptions, u32) {
        let options = cwasm_format::exports::CanonOptions {
            memory: offset_of!(Block, memory) as u32,
            realloc: NONE,
            string_encoding: StringEncoding::Utf8.number(),
            handles: NONE,
            uses: UseRange::default(),
            is_64: (self.width == PointerWidth::W64).into(),
        };
        (options, offset_of!(Block, flags) as u32)
    }

    /// A function of this many arguments that is `()` in and out for a component.
    pub(crate) fn target(&mut self, arg_count: usize, post_return: Option<usize>) -> CallTarget {
        let store = self.store.as_context_mut().opaque().id();
        CallTarget {
            store,
            owner: store,
            task: 0,
            instance: 0,
            code: thunk(arg_count),
            post_return: post_return.map(thunk),
            options: self.options(),
            hash: TypeHash::NONE,
            func_type: 0,
        }
    }

    /// Lowers to the guest.
    pub(crate) fn lower<T>(&mut self, lower: impl FnOnce(&mut LowerContext<'_>) -> T) -> T {
        let options = self.options();
        let mut store = self.store.as_context_mut();
        // SAFETY: as if the guest had been entered.
        lower(&mut unsafe { LowerContext::new(store.opaque(), &options) })
    }

    /// Lifts from the guest.
    pub(crate) fn lift<T>(&mut self, lift: impl FnOnce(&mut LiftContext<'_>) -> T) -> T {
        let options = self.options();
        let mut store = self.store.as_context_mut();
        // SAFETY: the guest is live, and only runs when it is called.
        lift(&mut unsafe { LiftContext::new(&options, store.opaque()) })
    }

    pub(crate) fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the guest is live, and borrowed as long as its memory is.
        unsafe { self.options().memory_mut() }
    }

    /// Whether nothing of the guest runs again.
    pub(crate) fn is_closed(&self) -> bool {
        self.block.context.closed != 0
    }

    /// How often something keeps the guest from being entered.
    pub(crate) fn held(&self) -> u32 {
        self.block.context.held
    }

    pub(crate) fn flags(&mut self) -> u32 {
        // SAFETY: the guest is live, and does not run.
        unsafe { self.options().flags() }
    }

    pub(crate) fn set_realloc(&mut self, realloc: Realloc) {
        self.block.state.get_mut().realloc = realloc;
    }

    /// The arguments of each call of `realloc` so far, which are forgotten.
    pub(crate) fn take_reallocs(&mut self) -> Vec<[u32; 4]> {
        std::mem::take(&mut self.block.state.get_mut().reallocs)
    }

    /// The arguments of each call of a thunk so far, which are forgotten.
    pub(crate) fn take_calls(&mut self) -> Vec<Vec<u64>> {
        std::mem::take(&mut self.block.state.get_mut().calls)
    }

    /// Sets the result of thunks from now on.
    pub(crate) fn set_return(&mut self, value: u64, status: u64) {
        self.block.state.get_mut().returns = RawReturn { value, status };
    }
}
