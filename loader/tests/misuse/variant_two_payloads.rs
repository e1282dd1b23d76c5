#[derive(cwasm::ComponentType)]
enum Either {
    A(u8, u8),
    B { x: u8 },
}

fn main() {}
