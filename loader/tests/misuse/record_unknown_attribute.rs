#[derive(cwasm::ComponentType)]
#[component(packed)]
struct Pair {
    first: u8,
}

#[derive(cwasm::ComponentType)]
struct Renamed {
    #[component(rename = "x")]
    first: u8,
}

fn main() {}
