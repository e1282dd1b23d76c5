#[derive(cwasm::ComponentType)]
#[component(variant)]
struct Pair {
    first: u8,
}

fn main() {}
