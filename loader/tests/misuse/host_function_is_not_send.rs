use std::rc::Rc;

fn define(linker: &mut cwasm::Linker<()>) {
    let shared = Rc::new(1u32);
    let _ = linker.root().func_wrap("f", move |_, (): ()| Ok((*shared,)));
}

fn main() {}
