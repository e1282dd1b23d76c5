#[derive(cwasm::ComponentType)]
#[component(enum)]
enum Either {
    A,
    B(u8),
}

fn main() {}
