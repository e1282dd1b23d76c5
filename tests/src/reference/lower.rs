//! From values to a guest ("Storing", "Flat Lowering").

use cwasm::TrapCode;

use super::layout::{
    align_to, alignment, discriminant_size, flags_size, flat_count, flatten, payload_offset, size,
};
use super::{Core, Encoding, Guest, Shape, State, Type, Value, Width};

/// A flat value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flat {
    /// Its core type.
    pub core: Core,
    /// Its bits; narrow ones are zero-extended.
    pub bits: u64,
    /// The bytes of the float if it is some NaN, else 0.
    pub nan: usize,
    /// Its meaning.
    pub meaning: Meaning,
}

/// The meaning of a place of a lowered value, so that it can be made wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// An integer, and its bytes.
    Int(usize),
    /// A bool.
    Bool,
    /// A float, and its bytes.
    Float(usize),
    /// A char.
    Char,
    /// A discriminant, and the number of cases.
    Discriminant(usize),
    /// Flags, and their number.
    Flags(usize),
    /// A pointer.
    Pointer {
        /// Bytes.
        size: usize,
        /// Bytes.
        align: usize,
    },
    /// A number of elements, and the bytes of an element.
    Length(usize),
    /// A number of code units.
    Units,
    /// A handle.
    Handle,
    /// Text.
    Text,
    /// Nothing: the payload is shorter.
    Unused,
}

/// Where something lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// That many bytes in memory at this address.
    Memory(usize, usize),
    /// In the flat value of this index.
    Flat(usize),
}

/// A place of a lowered value, and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site {
    /// Where.
    pub place: Place,
    /// What.
    pub meaning: Meaning,
}

/// Lowers values into a guest.
#[derive(Debug)]
pub struct Lower<'g> {
    pub(super) guest: &'g mut Guest,
    pub(super) encoding: Encoding,
    width: Width,
    /// Whether strings in Latin-1+UTF-16 are UTF-16 even if they need not be: not what the
    /// specification does, but what a guest may.
    pub always_utf16: bool,
    /// Whether what is lent is owned: what a guest has before it lends it.
    pub lends: bool,
    sites: Vec<Site>,
}

/// The result of lowering: flat values, or the trap that ended it.
type Lowered = Result<Vec<Flat>, TrapCode>;

impl<'g> Lower<'g> {
    /// Lowers with these options.
    pub fn new(guest: &'g mut Guest, encoding: Encoding) -> Lower<'g> {
        Lower {
            width: guest.width,
            guest,
            encoding,
            always_utf16: false,
            lends: false,
            sites: Vec::new(),
        }
    }

    /// "lower_flat_values": the flat values. `out` is where a result is wanted that does not fit.
    ///
    /// # Errors
    /// The trap.
    pub fn values(
        &mut self,
        max_flat: usize,
        values: &[Value],
        types: &[Type],
        out: Option<u64>,
    ) -> Lowered {
        let mut flat = Vec::new();
        if flat_count(types) <= max_flat {
            for (value, ty) in values.iter().zip(types) {
                flat.extend(self.flat(value, ty)?);
            }
            return Ok(flat);
        }
        let tuple = Type::Tuple(types.to_vec());
        let (align, size) = (alignment(&tuple, self.width), size(&tuple, self.width));
        let out_of_bounds = TrapCode::MemoryOutOfBounds;
        let pointer = match out {
            Some(out) => self.guest.place(out as usize, align, size, out_of_bounds)?,
            None => {
                let pointer = self.guest.allocate(align, size, out_of_bounds)?;
                flat.push(self.pointer(pointer, size, align));
                pointer
            }
        };
        self.fields(values, types.iter(), pointer)?;
        Ok(flat)
    }

    /// All places in memory of what was lowered so far.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// A flat pointer.
    fn pointer(&self, pointer: usize, size: usize, align: usize) -> Flat {
        let meaning = Meaning::Pointer { size, align };
        self.wide(pointer as u64, meaning)
    }

    /// A flat value as wide as a pointer.
    fn wide(&self, bits: u64, meaning: Meaning) -> Flat {
        Flat {
            core: Core::pointer(self.width),
            ..narrow(bits, meaning)
        }
    }

    fn put(&mut self, at: usize, bits: u64, bytes: usize, meaning: Meaning) {
        self.guest
            .write(at, &bits.to_le_bytes()[..bytes], State::Exact);
        self.site(at, bytes, meaning);
    }

    pub(super) fn site(&mut self, at: usize, bytes: usize, meaning: Meaning) {
        let place = Place::Memory(at, bytes);
        self.sites.push(Site { place, meaning });
    }

    fn fields<'t>(
        &mut self,
        values: &[Value],
        types: impl Iterator<Item = &'t Type>,
        at: usize,
    ) -> Result<(), TrapCode> {
        let mut end = at;
        for (value, ty) in values.iter().zip(types) {
            end = align_to(end, alignment(ty, self.width));
            self.store(value, ty, end)?;
            end += size(ty, self.width);
        }
        Ok(())
    }

    /// "store"
    fn store(&mut self, value: &Value, ty: &Type, at: usize) -> Result<(), TrapCode> {
        match (ty.shape(), value) {
            (_, Value::Bad(code)) => return Err(*code),
            (Shape::Bool, Value::Bool(value)) => {
                self.put(at, u64::from(*value), 1, Meaning::Bool);
            }
            (Shape::Int { bytes, .. }, Value::Int(int)) => {
                self.put(at, *int as u64, bytes, Meaning::Int(bytes));
            }
            (Shape::Float { bytes }, Value::F32(_) | Value::F64(_)) => {
                let (bits, is_nan) = float_bits(value);
                self.put(at, bits, bytes, Meaning::Float(bytes));
                if is_nan {
                    self.guest
                        .write(at, &bits.to_le_bytes()[..bytes], State::Nan);
                }
            }
            (Shape::Char, Value::Char(char)) => {
                self.put(at, u64::from(u32::from(*char)), 4, Meaning::Char);
            }
            (Shape::String | Shape::List(_), _) => {
                let bytes = self.width.bytes();
                for (index, half) in self.pair(value, ty)?.into_iter().enumerate() {
                    self.put(at + bytes * index, half.bits, bytes, half.meaning);
                }
            }
            (Shape::Record(fields), Value::Record(values)) => {
                self.fields(values, fields.into_iter(), at)?;
            }
            (Shape::Variant(cases), Value::Case(case, payload)) => {
                let (count, bytes) = (cases.len(), discriminant_size(cases.len()));
                self.put(at, *case as u64, bytes, Meaning::Discriminant(count));
                if let (Some(ty), Some(payload)) = (cases[*case], payload) {
                    self.store(payload, ty, at + payload_offset(&cases, self.width))?;
                }
            }
            (Shape::Flags(count), Value::Flags(bits)) => {
                self.put(
                    at,
                    u64::from(*bits),
                    flags_size(count),
                    Meaning::Flags(count),
                );
            }
            (Shape::Own(_) | Shape::Borrow(_), Value::Resource(rep)) => {
                let handle = self.handle(ty, *rep);
                self.put(at, handle.into(), 4, Meaning::Handle);
            }
            (shape, value) => panic!("{value:?} is not of the type {shape:?}"),
        }
        Ok(())
    }

    /// Pointer and length of a string or list that is stored anew.
    fn pair(&mut self, value: &Value, ty: &Type) -> Result<[Flat; 2], TrapCode> {
        match (ty.shape(), value) {
            (Shape::String, Value::String(text)) => {
                let (pointer, units, align, size) = self.string(text)?;
                let pointer = self.pointer(pointer, size, align);
                Ok([pointer, self.wide(units, Meaning::Units)])
            }
            (Shape::List(element), Value::List(items)) => {
                let (align, element_size) =
                    (alignment(element, self.width), size(element, self.width));
                let size = items.len() * element_size;
                let out_of_bounds = TrapCode::ListOutOfBounds;
                let pointer = self.guest.allocate(align, size, out_of_bounds)?;
                for (index, item) in items.iter().enumerate() {
                    self.store(item, element, pointer + index * element_size)?;
                }
                let len = self.wide(items.len() as u64, Meaning::Length(element_size));
                Ok([self.pointer(pointer, size, align), len])
            }
            (_, Value::Bad(code)) => Err(*code),
            (shape, value) => panic!("{value:?} is not of the type {shape:?}"),
        }
    }

    /// "lower_own", "lower_borrow"
    fn handle(&mut self, ty: &Type, rep: u32) -> u32 {
        let (resource, own) = match ty.shape() {
            Shape::Own(resource) => (resource, true),
            Shape::Borrow(resource) => (resource, self.lends),
            shape => panic!("{shape:?} is no handle"),
        };
        self.guest.handles.add(resource, rep, own)
    }

    /// "lower_flat"
    fn flat(&mut self, value: &Value, ty: &Type) -> Lowered {
        let flat = match (ty.shape(), value) {
            (_, Value::Bad(code)) => return Err(*code),
            (Shape::Bool, Value::Bool(value)) => narrow(u64::from(*value), Meaning::Bool),
            (Shape::Int { bytes: 8, .. }, Value::Int(int)) => Flat {
                core: Core::I64,
                bits: *int as u64,
                nan: 0,
                meaning: Meaning::Int(8),
            },
            (Shape::Int { bytes, .. }, Value::Int(int)) => {
                narrow(u64::from(*int as u32), Meaning::Int(bytes))
            }
            (Shape::Float { bytes }, Value::F32(_) | Value::F64(_)) => {
                let (bits, is_nan) = float_bits(value);
                Flat {
                    core: if bytes == 4 { Core::F32 } else { Core::F64 },
                    bits,
                    nan: if is_nan { bytes } else { 0 },
                    meaning: Meaning::Float(bytes),
                }
            }
            (Shape::Char, Value::Char(char)) => narrow(u64::from(u32::from(*char)), Meaning::Char),
            (Shape::String | Shape::List(_), _) => return Ok(self.pair(value, ty)?.to_vec()),
            (Shape::Record(fields), Value::Record(values)) => {
                let mut flat = Vec::new();
                for (value, ty) in values.iter().zip(fields) {
                    flat.extend(self.flat(value, ty)?);
                }
                return Ok(flat);
            }
            (Shape::Variant(cases), Value::Case(case, payload)) => {
                let mut flat = vec![narrow(*case as u64, Meaning::Discriminant(cases.len()))];
                if let (Some(ty), Some(payload)) = (cases[*case], payload) {
                    flat.extend(self.flat(payload, ty)?);
                }
                return Ok(widen(flat, &flatten(ty, self.width)));
            }
            (Shape::Flags(count), Value::Flags(bits)) => {
                narrow(u64::from(*bits), Meaning::Flags(count))
            }
            (Shape::Own(_) | Shape::Borrow(_), Value::Resource(rep)) => {
                narrow(self.handle(ty, *rep).into(), Meaning::Handle)
            }
            (shape, value) => panic!("{value:?} is not of the type {shape:?}"),
        };
        Ok(vec![flat])
    }
}

/// An `i32`.
fn narrow(bits: u64, meaning: Meaning) -> Flat {
    Flat {
        core: Core::I32,
        bits,
        nan: 0,
        meaning,
    }
}

/// The flat form of one case in that of all.
fn widen(flat: Vec<Flat>, cores: &[Core]) -> Vec<Flat> {
    let unused = narrow(0, Meaning::Unused);
    let flat = flat.into_iter().chain(std::iter::repeat(unused));
    let widened = flat.zip(cores);
    widened
        .map(|(flat, core)| Flat {
            core: *core,
            ..flat
        })
        .collect()
}

/// The bits of a float, and whether it is a NaN.
fn float_bits(value: &Value) -> (u64, bool) {
    match value {
        Value::F32(bits) => (u64::from(*bits), f32::from_bits(*bits).is_nan()),
        Value::F64(bits) => (*bits, f64::from_bits(*bits).is_nan()),
        value => panic!("{value:?} is not a float"),
    }
}
