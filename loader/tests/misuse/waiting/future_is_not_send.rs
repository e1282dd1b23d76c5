use std::rc::Rc;

cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { default: async },
});

struct Host;

impl WImports for Host {
    async fn f(&mut self) {
        let here = Rc::new(1);
        std::future::ready(()).await;
        drop(here);
    }
}

fn main() {}
