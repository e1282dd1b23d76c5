cwasm::bindgen!({
    inline: "package a:b; world w { import f: func(); }",
    imports: { default: async | tracing },
});

fn main() {}
