cwasm::bindgen!({
    inline: "
        package a:b@1.2.3;
        interface files {
            resource file { len: func() -> u32; }
        }
        world w { import files; import f: func(); export g: func(); }
    ",
    imports: {
        "a:b/files.[method]file.length": async,
        "a:b/files@1.2.3.[drop]file": async,
        "a:b/folders": trappable,
        "f": sync,
        "g": async,
    },
    exports: { "f": async },
});

fn main() {}
