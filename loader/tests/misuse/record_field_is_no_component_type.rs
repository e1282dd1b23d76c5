#[derive(cwasm::ComponentType, cwasm::Lower)]
struct Wide {
    fits: u64,
    too_wide: u128,
}

fn main() {}
