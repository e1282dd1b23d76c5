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

// Both would own the same file.
fn twice(named: &a::b::files::Named) -> [a::b::files::Named; 2] {
    [named.clone(), named.clone()]
}

fn main() {}
