cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { default: store | async },
});

fn main() {}
