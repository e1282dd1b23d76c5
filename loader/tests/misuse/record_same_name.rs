#[derive(cwasm::ComponentType)]
struct Pair {
    first: u8,
    #[component(name = "First")]
    second: u8,
}

#[derive(cwasm::ComponentType)]
struct Twice {
    first: u8,
    #[component(name = "first")]
    second: u8,
}

fn main() {}
