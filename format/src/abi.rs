//! Sizes, alignments and flattening of the canonical ABI (component model, `CanonicalABI.md`,
//! "Alignment", "Element Size" and "Flattening"). All functions are `const`, so that the same ones
//! serve the compiler, for a component's types, and Rust's `const` evaluation, for the host's.
//!
//! Pointers and lengths are as wide as the addresses of their memory. So a type has a layout for
//! each [`PointerWidth`], but one flat form, in which [`FlatType::Pointer`] stands for either
//! width: the number of values does not depend on it.

/// Flat parameters beyond which a function that is lowered with `async` takes a pointer to them
/// (`MAX_FLAT_ASYNC_PARAMS`).
pub const MAX_FLAT_ASYNC_PARAMS: usize = 4;

/// A function with more flat parameters takes one pointer to a tuple instead.
pub const MAX_FLAT_PARAMS: usize = 16;
/// A function with more flat results returns one pointer instead.
pub const MAX_FLAT_RESULTS: usize = 1;
/// Bytes of a handle.
pub const HANDLE_SIZE: u32 = 4;
/// The longest string or list in bytes.
pub const MAX_BYTE_LENGTH: u64 = (1 << 28) - 1;

/// The width of a memory's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PointerWidth {
    /// 32 bits.
    #[default]
    W32,
    /// 64 bits (`cm64`).
    W64,
}

impl PointerWidth {
    /// Both widths.
    pub const ALL: [PointerWidth; 2] = [PointerWidth::W32, PointerWidth::W64];

    /// Bytes of a pointer.
    pub const fn bytes(self) -> u32 {
        match self {
            PointerWidth::W32 => 4,
            PointerWidth::W64 => 8,
        }
    }

    /// The bit that is set in the length of a string in Latin-1+UTF-16 if it is UTF-16.
    pub const fn utf16_tag(self) -> u64 {
        1 << (self.bytes() * 8 - 1)
    }
}

/// Size and alignment of a value in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub size: u32,
    /// Bytes: 1, 2, 4 or 8.
    pub align: u32,
}

impl Extent {
    /// The extent of no value.
    pub const EMPTY: Extent = Extent { size: 0, align: 1 };

    /// Appends a field; returns its offset, and the extent with the field. Finish the record with
    /// [`Extent::padded`].
    pub const fn push_field(self, field: Extent) -> (u32, Extent) {
        let offset = align_to(self.size, field.align);
        let align = max(self.align, field.align);
        let size = offset.saturating_add(field.size);
        (offset, Extent { size, align })
    }

    /// The extent with its size rounded up to the alignment.
    pub const fn padded(self) -> Extent {
        Extent {
            size: align_to(self.size, self.align),
            align: self.align,
        }
    }

    /// The offset of a variant's payload, from the extent of the whole variant and its number of
    /// cases.
    ///
    /// The payload starts at a multiple of the payloads' alignment, whereas the alignment of the
    /// whole variant is the largest of discriminant and payloads. Both give the same offset,
    /// because the discriminant's alignment is its size.
    pub const fn payload_offset(self, cases: usize) -> u32 {
        align_to(discriminant_size(cases), self.align)
    }
}

/// The layout of a value in linear memories of either pointer width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    w32: Extent,
    w64: Extent,
}

impl Layout {
    /// The layout of no value.
    pub const EMPTY: Layout = Layout::same(Extent::EMPTY);

    /// The layout of strings, lists and maps: pointer and length.
    pub const POINTER_PAIR: Layout = Layout {
        w32: Extent { size: 8, align: 4 },
        w64: Extent { size: 16, align: 8 },
    };

    const fn same(extent: Extent) -> Layout {
        Layout {
            w32: extent,
            w64: extent,
        }
    }

    /// The layout of a value of `size` bytes that is aligned to its size.
    pub const fn scalar(size: u32) -> Layout {
        Layout::same(Extent { size, align: size })
    }

    /// Size and alignment in a memory of this pointer width. If the layout is a constant and does
    /// not depend on the width, so is the result.
    #[inline(always)]
    pub const fn at(self, width: PointerWidth) -> Extent {
        Extent {
            size: pick(width, self.w32.size, self.w64.size),
            align: pick(width, self.w32.align, self.w64.align),
        }
    }

    /// Size and alignment of a value without pointers, whose layout is the same in all memories.
    #[inline(always)]
    pub const fn plain(self) -> Extent {
        self.w32
    }

    /// The layout of a record or tuple.
    pub const fn record(fields: &[Layout]) -> Layout {
        Layout {
            w32: record(fields, PointerWidth::W32),
            w64: record(fields, PointerWidth::W64),
        }
    }

    /// The layout of a variant, enum, option or result of these payloads; absent ones are
    /// [`Layout::EMPTY`].
    pub const fn variant(payloads: &[Layout]) -> Layout {
        Layout {
            w32: variant(payloads, PointerWidth::W32),
            w64: variant(payloads, PointerWidth::W64),
        }
    }

    /// The layout of `len` values of this layout, as in a list of fixed length.
    pub const fn repeat(self, len: u32) -> Layout {
        Layout {
            w32: repeat(self.w32, len),
            w64: repeat(self.w64, len),
        }
    }

    /// The layout of flags.
    pub const fn flags(count: usize) -> Layout {
        match count {
            0..=8 => Layout::scalar(1),
            9..=16 => Layout::scalar(2),
            _ => Layout::scalar(4),
        }
    }
}

/// The offset in bytes of a field of a record, for either pointer width.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldOffset {
    w32: u32,
    w64: u32,
}

impl FieldOffset {
    /// The offset in a memory of this pointer width; a constant where [`Layout::at`] is.
    #[inline(always)]
    pub const fn at(self, width: PointerWidth) -> usize {
        pick(width, self.w32, self.w64) as usize
    }

    /// The offset in a record [without pointers](Layout::plain).
    #[inline(always)]
    pub const fn plain(self) -> usize {
        self.w32 as usize
    }
}

/// The offset of each field of a record.
pub const fn field_offsets<const N: usize>(fields: [Layout; N]) -> [FieldOffset; N] {
    let mut offsets = [FieldOffset { w32: 0, w64: 0 }; N];
    let (mut w32, mut w64) = (Extent::EMPTY, Extent::EMPTY);
    let mut i = 0;
    while i < N {
        (offsets[i].w32, w32) = w32.push_field(fields[i].w32);
        (offsets[i].w64, w64) = w64.push_field(fields[i].w64);
        i += 1;
    }
    offsets
}

/// The value for this width. Compares the values first, so that the result is a constant if both
/// are equal constants.
#[inline(always)]
const fn pick(width: PointerWidth, w32: u32, w64: u32) -> u32 {
    if w32 == w64 {
        return w32;
    }
    match width {
        PointerWidth::W32 => w32,
        PointerWidth::W64 => w64,
    }
}

const fn record(fields: &[Layout], width: PointerWidth) -> Extent {
    let mut extent = Extent::EMPTY;
    let mut i = 0;
    while i < fields.len() {
        extent = extent.push_field(fields[i].at(width)).1;
        i += 1;
    }
    extent.padded()
}

const fn variant(payloads: &[Layout], width: PointerWidth) -> Extent {
    let discriminant = discriminant_size(payloads.len());
    let (mut size, mut align) = (0, discriminant);
    let mut i = 0;
    while i < payloads.len() {
        let payload = payloads[i].at(width);
        size = max(size, payload.size);
        align = max(align, payload.align);
        i += 1;
    }
    Extent {
        size: align_to(discriminant, align).saturating_add(size),
        align,
    }
    .padded()
}

const fn repeat(element: Extent, len: u32) -> Extent {
    Extent {
        size: element.size.saturating_mul(len),
        align: element.align,
    }
}

const fn max(a: u32, b: u32) -> u32 {
    if a > b { a } else { b }
}

/// Bytes of the discriminant of a variant with `cases` cases.
pub const fn discriminant_size(cases: usize) -> u32 {
    if cases <= 1 << 8 {
        1
    } else if cases <= 1 << 16 {
        2
    } else {
        4
    }
}

/// `offset` rounded up to a multiple of `align`, a power of two.
pub const fn align_to(offset: u32, align: u32) -> u32 {
    match offset.checked_add(align - 1) {
        Some(sum) => sum & !(align - 1),
        None => !(align - 1),
    }
}

/// A core type that values flatten to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are WebAssembly's")]
pub enum FlatType {
    I32,
    I64,
    F32,
    F64,
    /// `i32` or `i64`: a pointer or length, or a value that is joined with one.
    Pointer,
}

impl FlatType {
    /// The type that can hold values of both (`join` of the specification). A pointer of either
    /// width can hold an `i32`.
    pub const fn join(self, other: FlatType) -> FlatType {
        use FlatType::{F32, F64, I32, I64, Pointer};
        match (self, other) {
            (I32, I32 | F32) | (F32, I32) => I32,
            (F32, F32) => F32,
            (F64, F64) => F64,
            (Pointer, I32 | F32 | Pointer) | (I32 | F32, Pointer) => Pointer,
            _ => I64,
        }
    }

    /// The core type for pointers of this width: never [`FlatType::Pointer`].
    pub const fn at(self, width: PointerWidth) -> FlatType {
        match (self, width) {
            (FlatType::Pointer, PointerWidth::W32) => FlatType::I32,
            (FlatType::Pointer, PointerWidth::W64) => FlatType::I64,
            (ty, _) => ty,
        }
    }
}

/// The flat form of a type: up to [`MAX_FLAT_PARAMS`] core types, or "too many".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flat {
    /// The number of values; `MAX_FLAT_PARAMS + 1` stands for too many.
    len: u8,
    types: [FlatType; MAX_FLAT_PARAMS],
}

impl Flat {
    /// No values.
    pub const EMPTY: Flat = Flat {
        len: 0,
        types: [FlatType::I32; MAX_FLAT_PARAMS],
    };

    /// More than [`MAX_FLAT_PARAMS`] values.
    pub const TOO_MANY: Flat = Flat {
        len: MAX_FLAT_PARAMS as u8 + 1,
        types: [FlatType::I32; MAX_FLAT_PARAMS],
    };

    /// One value.
    pub const fn one(ty: FlatType) -> Flat {
        Flat::EMPTY.push(ty)
    }

    /// Pointer and length.
    pub const POINTER_PAIR: Flat = Flat::one(FlatType::Pointer).push(FlatType::Pointer);

    /// The flat form with one more value.
    pub const fn push(mut self, ty: FlatType) -> Flat {
        if self.len as usize >= MAX_FLAT_PARAMS {
            return Flat::TOO_MANY;
        }
        self.types[self.len as usize] = ty;
        self.len += 1;
        self
    }

    /// The values of `other` after those of this one.
    pub const fn concat(mut self, other: Flat) -> Flat {
        if !other.fits() || !self.fits() {
            return Flat::TOO_MANY;
        }
        let mut i = 0;
        while i < other.len as usize {
            self = self.push(other.types[i]);
            i += 1;
        }
        self
    }

    /// The values of `len` of these, one after the other.
    pub const fn repeat(self, len: u32) -> Flat {
        if len as u64 * self.len as u64 > MAX_FLAT_PARAMS as u64 {
            return Flat::TOO_MANY;
        }
        let mut flat = Flat::EMPTY;
        let mut i = 0;
        while self.len != 0 && i < len {
            flat = flat.concat(self);
            i += 1;
        }
        flat
    }

    /// The flat form of a variant: the discriminant, then the payloads joined value by value.
    pub const fn variant(payloads: &[Flat]) -> Flat {
        let mut joined = Flat::EMPTY;
        let mut case = 0;
        while case < payloads.len() {
            let payload = payloads[case];
            if !payload.fits() {
                return Flat::TOO_MANY;
            }
            let mut i = 0;
            while i < payload.len as usize {
                if i < joined.len as usize {
                    joined.types[i] = joined.types[i].join(payload.types[i]);
                } else {
                    joined = joined.push(payload.types[i]);
                }
                i += 1;
            }
            case += 1;
        }
        Flat::one(FlatType::I32).concat(joined)
    }

    /// Whether it is at most [`MAX_FLAT_PARAMS`] values.
    pub const fn fits(&self) -> bool {
        self.len as usize <= MAX_FLAT_PARAMS
    }

    /// The number of values; `MAX_FLAT_PARAMS + 1` if there are too many.
    pub const fn count(&self) -> usize {
        self.len as usize
    }

    /// The values' types; `None` if there are too many.
    pub fn types(&self) -> Option<&[FlatType]> {
        self.types.get(..usize::from(self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::PointerWidth::{W32, W64};
    use super::*;

    fn extent(size: u32, align: u32) -> Extent {
        Extent { size, align }
    }

    #[test]
    fn records_and_variants() {
        let record = Layout::record(&[Layout::scalar(4), Layout::scalar(4), Layout::scalar(1)]);
        assert_eq!(record, Layout::same(extent(12, 4)));
        let option = Layout::variant(&[Layout::EMPTY, Layout::scalar(8)]);
        assert_eq!(option, Layout::same(extent(16, 8)));
        assert_eq!(option.at(W32).payload_offset(2), 8);
        let wide = Layout::variant(&[Layout::EMPTY; 257]).at(W32);
        assert_eq!((wide.size, wide.payload_offset(257)), (2, 2));
        assert_eq!(Layout::record(&[]), Layout::EMPTY);
    }

    #[test]
    fn pointers_have_the_width_of_the_memory() {
        let fields = [Layout::scalar(1), Layout::POINTER_PAIR, Layout::scalar(4)];
        let record = Layout::record(&fields);
        assert_eq!(record.at(W32), extent(16, 4));
        assert_eq!(record.at(W64), extent(32, 8));
        let offsets = |width| field_offsets(fields).map(|offset| offset.at(width));
        assert_eq!(offsets(W32), [0, 4, 12]);
        assert_eq!(offsets(W64), [0, 8, 24]);
        let option = Layout::variant(&[Layout::EMPTY, record]);
        assert_eq!(option.at(W32), extent(20, 4));
        assert_eq!(option.at(W64), extent(40, 8));
        assert_eq!(option.at(W64).payload_offset(2), 8);
        let three = Layout::record(&[Layout::scalar(2), Layout::scalar(1)]).repeat(3);
        assert_eq!(three, Layout::same(extent(12, 2)));
    }

    #[test]
    fn payloads_join() {
        let flat = Flat::variant(&[
            Flat::one(FlatType::F32),
            Flat::POINTER_PAIR,
            Flat::one(FlatType::I64).push(FlatType::F64),
        ]);
        let expected = [FlatType::I32, FlatType::I64, FlatType::I64];
        assert_eq!(flat.types(), Some(&expected[..]));
        let sixteen = Flat::one(FlatType::I64).repeat(16);
        assert!(sixteen.fits() && !sixteen.push(FlatType::I32).fits());
        assert!(!Flat::variant(&[sixteen]).fits());
        assert_eq!(sixteen.repeat(0), Flat::EMPTY);
        assert_eq!(Flat::one(FlatType::I64).repeat(17), Flat::TOO_MANY);
        assert_eq!(Flat::POINTER_PAIR.repeat(u32::MAX), Flat::TOO_MANY);
    }

    #[test]
    fn joining_and_choosing_a_width_commute() {
        use FlatType::{F32, F64, I32, I64, Pointer};
        let all = [I32, I64, F32, F64, Pointer];
        for (a, b) in all.iter().flat_map(|a| all.map(|b| (*a, b))) {
            for width in PointerWidth::ALL {
                assert_eq!(a.join(b).at(width), a.at(width).join(b.at(width)));
            }
        }
    }
}
