#[derive(cwasm::ComponentType)]
struct Point(f32, f32);

fn main() {}
