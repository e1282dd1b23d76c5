#[derive(cwasm::ComponentType)]
enum Never {}

fn main() {}
