cwasm::bindgen!({
    inline: "package a:b; world w { export f: func() -> nothing; }",
});

fn main() {}
