cwasm::bindgen!({
    inline: "
        package a:b;
        interface files {
            resource file { constructor(name: string); len: func() -> u32; }
            record named { name: string, file: file }
        }
        world w { import files; }
    ",
});

// The host of the interface is one of its resources too.
struct Host;

impl a::b::files::Host for Host {}

fn main() {}
