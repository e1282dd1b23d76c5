#[derive(cwasm::ComponentType)]
enum Numbered {
    A = 5,
    B,
}

fn main() {}
