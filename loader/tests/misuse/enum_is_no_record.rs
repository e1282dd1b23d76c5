#[derive(cwasm::ComponentType)]
#[component(record)]
enum Either {
    A,
    B,
}

fn main() {}
