//! The reference of the canonical ABI itself: what is compared by hand.

use cwasm::TrapCode;
use cwasm_tests::reference::Width::{W32, W64};
use cwasm_tests::reference::{Core, Handles, Type, Width, alignment, flat_count, flatten, size};

#[test]
fn what_is_free_is_given_out_again() {
    let mut handles = Handles::default();
    for index in 1..5 {
        assert_eq!(handles.add(0, 10 + index, true), index);
    }
    assert_eq!(handles.take(0, 2), Ok(12));
    assert_eq!(handles.take(0, 2), Err(TrapCode::UnknownHandle));
    handles.drop(0, 4);
    assert_eq!([4, 2, 5].map(|_| handles.add(1, 0, true)), [4, 2, 5]);
    assert_eq!(handles.take(0, 4), Err(TrapCode::WrongResourceType));
    assert_eq!(handles.take(0, 0), Err(TrapCode::UnknownHandle));
    assert_eq!(handles.take(0, 6), Err(TrapCode::UnknownHandle));
}

#[test]
fn each_call_drops_what_it_has_got() {
    let mut handles = Handles::default();
    let outer = handles.add(0, 7, false);
    handles.begin();
    let inner = handles.add(0, 8, false);
    handles.try_drop(0, outer).unwrap();
    assert_eq!(handles.clone().end(), Err(TrapCode::BorrowsRemain));
    handles.try_drop(0, inner).unwrap();
    assert_eq!((handles.end(), handles.end()), (Ok(()), Ok(())));
}

#[test]
fn what_is_lent_is_not_taken() {
    let mut handles = Handles::default();
    let (own, borrow) = (handles.add(0, 7, true), handles.add(0, 8, false));
    assert_eq!(
        [own, borrow, own].map(|handle| handles.lend(0, handle)),
        [Ok(7), Ok(8), Ok(7)]
    );
    assert_eq!(handles.take(0, own), Err(TrapCode::ResourceBorrowed));
    assert_eq!(handles.try_drop(0, own), Err(TrapCode::ResourceBorrowed));
    handles.release();
    assert_eq!(handles.take(0, own), Ok(7));
    assert_eq!(handles.take(0, borrow), Err(TrapCode::NotOwned));
    assert_eq!(handles.borrows().len(), 1);
}

fn extent(ty: &Type, width: Width) -> (usize, usize) {
    (size(ty, width), alignment(ty, width))
}

#[test]
fn layouts_by_hand() {
    let option = Type::Option(Box::new(Type::U64));
    assert_eq!(extent(&option, W32), (16, 8));
    assert_eq!(flatten(&option, W32), [Core::I32, Core::I64]);
    let mixed = Type::Variant(vec![
        Some(Type::F32),
        Some(Type::String),
        Some(Type::Tuple(vec![Type::F64, Type::F32])),
    ]);
    assert_eq!(extent(&mixed, W32), (24, 8));
    assert_eq!(flatten(&mixed, W32), [Core::I32, Core::I64, Core::I32]);
    assert_eq!(flatten(&mixed, W64), [Core::I32, Core::I64, Core::I64]);
    let record = Type::Record(vec![Type::U8, Type::Enum(257), Type::Flags(9), Type::Bool]);
    assert_eq!(extent(&record, W32), (8, 2));
    assert_eq!(extent(&record, W64), (8, 2));
}

#[test]
fn layouts_by_hand_of_lists() {
    let pair = Type::Tuple(vec![Type::U8, Type::String]);
    assert_eq!(extent(&pair, W32), (12, 4));
    assert_eq!(extent(&pair, W64), (24, 8));
    let three = Type::FixedList(Box::new(pair.clone()), 3);
    assert_eq!(extent(&three, W32), (36, 4));
    assert_eq!(extent(&three, W64), (72, 8));
    assert_eq!(flatten(&three, W64)[2..4], [Core::I64, Core::I32]);
    let map = Type::Map(Box::new(pair));
    assert_eq!(extent(&map, W32), (8, 4));
    assert_eq!(extent(&map, W64), (16, 8));
    assert_eq!(flat_count(&[map, three]), 11);
}
