//! The machine code of a mapped artifact.
#![allow(unsafe_code, reason = "hands out addresses in a mapping")]

use std::ops::Range;
use std::ptr::NonNull;

/// The machine code of a mapped artifact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    start: NonNull<u8>,
    size: u32,
}

/// The address of machine code of a mapped artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(NonNull<u8>);

// SAFETY: addresses of memory that nothing writes to; running it is checked elsewhere.
unsafe impl Send for Text {}
// SAFETY: as above.
unsafe impl Sync for Text {}
// SAFETY: as above.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Text {
    /// The text at these addresses.
    ///
    /// # Safety
    /// - They are a part of a mapping that stays as long as this, and nothing writes to them.
    pub(super) unsafe fn new(start: NonNull<u8>, size: u32) -> Text {
        Text { start, size }
    }

    pub(crate) fn start(self) -> NonNull<u8> {
        self.start
    }

    /// Bytes of the text.
    pub(crate) fn size(self) -> u32 {
        self.size
    }

    /// The offset of an address; `None` if it is not in the text.
    pub(crate) fn offset(self, pc: usize) -> Option<u32> {
        let offset = pc.checked_sub(self.range().start)?;
        u32::try_from(offset)
            .ok()
            .filter(|offset| *offset < self.size)
    }

    /// The code at this offset; `None` if the text is shorter.
    pub(crate) fn get(self, offset: u32) -> Option<Code> {
        // SAFETY: inside the text.
        (offset < self.size).then(|| unsafe { self.at(offset) })
    }

    /// The addresses of the text.
    pub(crate) fn range(self) -> Range<usize> {
        let start = self.start.addr().get();
        start..start + self.size as usize
    }

    /// The address of this offset.
    ///
    /// # Safety
    /// - The offset is less than the size of the text.
    #[inline]
    pub(crate) unsafe fn at(self, offset: u32) -> Code {
        // SAFETY: inside the mapping (the caller's contract).
        Code(unsafe { self.start.add(offset as usize) })
    }
}

impl Code {
    #[inline]
    pub(crate) fn address(self) -> NonNull<u8> {
        self.0
    }
}
