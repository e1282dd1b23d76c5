//! How much is read of debug information that a guest brings.

use std::fmt;

/// Why debug information is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(String);

impl Refusal {
    pub(crate) fn new(reason: impl fmt::Display) -> Refusal {
        Refusal(reason.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<gimli::Error> for Refusal {
    fn from(error: gimli::Error) -> Refusal {
        Refusal::new(error)
    }
}

/// Steps that reading may still take. Parts of debug information refer to others, so that few bytes
/// may stand for very many.
///
/// A step is a part that is looked at, or about 32 bytes that are kept: both time and memory are
/// linear in the size of the input.
pub(crate) struct Budget {
    left: u64,
}

/// Bytes of text for a step.
const TEXT: usize = 16;

impl Budget {
    /// Steps for `bytes` bytes of debug information about `code` bytes of code.
    pub(crate) fn new(bytes: usize, code: u64) -> Budget {
        Budget {
            left: 1_000_000 + 16 * (bytes as u64 + code),
        }
    }

    /// Takes the steps of a text of so many bytes, which is looked at and maybe kept.
    ///
    /// # Errors
    /// If there are not enough left.
    pub(crate) fn take_text(&mut self, len: usize) -> Result<(), Refusal> {
        self.take(1 + (len / TEXT) as u64)
    }

    /// Takes so many steps.
    ///
    /// # Errors
    /// If there are none left.
    pub(crate) fn take(&mut self, steps: u64) -> Result<(), Refusal> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Refusal::new(
                "it refers to itself more often than its size explains",
            )),
        }
    }
}
