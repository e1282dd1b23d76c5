use std::rc::Rc;

struct File;

fn define(linker: &mut cwasm::Linker<()>) {
    let shared = Rc::new(1u32);
    let ty = cwasm::ResourceType::host::<File>();
    let _ = linker.root().resource("file", ty, move |_, rep| {
        assert_eq!(*shared, rep);
        Ok(())
    });
}

fn main() {}
