//! Names of what cannot be translated.

use wasmparser::Operator;

use crate::error::Error;

macro_rules! define_proposal {
    ($(@$proposal:ident $op:ident $({ $($payload:tt)* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The proposal that brought an operator, in wasmparser's spelling.
        fn proposal(op: &Operator<'_>) -> &'static str {
            match op {
                $(Operator::$op { .. } => stringify!($proposal),)*
                _ => "an unknown operator",
            }
        }
    };
}
wasmparser::for_each_operator!(define_proposal);

/// The error for an operator that is valid but cannot be translated.
#[cold]
pub(super) fn unsupported(op: &Operator<'_>, offset: u64) -> Error {
    Error::unsupported(proposal(op).replace('_', "-"), offset)
}
