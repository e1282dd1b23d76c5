use std::rc::Rc;

fn send<T: Send>(_: T) {}

fn main() {
    let engine = cwasm::Engine::default();
    send(cwasm::Store::new(&engine, Rc::new(1u32)));
}
