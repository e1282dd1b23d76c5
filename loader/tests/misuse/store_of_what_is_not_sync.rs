use std::cell::Cell;
use std::thread;

fn main() {
    let store = cwasm::Store::new(&cwasm::Engine::default(), Cell::new(1u32));
    thread::scope(|scope| {
        scope.spawn(|| store.data().get());
    });
}
