#[derive(cwasm::ComponentType)]
struct Pair {
    #[component(name = "not a name")]
    first: u8,
}

#[derive(cwasm::ComponentType)]
struct Private {
    _hidden: u8,
}

fn main() {}
