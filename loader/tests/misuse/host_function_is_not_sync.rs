use std::cell::Cell;

fn define(linker: &mut cwasm::Linker<()>) {
    let count = Cell::new(1u32);
    let _ = linker.root().func_new("f", move |_, _, _, _| {
        count.set(count.get() + 1);
        Ok(())
    });
}

fn main() {}
