cwasm::bindgen!({
    inline: "package a:b; world w { export f: func(); }",
    exports: { "f": async | trappable },
});

fn main() {}
