fn get(instance: cwasm::Instance, store: &mut cwasm::Store<()>) {
    let _ = instance.get_typed_func::<u32, u32>(store, "f");
}

fn main() {}
