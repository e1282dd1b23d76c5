//! Compiles, so that the others are built and not only checked: some errors are found when
//! functions are instantiated.
#[derive(cwasm::ComponentType, cwasm::Lower, cwasm::Lift)]
enum Either<T> {
    Nothing,
    Value(T),
}

mod elsewhere {
    pub(crate) use cwasm as renamed;
}

#[derive(cwasm::ComponentType, cwasm::Lower, cwasm::Lift)]
#[component(crate = crate::elsewhere::renamed)]
struct Both {
    left: Either<u8>,
    right: Either<String>,
}

fn main() {
    let both = Both {
        left: Either::Nothing,
        right: Either::Value(String::new()),
    };
    let (Either::Nothing | Either::Value(_)) = both.left;
    let (Either::Nothing | Either::Value(_)) = both.right;
}
