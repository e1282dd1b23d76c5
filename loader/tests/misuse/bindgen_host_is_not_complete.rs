cwasm::bindgen!({
    inline: "
        package a:b;
        world w {
            import f: func(text: string) -> u32;
            import g: func();
        }
    ",
});

struct Host;

impl WImports for Host {
    fn f(&mut self, text: String) -> u32 {
        text.len() as u32
    }
}

fn main() {}
