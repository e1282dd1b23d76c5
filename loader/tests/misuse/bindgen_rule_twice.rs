cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { "f": async, "f": trappable },
});

fn main() {}
