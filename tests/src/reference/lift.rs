//! From a guest to values ("Loading", "Flat Lifting").

use cwasm::TrapCode;

use super::layout::{
    alignment, discriminant_size, flags_size, flat_count, flatten, payload_offset, size,
};
use super::{Core, Encoding, Guest, Shape, Source, Text, Type, Value, Width};

/// The longest string or list in bytes.
const MAX_BYTE_LENGTH: u64 = (1 << 28) - 1;

/// Lifts values of a guest.
#[derive(Debug)]
pub struct Lift<'g> {
    guest: &'g mut Guest,
    encoding: Encoding,
    width: Width,
    /// The first thing that was wrong.
    trap: Option<TrapCode>,
}

impl<'g> Lift<'g> {
    /// Lifts with these options.
    pub fn new(guest: &'g mut Guest, encoding: Encoding) -> Lift<'g> {
        Lift {
            width: guest.width,
            guest,
            encoding,
            trap: None,
        }
    }

    /// "lift_flat_values": the values, and the trap that the specification has if there is
    /// [`Value::Bad`] among them. There are none if they cannot be reached.
    pub fn values(
        mut self,
        max_flat: usize,
        flat: &[u64],
        types: &[Type],
    ) -> (Vec<Value>, Option<TrapCode>) {
        let values = if flat_count(types) <= max_flat {
            let mut flat = flat.iter().copied();
            let values = types.iter().map(|ty| self.flat(ty, &mut flat)).collect();
            assert!(flat.next().is_none(), "all flat values are of the types");
            values
        } else {
            let tuple = Type::Tuple(types.to_vec());
            let (pointer, width) = (flat[0] & self.width.mask(), self.width);
            match self.check(pointer, size(&tuple, width), alignment(&tuple, width)) {
                Ok(()) => match self.load(&tuple, pointer as usize) {
                    Value::Record(values) => values,
                    value => panic!("a tuple is loaded as {value:?}"),
                },
                Err(code) => {
                    self.bad(code.unwrap_or(TrapCode::MemoryOutOfBounds));
                    Vec::new()
                }
            }
        };
        (values, self.trap)
    }

    fn bad(&mut self, code: TrapCode) -> Value {
        self.trap.get_or_insert(code);
        Value::Bad(code)
    }

    /// Whether a range is inside the memory; the inner error is that it is not aligned.
    fn check(&self, pointer: u64, len: usize, align: usize) -> Result<(), Option<TrapCode>> {
        if !(pointer as usize).is_multiple_of(align) {
            return Err(Some(TrapCode::UnalignedPointer));
        }
        if !self.guest.has(pointer as usize, len) {
            return Err(None);
        }
        Ok(())
    }

    fn load_int(&mut self, at: usize, bytes: usize) -> u64 {
        let bytes = self.guest.read(at, bytes);
        bytes
            .iter()
            .rev()
            .fold(0, |int, byte| int << 8 | u64::from(*byte))
    }

    /// "load"
    fn load(&mut self, ty: &Type, at: usize) -> Value {
        match ty.shape() {
            Shape::Bool => Value::Bool(self.load_int(at, 1) != 0),
            Shape::Int { bytes, signed } => int(self.load_int(at, bytes), bytes, signed),
            Shape::Float { bytes } => float(self.load_int(at, bytes), bytes),
            Shape::Char => {
                let bits = self.load_int(at, 4);
                self.char(bits as u32)
            }
            Shape::String => {
                let (pointer, len) = self.load_pair(at);
                self.string(pointer, len)
            }
            Shape::List(element) => {
                let (pointer, len) = self.load_pair(at);
                self.list(element, pointer, len)
            }
            Shape::Record(fields) => {
                let (mut values, mut end) = (Vec::new(), at);
                for field in fields {
                    end = super::layout::align_to(end, alignment(field, self.width));
                    values.push(self.load(field, end));
                    end += size(field, self.width);
                }
                Value::Record(values)
            }
            Shape::Variant(cases) => {
                let case = self.load_int(at, discriminant_size(cases.len())) as usize;
                let Some(payload) = cases.get(case) else {
                    return self.bad(TrapCode::InvalidDiscriminant);
                };
                let offset = payload_offset(&cases, self.width);
                let payload = payload.map(|ty| Box::new(self.load(ty, at + offset)));
                Value::Case(case, payload)
            }
            Shape::Flags(count) => flags(self.load_int(at, flags_size(count)), count),
            Shape::Own(_) | Shape::Borrow(_) => {
                let handle = self.load_int(at, 4);
                self.handle(ty, handle as u32)
            }
        }
    }

    fn load_pair(&mut self, at: usize) -> (u64, u64) {
        let bytes = self.width.bytes();
        (self.load_int(at, bytes), self.load_int(at + bytes, bytes))
    }

    /// "convert_i32_to_char"
    fn char(&mut self, bits: u32) -> Value {
        if bits >= 0x11_0000 || (0xd800..=0xdfff).contains(&bits) {
            return self.bad(TrapCode::InvalidChar);
        }
        Value::Char(char::from_u32(bits).expect("a scalar value"))
    }

    /// "lift_own", "lift_borrow"
    fn handle(&mut self, ty: &Type, handle: u32) -> Value {
        let handles = &mut self.guest.handles;
        let rep = match ty.shape() {
            Shape::Own(resource) => handles.take(resource, handle),
            Shape::Borrow(resource) => handles.lend(resource, handle),
            shape => panic!("{shape:?} is no handle"),
        };
        match rep {
            Ok(rep) => Value::Resource(rep),
            Err(code) => self.bad(code),
        }
    }

    /// "load_string_from_range"
    fn string(&mut self, pointer: u64, len: u64) -> Value {
        let tag = self.width.utf16_tag();
        let (source, align, byte_len) = match self.encoding {
            Encoding::Utf8 => (Source::Utf8, 1, len),
            Encoding::Utf16 => (Source::Utf16, 2, len.saturating_mul(2)),
            Encoding::Latin1Utf16 if len & tag != 0 => {
                (Source::TaggedUtf16, 2, (len ^ tag).saturating_mul(2))
            }
            Encoding::Latin1Utf16 => (Source::Latin1, 2, len),
        };
        if byte_len > MAX_BYTE_LENGTH {
            return self.bad(TrapCode::StringTooLong);
        }
        if let Err(code) = self.check(pointer, byte_len as usize, align) {
            return self.bad(code.unwrap_or(TrapCode::StringOutOfBounds));
        }
        let bytes = self
            .guest
            .read(pointer as usize, byte_len as usize)
            .to_vec();
        let text = match source {
            Source::Utf8 => String::from_utf8(bytes).ok(),
            Source::Latin1 => Some(bytes.into_iter().map(char::from).collect()),
            Source::Utf16 | Source::TaggedUtf16 => {
                let units = bytes
                    .chunks(2)
                    .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
                String::from_utf16(&units.collect::<Vec<u16>>()).ok()
            }
        };
        match text {
            Some(text) => Value::String(Text { text, source }),
            None => self.bad(TrapCode::InvalidStringEncoding),
        }
    }

    /// "load_list_from_range"
    fn list(&mut self, element: &Type, pointer: u64, len: u64) -> Value {
        let element_size = size(element, self.width);
        let byte_len = len.saturating_mul(element_size as u64);
        if byte_len > MAX_BYTE_LENGTH {
            return self.bad(TrapCode::ListTooLong);
        }
        if let Err(code) = self.check(pointer, byte_len as usize, alignment(element, self.width)) {
            return self.bad(code.unwrap_or(TrapCode::ListOutOfBounds));
        }
        let mut items = Vec::new();
        for index in 0..len as usize {
            items.push(self.load(element, pointer as usize + index * element_size));
            // No implementation that copies the list reads elements after the wrong one.
            if let Some(code) = self.trap {
                items.resize(len as usize, Value::Bad(code));
                break;
            }
        }
        Value::List(items)
    }

    /// "lift_flat"
    fn flat(&mut self, ty: &Type, flat: &mut dyn Iterator<Item = u64>) -> Value {
        let mut next = || flat.next().expect("as many flat values as the type has");
        match ty.shape() {
            Shape::Bool => Value::Bool(next() as u32 != 0),
            Shape::Int { bytes, signed } => int(next(), bytes, signed),
            Shape::Float { bytes } => float(next(), bytes),
            Shape::Char => {
                let bits = next();
                self.char(bits as u32)
            }
            Shape::String => {
                let mask = self.width.mask();
                let (pointer, len) = (next() & mask, next() & mask);
                self.string(pointer, len)
            }
            Shape::List(element) => {
                let mask = self.width.mask();
                let (pointer, len) = (next() & mask, next() & mask);
                self.list(element, pointer, len)
            }
            Shape::Record(fields) => {
                let fields = fields.into_iter();
                Value::Record(fields.map(|field| self.flat(field, flat)).collect())
            }
            Shape::Variant(cases) => {
                let case = next() as u32 as usize;
                let rest: Vec<u64> = (1..flatten(ty, self.width).len()).map(|_| next()).collect();
                let Some(payload) = cases.get(case) else {
                    return self.bad(TrapCode::InvalidDiscriminant);
                };
                let payload = payload.map(|ty| {
                    // "CoerceValueIter": the low half of what is wider than the payload.
                    let narrowed = flatten(ty, self.width).into_iter().zip(rest);
                    let mut narrowed = narrowed.map(|(core, bits)| match core {
                        Core::I32 | Core::F32 => u64::from(bits as u32),
                        Core::I64 | Core::F64 => bits,
                    });
                    Box::new(self.flat(ty, &mut narrowed))
                });
                Value::Case(case, payload)
            }
            Shape::Flags(count) => flags(next(), count),
            Shape::Own(_) | Shape::Borrow(_) => {
                let handle = next();
                self.handle(ty, handle as u32)
            }
        }
    }
}

/// The integer in the low bytes.
fn int(bits: u64, bytes: usize, signed: bool) -> Value {
    let modulus = 1i128 << (8 * bytes);
    let int = i128::from(bits) % modulus;
    Value::Int(if signed && int >= modulus / 2 {
        int - modulus
    } else {
        int
    })
}

/// The float in the low bytes; any NaN is the canonical one.
fn float(bits: u64, bytes: usize) -> Value {
    if bytes == 4 {
        let bits = bits as u32;
        let is_nan = f32::from_bits(bits).is_nan();
        return Value::F32(if is_nan { 0x7fc0_0000 } else { bits });
    }
    let is_nan = f64::from_bits(bits).is_nan();
    Value::F64(if is_nan { 0x7ff8_0000_0000_0000 } else { bits })
}

/// "unpack_flags_from_int"
fn flags(bits: u64, count: usize) -> Value {
    Value::Flags((0..count).fold(0, |flags, bit| flags | bits as u32 & 1 << bit))
}
