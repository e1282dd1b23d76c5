//! Why execution of a guest stopped.

/// The reason of a trap. Numbers are part of the artifact's ABI: they stand in trap tables and in
/// the status that thunks return. The wording follows the specifications' test suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum TrapCode {
    /// A load, store or bulk operation outside of a linear memory.
    MemoryOutOfBounds = 1,
    /// A table access outside of the table.
    TableOutOfBounds,
    /// `call_indirect` through a null table element.
    IndirectCallToNull,
    /// `call_indirect` with another type than the function has.
    BadSignature,
    /// Signed division whose result does not fit.
    IntegerOverflow,
    /// Division or remainder by zero.
    IntegerDivisionByZero,
    /// Float to integer conversion of NaN or a value out of range.
    BadConversionToInteger,
    /// The `unreachable` instruction.
    Unreachable,
    /// A null reference where a reference is needed.
    NullReference,
    /// The thread's stack is exhausted.
    StackOverflow,
    /// A host function returned an error.
    HostError,
    /// A call into a component that may not be entered, or a return to it: it has trapped, results lie in
    /// its memory until post-return, or it is active and the host does not want it to be entered then.
    CannotEnter,
    /// A call out of an instance that may not be left (in `realloc` or post-return).
    CannotLeave,
    /// A char that is not a Unicode scalar value.
    InvalidChar,
    /// A string of more than 2^28-1 bytes.
    StringTooLong,
    /// A pointer that is not a multiple of the alignment of what it points to.
    UnalignedPointer,
    /// A string that is not inside the linear memory.
    StringOutOfBounds,
    /// A string that is not well-formed in its encoding.
    InvalidStringEncoding,
    /// A list of more than 2^28-1 bytes.
    ListTooLong,
    /// A list that is not inside the linear memory.
    ListOutOfBounds,
    /// The discriminant of a variant, enum, option or result is not one of its cases.
    InvalidDiscriminant,
    /// A handle that names no table entry.
    UnknownHandle,
    /// A handle of another kind (a resource was needed).
    WrongHandleKind,
    /// A handle of another resource type.
    WrongResourceType,
    /// An owned resource is taken while it is lent.
    ResourceBorrowed,
    /// A borrow where ownership is needed.
    NotOwned,
    /// Borrows are still held when the call returns.
    BorrowsRemain,
    /// A handle table is full.
    TableFull,
    /// A core exception left an export.
    UncaughtException,
    /// The host interrupted the guest.
    Interrupt,
    /// An atomic access to an address that is not a multiple of its size.
    UnalignedAtomic,
    /// `memory.atomic.wait` on a memory that is not shared.
    ExpectedSharedMemory,
}

impl TrapCode {
    /// All codes, in the order of their numbers.
    pub const ALL: &'static [TrapCode] = &[
        TrapCode::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds,
        TrapCode::IndirectCallToNull,
        TrapCode::BadSignature,
        TrapCode::IntegerOverflow,
        TrapCode::IntegerDivisionByZero,
        TrapCode::BadConversionToInteger,
        TrapCode::Unreachable,
        TrapCode::NullReference,
        TrapCode::StackOverflow,
        TrapCode::HostError,
        TrapCode::CannotEnter,
        TrapCode::CannotLeave,
        TrapCode::InvalidChar,
        TrapCode::StringTooLong,
        TrapCode::UnalignedPointer,
        TrapCode::StringOutOfBounds,
        TrapCode::InvalidStringEncoding,
        TrapCode::ListTooLong,
        TrapCode::ListOutOfBounds,
        TrapCode::InvalidDiscriminant,
        TrapCode::UnknownHandle,
        TrapCode::WrongHandleKind,
        TrapCode::WrongResourceType,
        TrapCode::ResourceBorrowed,
        TrapCode::NotOwned,
        TrapCode::BorrowsRemain,
        TrapCode::TableFull,
        TrapCode::UncaughtException,
        TrapCode::Interrupt,
        TrapCode::UnalignedAtomic,
        TrapCode::ExpectedSharedMemory,
    ];

    /// The code with this number, if there is one.
    pub const fn from_number(number: u8) -> Option<TrapCode> {
        if number == 0 || number as usize > Self::ALL.len() {
            return None;
        }
        Some(Self::ALL[number as usize - 1])
    }

    /// The number of this code: never 0.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What the specifications' test suites call this trap.
    pub const fn message(self) -> &'static str {
        match self {
            TrapCode::MemoryOutOfBounds => "out of bounds memory access",
            TrapCode::TableOutOfBounds => "out of bounds table access",
            TrapCode::IndirectCallToNull => "uninitialized element",
            TrapCode::BadSignature => "indirect call type mismatch",
            TrapCode::IntegerOverflow => "integer overflow",
            TrapCode::IntegerDivisionByZero => "integer divide by zero",
            TrapCode::BadConversionToInteger => "invalid conversion to integer",
            TrapCode::Unreachable => "unreachable",
            TrapCode::NullReference => "null reference",
            TrapCode::StackOverflow => "call stack exhausted",
            TrapCode::HostError => "host function failed",
            TrapCode::CannotEnter => "cannot enter component instance",
            TrapCode::CannotLeave => "cannot leave component instance",
            TrapCode::InvalidChar => "invalid char",
            TrapCode::StringTooLong => "string too long",
            TrapCode::UnalignedPointer => "unaligned pointer",
            TrapCode::StringOutOfBounds => "string out of bounds",
            TrapCode::InvalidStringEncoding => "invalid string encoding",
            TrapCode::ListTooLong => "list too long",
            TrapCode::ListOutOfBounds => "list out of bounds",
            TrapCode::InvalidDiscriminant => "invalid discriminant",
            TrapCode::UnknownHandle => "unknown handle",
            TrapCode::WrongHandleKind => "wrong handle kind",
            TrapCode::WrongResourceType => "wrong resource type",
            TrapCode::ResourceBorrowed => "resource borrowed",
            TrapCode::NotOwned => "not owned",
            TrapCode::BorrowsRemain => "borrows remain",
            TrapCode::TableFull => "handle table full",
            TrapCode::UncaughtException => "uncaught exception",
            TrapCode::Interrupt => "interrupted",
            TrapCode::UnalignedAtomic => "unaligned atomic",
            TrapCode::ExpectedSharedMemory => "expected shared memory",
        }
    }
}

impl core::fmt::Display for TrapCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_agree() {
        for (index, code) in TrapCode::ALL.iter().enumerate() {
            assert_eq!(usize::from(code.number()), index + 1);
            assert_eq!(TrapCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(TrapCode::from_number(0), None);
        assert_eq!(TrapCode::from_number(TrapCode::ALL.len() as u8 + 1), None);
    }
}
