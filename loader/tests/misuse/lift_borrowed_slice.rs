#[derive(cwasm::ComponentType, cwasm::Lift)]
struct Borrowed<'a> {
    items: &'a [u8],
}

fn main() {}
