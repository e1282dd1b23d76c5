#[derive(cwasm::ComponentType)]
struct Nothing {}

fn main() {}
