cwasm::bindgen!({
    inline: "package a:b; world w {}",
    world: "v",
});

fn main() {}
