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
    let frame = |function: &Function<'_, '_>| {
        let code = function.code;
        (arch.frame)(function.address, &code.code, &code.saved)
    };
    for function in functions {
        table.add_fde(common, frame(function));
    }
    let written = table.write_debug_frame(section);
    assert!(written.is_ok(), "frames are well-formed: {written:?}");
}
