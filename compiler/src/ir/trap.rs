//! Trap codes as Cranelift sees them.

use cranelift_codegen::ir;
use cwasm_format::TrapCode;

/// Cranelift's code for a trap: its own for traps that its instructions raise, otherwise our
/// number.
pub(crate) const fn trap_code(code: TrapCode) -> ir::TrapCode {
    match code {
        TrapCode::MemoryOutOfBounds => ir::TrapCode::HEAP_OUT_OF_BOUNDS,
        TrapCode::IntegerOverflow => ir::TrapCode::INTEGER_OVERFLOW,
        TrapCode::IntegerDivisionByZero => ir::TrapCode::INTEGER_DIVISION_BY_ZERO,
        TrapCode::BadConversionToInteger => ir::TrapCode::BAD_CONVERSION_TO_INTEGER,
        TrapCode::StackOverflow => ir::TrapCode::STACK_OVERFLOW,
        code => ir::TrapCode::unwrap_user(code.number()),
    }
}

/// The trap of one of Cranelift's codes: the inverse of [`trap_code`].
pub(crate) fn from_trap_code(code: ir::TrapCode) -> TrapCode {
    match TrapCode::ALL
        .iter()
        .find(|known| trap_code(**known) == code)
    {
        Some(known) => *known,
        None => unreachable!("no trap has the code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trap_survives_the_round_trip() {
        for code in TrapCode::ALL {
            assert_eq!(from_trap_code(trap_code(*code)), *code);
        }
    }
}
