//! The frames of all functions.

use gimli::write::{DebugFrame, FrameTable};

use super::writer::Section;
use super::{ENCODING, Function};
use crate::isa::Arch;

pub(super) fn write(
    functions: &[Function<'_, '_>],
    arch: &Arch,
    section: &mut DebugFrame<Section>,
) {
    let mut table = FrameTable::default();
    let common = table.add_cie((arch.common_frame)(ENCODING));
    for function in functions {
        table.add_fde(common, (arch.frame)(function.address, &function.code.code));
    }
    let written = table.write_debug_frame(section);
    assert!(written.is_ok(), "frames are well-formed: {written:?}");
}
