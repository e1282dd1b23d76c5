//! Writes a section, and notes where addresses are in it.

use gimli::LittleEndian;
use gimli::write::{Address, EndianVec, Result, Writer};

/// A section that is being written.
#[derive(Clone)]
pub(super) struct Section {
    bytes: EndianVec<LittleEndian>,
    /// Offsets of the addresses in it, in order.
    addresses: Vec<u32>,
}

impl Section {
    pub(super) fn new() -> Section {
        Section {
            bytes: EndianVec::new(LittleEndian),
            addresses: Vec::new(),
        }
    }

    /// What was written, and where addresses are.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<u32>) {
        (self.bytes.take(), std::mem::take(&mut self.addresses))
    }
}

impl Writer for Section {
    type Endian = LittleEndian;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.write(bytes)
    }

    fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.bytes.write_at(offset, bytes)
    }

    fn write_address(&mut self, address: Address, size: u8) -> Result<()> {
        // There is no code at 0: that is what addresses are counted from.
        if let Address::Constant(1..) = address {
            self.addresses.extend(u32::try_from(self.bytes.len()));
        }
        self.bytes.write_address(address, size)
    }
}
