cwasm::flags! {
    Nothing {}
}

fn main() {}
