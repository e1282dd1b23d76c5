//! Functions between a program and the adapter, which have memories of their own: what pointers
//! refer to is copied.

use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, MemArgTarget, ValType};

use super::pointers::{Area, Len, Shim};

/// The most bytes of a vector of buffers that are read or written at once. Less than a program asks
/// for is always allowed.
const CHUNK: i32 = 1 << 16;

/// What shims use: indices of memories and functions.
pub(super) struct Uses {
    pub(super) program: u32,
    /// The memory of the adapter and the shims.
    pub(super) own: u32,
    /// The function that is wrapped.
    pub(super) function: u32,
    /// The function of [`reserve`].
    pub(super) reserve: u32,
    /// For [`Shim::Strings`], the function that says how many.
    pub(super) sizes: u32,
}

fn at(memory_index: u32, offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 2,
        target: MemArgTarget::Memory(memory_index),
        ordering: None,
    }
}

impl Len {
    fn push(self, code: &mut InstructionSink<'_>) {
        match self {
            Len::Bytes(bytes) => code.i32_const(bytes),
            Len::Times(local, 1) => code.local_get(local),
            Len::Times(local, size) => code.local_get(local).i32_const(size).i32_mul(),
        };
    }

    /// As [`push`](Len::push), up to a multiple of 8.
    fn push_aligned(self, code: &mut InstructionSink<'_>) {
        self.push(code);
        code.i32_const(7).i32_add().i32_const(-8).i32_and();
    }
}

/// A function that returns the address of so many bytes of the shims' own, which are free again
/// when it is called the next time. Address and size are at the beginning of the memory.
pub(super) fn reserve(own: u32) -> Function {
    let (size, pages, address) = (0, 1, 2);
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    code.i32_const(0).i32_load(at(own, 4)).local_get(size);
    code.i32_ge_u().if_(BlockType::Empty);
    code.i32_const(0).i32_load(at(own, 0)).return_().end();
    // More than before and what is needed: what is left behind is never the larger part.
    code.local_get(size).i32_const(16).i32_shr_u();
    code.i32_const(0).i32_load(at(own, 4)).i32_const(16);
    code.i32_shr_u().i32_add().i32_const(1).i32_add();
    code.local_tee(pages).memory_grow(own).local_tee(address);
    code.i32_const(-1)
        .i32_eq()
        .if_(BlockType::Empty)
        .unreachable()
        .end();
    code.local_get(address)
        .i32_const(16)
        .i32_shl()
        .local_set(address);
    code.i32_const(0).local_get(address).i32_store(at(own, 0));
    code.i32_const(0).local_get(pages).i32_const(16).i32_shl();
    code.i32_store(at(own, 4)).local_get(address).end();
    function
}

impl Uses {
    /// The function that a program calls in place of one with so many parameters.
    pub(super) fn body(&self, shim: &Shim, params: u32) -> Function {
        match shim {
            Shim::Areas(areas) => self.copies(params, None, areas),
            Shim::Vector { out, areas } => self.copies(params, Some(*out), areas),
            Shim::Strings { .. } => self.strings(params),
        }
    }

    fn copies(&self, params: u32, vector: Option<bool>, areas: &[Area]) -> Function {
        let (base, errno, pointer, len, first) =
            (params, params + 1, params + 2, params + 3, params + 4);
        let vector = vector.map(|out| Area {
            pointer,
            len: Len::Times(len, 1),
            out,
        });
        let areas: Vec<(u32, Area)> = (first..)
            .zip(vector.into_iter().chain(areas.iter().copied()))
            .collect();
        let mut function = Function::new([(4 + areas.len() as u32, ValType::I32)]);
        let mut code = function.instructions();
        if vector.is_some() {
            self.find_buffer(&mut code, pointer, len);
        }
        // At first comes a vector of one buffer.
        code.i32_const(8);
        for (_, area) in &areas {
            area.len.push_aligned(&mut code);
            code.i32_add();
        }
        code.call(self.reserve)
            .local_tee(base)
            .i32_const(8)
            .i32_add();
        for (address, area) in &areas {
            code.local_tee(*address);
            area.len.push_aligned(&mut code);
            code.i32_add();
        }
        code.drop();
        if vector.is_some() {
            code.local_get(base)
                .local_get(first)
                .i32_store(at(self.own, 0));
            code.local_get(base)
                .local_get(len)
                .i32_store(at(self.own, 4));
        }
        for (address, area) in &areas {
            code.local_get(*address).local_get(area.pointer);
            area.len.push(&mut code);
            code.memory_copy(self.own, self.program);
        }
        for param in 0..params {
            let area = areas.iter().find(|(_, area)| area.pointer == param);
            match (param, area) {
                (1, _) if vector.is_some() => code.local_get(base),
                (2, _) if vector.is_some() => code.i32_const(1),
                (_, Some((address, _))) => code.local_get(*address),
                (_, None) => code.local_get(param),
            };
        }
        code.call(self.function).local_set(errno);
        for (address, area) in areas.iter().filter(|(_, area)| area.out) {
            code.local_get(area.pointer).local_get(*address);
            area.len.push(&mut code);
            code.memory_copy(self.program, self.own);
        }
        code.local_get(errno).end();
        function
    }

    /// Finds the first buffer that is not empty of the vector in the parameters 1 and 2.
    fn find_buffer(&self, code: &mut InstructionSink<'_>, pointer: u32, len: u32) {
        let (next, left) = (1, 2);
        code.loop_(BlockType::Empty)
            .local_get(left)
            .if_(BlockType::Empty);
        code.local_get(next)
            .i32_load(at(self.program, 0))
            .local_set(pointer);
        code.local_get(next)
            .i32_load(at(self.program, 4))
            .local_set(len);
        code.local_get(next).i32_const(8).i32_add().local_set(next);
        code.local_get(left).i32_const(1).i32_sub().local_set(left);
        code.local_get(len).i32_eqz().br_if(1).end().end();
        code.local_get(len)
            .i32_const(CHUNK)
            .local_get(len)
            .i32_const(CHUNK);
        code.i32_lt_u().select().local_set(len);
    }

    fn strings(&self, params: u32) -> Function {
        let (pointers, buffer) = (0, 1);
        let (base, errno, count, size, strings) =
            (params, params + 1, params + 2, params + 3, params + 4);
        let mut function = Function::new([(5, ValType::I32)]);
        let mut code = function.instructions();
        code.i32_const(8).call(self.reserve).local_tee(base);
        code.local_get(base)
            .i32_const(4)
            .i32_add()
            .call(self.sizes)
            .local_tee(errno);
        code.if_(BlockType::Empty).local_get(errno).return_().end();
        code.local_get(base)
            .i32_load(at(self.own, 0))
            .local_set(count);
        code.local_get(base)
            .i32_load(at(self.own, 4))
            .local_set(size);
        code.local_get(count)
            .i32_const(4)
            .i32_mul()
            .local_get(size)
            .i32_add();
        code.call(self.reserve)
            .local_tee(base)
            .local_get(count)
            .i32_const(4)
            .i32_mul();
        code.i32_add().local_set(strings);
        code.local_get(base)
            .local_get(strings)
            .call(self.function)
            .local_tee(errno);
        code.if_(BlockType::Empty).local_get(errno).return_().end();
        code.local_get(buffer).local_get(strings).local_get(size);
        code.memory_copy(self.program, self.own);
        // Pointers to the strings are those to their copies.
        code.loop_(BlockType::Empty)
            .local_get(count)
            .if_(BlockType::Empty);
        code.local_get(pointers)
            .local_get(base)
            .i32_load(at(self.own, 0));
        code.local_get(strings)
            .i32_sub()
            .local_get(buffer)
            .i32_add();
        code.i32_store(at(self.program, 0));
        for local in [pointers, base] {
            code.local_get(local)
                .i32_const(4)
                .i32_add()
                .local_set(local);
        }
        code.local_get(count)
            .i32_const(1)
            .i32_sub()
            .local_set(count);
        code.br(1).end().end().i32_const(0).end();
        function
    }
}
