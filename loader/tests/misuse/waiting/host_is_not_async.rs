cwasm::bindgen!({
    inline: "package a:b; world w { import f: func() -> u32; }",
    imports: { "f": async },
});

struct Host;

impl WImports for Host {
    fn f(&mut self) -> u32 {
        5
    }
}

fn main() {}
