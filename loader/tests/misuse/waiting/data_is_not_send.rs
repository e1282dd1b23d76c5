use std::rc::Rc;

cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { default: async },
});

struct Host;

impl WImports for Host {
    async fn f(&mut self) {}
}

fn define(linker: &mut cwasm::Linker<(Host, Rc<u32>)>) -> cwasm::Result<()> {
    W::add_to_linker(linker, |(host, _)| host)
}

fn main() {}
