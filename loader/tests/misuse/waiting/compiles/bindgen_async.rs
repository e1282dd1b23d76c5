cwasm::bindgen!({
    inline: "
        package a:b;
        interface files {
            resource file { len: async func() -> u32; }
        }
        world w { import files; }
    ",
});

fn main() {}
