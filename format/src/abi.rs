//! Sizes, alignments and flattening of the canonical ABI (component model, `CanonicalABI.md`,
//! "Alignment", "Element Size" and "Flattening"). All of it is `const`, so that the compiler
//! computes it for a component's types and Rust computes it for the host's.

/// A function of more flat parameters takes one pointer to a tuple instead.
pub const MAX_FLAT_PARAMS: usize = 16;
/// A function of more flat results returns one pointer instead.
pub const MAX_FLAT_RESULTS: usize = 1;
/// The longest string or list in bytes.
pub const MAX_BYTE_LENGTH: u64 = (1 << 28) - 1;

/// How a value lies in linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub size: u32,
    /// Bytes: 1, 2, 4 or 8.
    pub align: u32,
}

impl Layout {
    /// The layout of a value of `size` bytes that is aligned to its size.
    pub const fn scalar(size: u32) -> Layout {
        Layout { size, align: size }
    }

    /// The layout of strings and lists: pointer and length.
    pub const POINTER_PAIR: Layout = Layout { size: 8, align: 4 };

    /// The layout of nothing.
    pub const EMPTY: Layout = Layout { size: 0, align: 1 };

    /// Appends a field: its offset, and the layout so far. Close the record with
    /// [`Layout::padded`].
    pub const fn push_field(self, field: Layout) -> (u32, Layout) {
        let offset = align_to(self.size, field.align);
        let align = if field.align > self.align {
            field.align
        } else {
            self.align
        };
        (
            offset,
            Layout {
                size: offset.saturating_add(field.size),
                align,
            },
        )
    }

    /// The layout with its size rounded up to its alignment.
    pub const fn padded(self) -> Layout {
        Layout {
            size: align_to(self.size, self.align),
            align: self.align,
        }
    }

    /// The layout of a record or tuple.
    pub const fn record(fields: &[Layout]) -> Layout {
        let mut layout = Layout::EMPTY;
        let mut i = 0;
        while i < fields.len() {
            layout = layout.push_field(fields[i]).1;
            i += 1;
        }
        layout.padded()
    }

    /// The layout of a variant, enum, option or result of these payloads; absent ones are
    /// [`Layout::EMPTY`].
    pub const fn variant(payloads: &[Layout]) -> Layout {
        let discriminant = discriminant_size(payloads.len());
        let mut layout = Layout {
            size: 0,
            align: discriminant,
        };
        let mut i = 0;
        while i < payloads.len() {
            if payloads[i].size > layout.size {
                layout.size = payloads[i].size;
            }
            if payloads[i].align > layout.align {
                layout.align = payloads[i].align;
            }
            i += 1;
        }
        let offset = align_to(discriminant, layout.align);
        Layout {
            size: offset.saturating_add(layout.size),
            align: layout.align,
        }
        .padded()
    }

    /// Where the payload of a variant starts, from the layout of the whole variant and its number
    /// of cases.
    ///
    /// The alignment of the whole is the largest of discriminant and payloads, but the payload
    /// starts at a multiple of the payloads' alignment alone; both give the same offset, because
    /// the discriminant is never aligned stricter than it is long.
    pub const fn payload_offset(self, cases: usize) -> u32 {
        align_to(discriminant_size(cases), self.align)
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

/// Bytes of the discriminant of a variant with this many cases.
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
}

impl FlatType {
    /// The type that can hold either (`join` of the specification).
    pub const fn join(self, other: FlatType) -> FlatType {
        match (self, other) {
            (FlatType::I32, FlatType::I32 | FlatType::F32) => FlatType::I32,
            (FlatType::F32, FlatType::I32) => FlatType::I32,
            (FlatType::F32, FlatType::F32) => FlatType::F32,
            (FlatType::F64, FlatType::F64) => FlatType::F64,
            _ => FlatType::I64,
        }
    }
}

/// The flat form of a type: up to [`MAX_FLAT_PARAMS`] core types, or "too many".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flat {
    /// `MAX_FLAT_PARAMS + 1` stands for too many.
    len: u8,
    types: [FlatType; MAX_FLAT_PARAMS],
}

impl Flat {
    /// No values.
    pub const EMPTY: Flat = Flat {
        len: 0,
        types: [FlatType::I32; MAX_FLAT_PARAMS],
    };

    /// More values than parameters can have.
    pub const TOO_MANY: Flat = Flat {
        len: MAX_FLAT_PARAMS as u8 + 1,
        types: [FlatType::I32; MAX_FLAT_PARAMS],
    };

    /// One value.
    pub const fn one(ty: FlatType) -> Flat {
        Flat::EMPTY.push(ty)
    }

    /// Pointer and length.
    pub const POINTER_PAIR: Flat = Flat::one(FlatType::I32).push(FlatType::I32);

    /// With one more value.
    pub const fn push(mut self, ty: FlatType) -> Flat {
        if self.len as usize >= MAX_FLAT_PARAMS {
            return Flat::TOO_MANY;
        }
        self.types[self.len as usize] = ty;
        self.len += 1;
        self
    }

    /// The values of one after those of the other.
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

    /// The number of values; `MAX_FLAT_PARAMS + 1` when there are more than that.
    pub const fn count(&self) -> usize {
        self.len as usize
    }

    /// The values' types; `None` when there are too many.
    pub fn types(&self) -> Option<&[FlatType]> {
        self.types.get(..usize::from(self.len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_variants() {
        let record = Layout::record(&[Layout::scalar(4), Layout::scalar(4), Layout::scalar(1)]);
        assert_eq!(record, Layout { size: 12, align: 4 });
        let option = Layout::variant(&[Layout::EMPTY, Layout::scalar(8)]);
        assert_eq!(option, Layout { size: 16, align: 8 });
        assert_eq!(option.payload_offset(2), 8);
        let wide = Layout::variant(&[Layout::EMPTY; 257]);
        assert_eq!((wide.size, wide.payload_offset(257)), (2, 2));
        assert_eq!(Layout::record(&[]), Layout::EMPTY);
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
        let sixteen = (0..16).fold(Flat::EMPTY, |flat, _| flat.push(FlatType::I64));
        assert!(sixteen.fits() && !sixteen.push(FlatType::I32).fits());
        assert!(!Flat::variant(&[sixteen]).fits());
    }
}
