use std::rc::Rc;

fn hook(store: &mut cwasm::Store<()>) {
    let shared = Rc::new(1u32);
    store.set_call_hook(move |_, _| {
        assert_eq!(*shared, 1);
        Ok(())
    });
}

fn main() {}
