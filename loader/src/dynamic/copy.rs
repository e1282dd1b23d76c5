//! Copies from one component instance to another, by types that are known at run time only: the
//! same checks as lifting and lowering, in one pass.
#![allow(unsafe_code, reason = "reaches into the memories of two instances")]

use cwasm_format::TrapCode;
use cwasm_format::abi::{Extent, Layout, MAX_BYTE_LENGTH, MAX_FLAT_RESULTS, discriminant_size};
use cwasm_format::types::{FuncType, TypeDef, Types, ValueType};

use super::{Places, case_count, check_stack, payload_type, unchecked};
use crate::error::{Error, Result};
use crate::values::{
    LiftContext, LowerContext, copy_string, elements_extent, pair_of_bytes, pair_of_flat,
    pair_to_flat, pair_to_memory,
};
use crate::vm::canon::CanonOptions;
use crate::vm::store::StoreOpaque;

/// One side of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Side<'t> {
    pub(crate) types: &'t Types,
    pub(crate) options: CanonOptions,
}

/// Copies values from one component instance to another.
pub(crate) struct Copier<'t> {
    /// Invariant 1: the store of the instances of both sides.
    store: &'t mut StoreOpaque,
    from: Side<'t>,
    to: Side<'t>,
    /// The task that gets what is borrowed.
    task: Option<u32>,
    /// The handles that the source has lent.
    loans: Vec<u32>,
    /// How many borrowed handles the destination has got.
    borrows: u32,
}

/// Where a value is.
#[derive(Clone, Copy)]
enum Source<'v> {
    Flat(&'v [u64]),
    /// In the source's memory.
    Bytes(&'v [u8]),
}

/// Where a value goes.
enum Target<'v> {
    Flat(&'v mut [u64]),
    /// To this offset in the destination's memory, where there is room.
    Offset(usize),
}

/// The type of a value, on both sides.
type Pair = (ValueType, ValueType);

impl Source<'_> {
    /// The source of the next field.
    fn field(&self, places: &mut Places, types: &Types, ty: ValueType) -> Self {
        match *self {
            Source::Flat(flat) => Source::Flat(&flat[places.next_flat(types, ty)]),
            Source::Bytes(bytes) => Source::Bytes(&bytes[places.next_bytes(types, ty)]),
        }
    }

    /// The number that up to eight bytes, or the first flat value, are.
    fn number(&self, size: usize) -> u64 {
        match *self {
            Source::Flat(flat) => flat[0],
            Source::Bytes(bytes) => {
                let mut number = [0; 8];
                number[..size].copy_from_slice(&bytes[..size]);
                u64::from_le_bytes(number)
            }
        }
    }
}

impl Target<'_> {
    /// The target of the next field.
    fn field(&mut self, places: &mut Places, types: &Types, ty: ValueType) -> Target<'_> {
        match self {
            Target::Flat(flat) => Target::Flat(&mut flat[places.next_flat(types, ty)]),
            Target::Offset(offset) => Target::Offset(*offset + places.next_bytes(types, ty).start),
        }
    }
}

impl<'t> Copier<'t> {
    /// Copies between two instances of a store.
    ///
    /// # Safety
    /// - Both instances are live for `'t`, and their code does not run.
    pub(crate) unsafe fn new(
        store: &'t mut StoreOpaque,
        from: Side<'t>,
        to: Side<'t>,
    ) -> Copier<'t> {
        Copier {
            store,
            from,
            to,
            task: None,
            loans: Vec::new(),
            borrows: 0,
        }
    }

    /// Borrowed handles are for this task.
    pub(crate) fn borrow_for(&mut self, task: u32) {
        self.task = Some(task);
    }

    /// The handles that the source has lent, and how many borrowed ones the destination has got.
    pub(crate) fn handles(self) -> (Vec<u32>, u32) {
        (self.loans, self.borrows)
    }

    /// Copies parameters, which are flat or where a pointer says if they would be more than `max`:
    /// how many arguments they are.
    ///
    /// # Errors
    /// A trap that says what is wrong with the values.
    pub(crate) fn params(
        &mut self,
        (from, to): (&FuncType, &FuncType),
        (flat, max): (&[u64], usize),
        args: &mut [u64],
    ) -> Result<usize> {
        let (from_types, to_types) = (self.from.types, self.to.types);
        if self.is_to_itself() {
            let options = self.from.options;
            let vals = super::lift_params(
                from_types,
                from,
                &mut self.lift_handles(&options),
                flat,
                max,
            )?;
            return self.lower_handles(|cx| super::lower_params(to_types, to, &vals, cx, args));
        }
        let options = self.from.options;
        let count = from_types.params_count(from);
        let source = match count.is_some_and(|count| count <= max) {
            true => Source::Flat(flat),
            false => self.pointed(&options, flat[0], from_types.params_layout(from))?,
        };
        let pairs = from.params.iter().zip(&to.params);
        let pairs = pairs.map(|((_, from), (_, to))| (*from, *to));
        if let Some(count) = count {
            self.fields(pairs, source, Target::Flat(args))?;
            return Ok(count);
        }
        let options = self.to.options;
        let pointer = self
            .lower(&options)
            .allocate_value(to_types.params_layout(to))?;
        self.fields(pairs, source, Target::Offset(pointer))?;
        args[0] = pointer as u64;
        Ok(1)
    }

    /// Copies a result, which is flat, or where a pointer says if it would be more than `max`: flat
    /// if that is allowed and one value, or else to the pointer.
    ///
    /// # Errors
    /// As [`params`](Copier::params).
    pub(crate) fn result(
        &mut self,
        (from, to): Pair,
        (flat, max): (&[u64], usize),
        (is_flat, pointer): (bool, u64),
    ) -> Result<u64> {
        let (from_types, to_types) = (self.from.types, self.to.types);
        let options = self.from.options;
        if self.is_to_itself() {
            let cx = &mut self.lift_handles(&options);
            let val = super::lift_result(from_types, from, cx, flat, max)?;
            return self.lower_handles(|cx| {
                super::lower_result(to_types, to, cx, &val, (is_flat, pointer))
            });
        }
        let abi = from_types.abi(from);
        let source = match abi.flat.fits() && abi.flat.count() <= max {
            true => Source::Flat(&flat[..abi.flat.count()]),
            false => self.pointed(&options, flat[0], abi.layout)?,
        };
        let abi = to_types.abi(to);
        if is_flat && abi.flat.count() <= MAX_FLAT_RESULTS {
            let mut value = [0; MAX_FLAT_RESULTS];
            let target = Target::Flat(&mut value[..abi.flat.count()]);
            self.value((from, to), source, target)?;
            return Ok(value[0]);
        }
        let options = self.to.options;
        let offset = self.lower(&options).out_pointer(pointer, abi.layout)?;
        self.value((from, to), source, Target::Offset(offset))?;
        Ok(0)
    }

    /// Copies values that lie one after the other in both memories, as the elements of a list do.
    ///
    /// # Errors
    /// As [`params`](Copier::params).
    pub(crate) fn elements(
        &mut self,
        (from, to): Pair,
        (source, target): (u64, u64),
        count: u32,
    ) -> Result<()> {
        if self.is_to_itself() {
            return Err(Error::msg(
                "payloads pass between instances with one memory",
            ));
        }
        let (from_options, to_options) = (self.from.options, self.to.options);
        let step = self.from.types.abi(from).layout.at(from_options.width());
        let to_step = self.to.types.abi(to).layout.at(to_options.width());
        // All of them may be more bytes than a list may have.
        let piece = (MAX_BYTE_LENGTH as u32 / step.size.max(to_step.size)).max(1);
        let mut done = 0;
        while done < count {
            let some = u64::from(piece.min(count - done));
            let place = |start, step: Extent| start + u64::from(done) * u64::from(step.size);
            let bytes = self.lift(&from_options).bytes(
                place(source, step),
                elements_extent(some, step)?,
                TrapCode::StreamOutOfBounds,
            )?;
            let mut cx = self.lower(&to_options);
            let offset = cx.out_extent(place(target, to_step), elements_extent(some, to_step)?)?;
            self.all((from, to), bytes, offset)?;
            done += some as u32;
        }
        Ok(())
    }

    /// Whether the memory is the same on both sides: an instance calls itself. Then values pass
    /// through the host, since a slice of the source would be one of the destination too.
    fn is_to_itself(&self) -> bool {
        self.from.options.has_memory_of(&self.to.options)
    }

    fn lift<'o>(&self, options: &'o CanonOptions) -> LiftContext<'o> {
        // SAFETY: a live instance; no code runs that could write to its memory but the `realloc` of
        // the other one, which has another memory (`is_to_itself`) and cannot leave its component.
        unsafe { LiftContext::new(options, self.store) }
    }

    fn lower<'o>(&'o mut self, options: &'o CanonOptions) -> LowerContext<'o> {
        // SAFETY: an instance of the store, whose memory nothing else uses (contract of `new`).
        unsafe { LowerContext::new(self.store, options) }
    }

    fn pointed<'o>(
        &self,
        options: &'o CanonOptions,
        bits: u64,
        layout: Layout,
    ) -> Result<Source<'o>> {
        self.lift(options).pointed(bits, layout).map(Source::Bytes)
    }

    fn fields(
        &mut self,
        pairs: impl Iterator<Item = Pair>,
        source: Source<'_>,
        mut target: Target<'_>,
    ) -> Result<()> {
        let mut from_places = Places::new(self.from.options.width());
        let mut to_places = Places::new(self.to.options.width());
        for (from, to) in pairs {
            let source = source.field(&mut from_places, self.from.types, from);
            let target = target.field(&mut to_places, self.to.types, to);
            self.value((from, to), source, target)?;
        }
        Ok(())
    }

    fn value(&mut self, pair: Pair, source: Source<'_>, target: Target<'_>) -> Result<()> {
        let (ValueType::Def(from), ValueType::Def(to)) = pair else {
            return self.primitive(pair.0, source, target);
        };
        if let (Source::Bytes(bytes), Target::Offset(offset), true) =
            (source, &target, self.is_plain(pair))
        {
            self.write(*offset, bytes);
            return Ok(());
        }
        check_stack()?;
        let (from_types, to_types) = (self.from.types, self.to.types);
        match (from_types.def(from), to_types.def(to)) {
            (TypeDef::List(from), TypeDef::List(to)) | (TypeDef::Map(from), TypeDef::Map(to)) => {
                self.list((*from, *to), source, target)
            }
            (TypeDef::Record(from), TypeDef::Record(to)) => {
                let pairs = from.iter().zip(to);
                self.fields(
                    pairs.map(|((_, from), (_, to))| (*from, *to)),
                    source,
                    target,
                )
            }
            (TypeDef::Tuple(from), TypeDef::Tuple(to)) => {
                self.fields(from.iter().copied().zip(to.iter().copied()), source, target)
            }
            (TypeDef::FixedList(from, len), TypeDef::FixedList(to, _)) => self.fields(
                std::iter::repeat_n((*from, *to), *len as usize),
                source,
                target,
            ),
            (TypeDef::Flags(names), TypeDef::Flags(_)) => {
                let size = Layout::flags(names.len()).at(self.to.options.width()).size;
                // Bits without a name are ignored.
                let mask = (1 << names.len()) - 1;
                self.write_number(source.number(size as usize) & mask, size as usize, target);
                Ok(())
            }
            (
                TypeDef::Own(_)
                | TypeDef::Borrow(_)
                | TypeDef::Stream(_)
                | TypeDef::Future(_)
                | TypeDef::ErrorContext,
                _,
            ) => self.handle(pair, source, target),
            (from, to) => self.case((from, to), pair, source, target),
        }
    }

    fn is_plain(&self, (from, to): Pair) -> bool {
        self.from.types.abi(from).is_plain && self.to.types.abi(to).is_plain
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let options = self.to.options;
        self.lower(&options).write(offset, bytes);
    }

    /// Writes a number of `size` bytes.
    fn write_number(&mut self, number: u64, size: usize, target: Target<'_>) {
        match target {
            Target::Flat(flat) => flat[0] = number,
            Target::Offset(offset) => self.write(offset, &number.to_le_bytes()[..size]),
        }
    }

    fn primitive(&mut self, ty: ValueType, source: Source<'_>, target: Target<'_>) -> Result<()> {
        if ty == ValueType::String {
            return self.string(source, target);
        }
        let size = self
            .from
            .types
            .abi(ty)
            .layout
            .at(self.to.options.width())
            .size as usize;
        let bits = source.number(size);
        // The high bits of what a guest gives are ignored; signed numbers of less than 32 bits are
        // sign-extended to 32, and zero-extended from there.
        let number = match ty {
            ValueType::Bool => u64::from(bits as u32 != 0),
            ValueType::U8 => u64::from(bits as u8),
            ValueType::U16 => u64::from(bits as u16),
            ValueType::S8 => u64::from(bits as i8 as u32),
            ValueType::S16 => u64::from(bits as i16 as u32),
            ValueType::U32 | ValueType::S32 | ValueType::F32 => u64::from(bits as u32),
            ValueType::U64 | ValueType::S64 | ValueType::F64 => bits,
            ValueType::Char => match char::from_u32(bits as u32) {
                Some(char) => u64::from(u32::from(char)),
                None => return Err(Error::trapped(TrapCode::InvalidChar)),
            },
            ValueType::String | ValueType::Def(_) => return Err(unchecked()),
        };
        self.write_number(number, size, target);
        Ok(())
    }

    /// Pointer and length of a string or list.
    fn pair(&self, source: Source<'_>) -> (u64, u64) {
        let options = self.from.options;
        let cx = self.lift(&options);
        match source {
            Source::Flat(flat) => pair_of_flat(&cx, flat),
            Source::Bytes(bytes) => pair_of_bytes(&cx, bytes),
        }
    }

    fn write_pair(&mut self, pair: (u64, u64), target: Target<'_>) {
        let options = self.to.options;
        match target {
            Target::Flat(flat) => pair_to_flat(pair, flat),
            Target::Offset(offset) => pair_to_memory(pair, &mut self.lower(&options), offset),
        }
    }

    fn string(&mut self, source: Source<'_>, target: Target<'_>) -> Result<()> {
        let pair = self.pair(source);
        let (from, to) = (self.from.options, self.to.options);
        let cx = self.lift(&from);
        let copied = copy_string(&cx, pair, &mut self.lower(&to))?;
        self.write_pair(copied, target);
        Ok(())
    }

    fn list(&mut self, (from, to): Pair, source: Source<'_>, target: Target<'_>) -> Result<()> {
        let (pointer, len) = self.pair(source);
        let options = self.from.options;
        let cx = self.lift(&options);
        let extent = elements_extent(len, self.from.types.abi(from).layout.at(cx.width()))?;
        let bytes = cx.bytes(pointer, extent, TrapCode::ListOutOfBounds)?;
        let options = self.to.options;
        let element = self.to.types.abi(to).layout.at(options.width());
        let extent = elements_extent(len, element)?;
        let offset = self
            .lower(&options)
            .allocate(extent, TrapCode::ListOutOfBounds)?;
        self.all((from, to), bytes, offset)?;
        self.write_pair((offset as u64, len), target);
        Ok(())
    }

    /// Copies values that lie one after the other, to where there is room.
    fn all(&mut self, pair: Pair, bytes: &[u8], offset: usize) -> Result<()> {
        if self.is_plain(pair) {
            self.write(offset, bytes);
            return Ok(());
        }
        let size = self
            .from
            .types
            .abi(pair.0)
            .layout
            .at(self.from.options.width())
            .size;
        let step = self
            .to
            .types
            .abi(pair.1)
            .layout
            .at(self.to.options.width())
            .size;
        let offsets = (offset..).step_by(step as usize);
        for (bytes, offset) in bytes.chunks_exact(size as usize).zip(offsets) {
            self.value(pair, Source::Bytes(bytes), Target::Offset(offset))?;
        }
        Ok(())
    }

    /// A case of a variant, enum, option or result.
    fn case(
        &mut self,
        (from_def, to_def): (&TypeDef, &TypeDef),
        pair: Pair,
        source: Source<'_>,
        target: Target<'_>,
    ) -> Result<()> {
        let count = case_count(from_def);
        let size = discriminant_size(count) as usize;
        let case = source.number(size) as u32;
        let payload = payload_type(from_def, case as usize);
        let (Some(from), Some(to)) = (payload, payload_type(to_def, case as usize)) else {
            return Err(Error::trapped(TrapCode::InvalidDiscriminant));
        };
        let (from_types, to_types) = (self.from.types, self.to.types);
        let payload = from.zip(to);
        let source = match (source, payload) {
            (Source::Flat(flat), Some((from, _))) => {
                Source::Flat(&flat[1..=from_types.abi(from).flat.count()])
            }
            (Source::Bytes(bytes), Some((from, _))) => {
                let width = self.from.options.width();
                let extent = from_types.abi(pair.0).layout.at(width);
                let start = extent.payload_offset(count) as usize;
                let size = from_types.abi(from).layout.at(width).size as usize;
                Source::Bytes(&bytes[start..][..size])
            }
            (source, None) => source,
        };
        match target {
            Target::Flat(flat) => {
                flat.fill(0);
                flat[0] = case.into();
                let Some(payload) = payload else {
                    return Ok(());
                };
                let count = to_types.abi(payload.1).flat.count();
                self.value(payload, source, Target::Flat(&mut flat[1..=count]))
            }
            Target::Offset(offset) => {
                self.write(offset, &case.to_le_bytes()[..size]);
                let Some(payload) = payload else {
                    return Ok(());
                };
                let extent = to_types.abi(pair.1).layout.at(self.to.options.width());
                let start = offset + extent.payload_offset(count) as usize;
                self.value(payload, source, Target::Offset(start))
            }
        }
    }

    /// A handle, which the host has between the two sides.
    fn handle(&mut self, (from, to): Pair, source: Source<'_>, target: Target<'_>) -> Result<()> {
        let handle = source.number(4);
        let options = self.from.options;
        let (from_types, to_types, mut flat) = (self.from.types, self.to.types, [0]);
        let cx = &mut self.lift_handles(&options);
        let val = super::lift_flat(from_types, from, cx, &[handle])?;
        self.lower_handles(|cx| super::lower_flat(to_types, to, &val, cx, &mut flat))?;
        self.write_number(flat[0], 4, target);
        Ok(())
    }

    fn lift_handles<'o>(&'o mut self, options: &'o CanonOptions) -> LiftContext<'o> {
        // SAFETY: as in `lift`; the handles are those of the instance's store.
        let mut cx = unsafe { LiftContext::with_handles(options, self.store, 0) };
        cx.keep_loans(&mut self.loans);
        cx
    }

    fn lower_handles<R>(
        &mut self,
        lower: impl FnOnce(&mut LowerContext<'_>) -> Result<R>,
    ) -> Result<R> {
        let (options, task) = (self.to.options, self.task);
        let mut cx = self.lower(&options);
        if let Some(task) = task {
            cx.borrow_for(task);
        }
        let lowered = lower(&mut cx);
        self.borrows += cx.borrows();
        lowered
    }
}
