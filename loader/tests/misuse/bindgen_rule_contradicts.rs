cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { "f": async | sync },
});

fn main() {}
