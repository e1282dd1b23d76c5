//! Messages and their headers, more than a guest may have.

use cwasm::{Accessor, FutureWriter, Resource};

use super::{access, poll, run, store};
use crate::http::{Fields, FieldsError};
use crate::p3::http::bindings::wasi::http::types::{
    HeaderError, Host, HostFields as New, HostRequest, HostResponse,
};
use crate::{WasiCtx, WasiCtxBuilder};

fn again(fields: &Resource<Fields>) -> Resource<Fields> {
    Resource::new_borrow(fields.rep())
}

/// A guest is told of headers that are too large, and goes on.
#[test]
fn headers_are_bounded() {
    let mut ctx = WasiCtxBuilder::new().build();
    let fields = New::new(&mut ctx).unwrap();
    let value = vec![b'x'; 100_000];
    let mut count = 0;
    let error = loop {
        match New::append(&mut ctx, again(&fields), "a".to_owned(), value.clone()) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!((10..1000).contains(&count), "{count}");
    let error = Host::convert_header_error(&mut ctx, error).unwrap();
    assert!(matches!(error, HeaderError::SizeExceeded));
    // In all ways in which they can be made.
    let many = |count: usize| vec![("a".to_owned(), value.clone()); count];
    let other = New::from_list(&mut ctx, many(2 * count));
    check(&mut ctx, other.map(drop));
    let values = vec![value.clone(); 2 * count];
    let set = New::set(&mut ctx, again(&fields), "b".to_owned(), values);
    check(&mut ctx, set);
    assert_eq!(
        New::get(&mut ctx, again(&fields), "a".to_owned())
            .unwrap()
            .len(),
        count
    );
    assert!(!New::has(&mut ctx, again(&fields), "b".to_owned()).unwrap());
    // What goes is there again.
    let taken = New::get_and_delete(&mut ctx, again(&fields), "a".to_owned());
    assert_eq!(taken.unwrap().len(), count);
    assert!(New::append(&mut ctx, again(&fields), "a".to_owned(), value).is_ok());
    New::drop(&mut ctx, fields).unwrap();
    // More than a map has room for.
    let fields = New::new(&mut ctx).unwrap();
    for index in 0.. {
        match New::append(&mut ctx, again(&fields), format!("n{index}"), Vec::new()) {
            Ok(()) => assert!(index < 100_000),
            Err(error) => {
                check(&mut ctx, Err(error));
                break;
            }
        }
    }
}

#[track_caller]
fn check(ctx: &mut WasiCtx, result: Result<(), FieldsError>) {
    let error = Host::convert_header_error(ctx, result.unwrap_err()).unwrap();
    assert!(matches!(error, HeaderError::SizeExceeded));
}

/// A guest makes messages and drops them, without letting the host go on.
#[test]
fn messages_are_bounded() {
    for is_request in [true, false] {
        let mut store = store(WasiCtxBuilder::new().max_resources(1000).build());
        for _ in 0..3 {
            let (count, error) = run(&mut store, async |accessor| {
                for count in 0..10_000 {
                    if let Err(error) = make(accessor, is_request) {
                        return (count, error);
                    }
                }
                panic!("they are bounded");
            });
            assert_eq!(count, 1000);
            assert!(error.to_string().contains("more streams"), "{error}");
            // Once the host has told what became of them, there may be more.
            poll(&mut store);
        }
    }
}

fn make(accessor: &Accessor<WasiCtx>, is_request: bool) -> cwasm::Result<()> {
    let access = access(accessor);
    let fields = access.with(New::new)?;
    let (_writer, trailers) = accessor.with(|store| FutureWriter::pair(store));
    let sent = if is_request {
        let (request, sent) = <WasiCtx as HostRequest>::new(access, fields, None, trailers, None)?;
        HostRequest::drop(access, request)?;
        sent
    } else {
        let (response, sent) = <WasiCtx as HostResponse>::new(access, fields, None, trailers)?;
        HostResponse::drop(access, response)?;
        sent
    };
    accessor.with(|store| sent.close(store))
}
