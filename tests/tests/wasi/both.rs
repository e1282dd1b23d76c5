//! Both versions in one process, by one linker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use cwasm_tests::artifact::Workshop;
use cwasm_wasi::http::ErrorCode;
use cwasm_wasi::p3::http::Service;
use cwasm_wasi::{Command, DirPerms, FilePerms, OutputBuffer, WasiCtxBuilder, p3};
use http::Request;
use http::uri::Scheme;
use http_body_util::{BodyExt as _, Full};

use crate::{guest, linker, program, with_folder};

#[test]
fn a_component_imports_both() {
    let workshop = Workshop::new();
    let component = guest(&workshop, "p3/mixed.wasm");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 200_000]).unwrap();
    let run = |dirs, files, max_open_files| {
        let (stdout, stderr) = (OutputBuffer::new(1 << 12), OutputBuffer::new(1 << 12));
        let builder = WasiCtxBuilder::new()
            .args(["mixed", "/file"])
            .stdout(stdout.clone())
            .stderr(stderr.clone())
            .max_open_files(max_open_files)
            .preopened_dir(folder.path(), "/", dirs, files);
        let (mut store, command) = program(&workshop, &component, builder.unwrap().build());
        let ran = p3::block_on(command.run(&mut store, |wasi| wasi)).unwrap();
        let text = |buffer: OutputBuffer| String::from_utf8(buffer.take()).unwrap();
        (ran, text(stdout), text(stderr))
    };
    let lines = "0.2: output\n0.3: output\n0.2: 200000 bytes\n0.3: 200000 bytes\nclocks agree\n\
        timers are over\n";
    let (ran, stdout, stderr) = run(DirPerms::READ, FilePerms::READ, 8);
    assert_eq!((ran, &*stdout, &*stderr), (Ok(()), lines, ""));
    // One folder, one limit: neither version has more.
    for (dirs, files, max, code) in [
        (DirPerms::READ, FilePerms::empty(), 8, "not-permitted"),
        (DirPerms::empty(), FilePerms::READ, 8, "not-permitted"),
        (DirPerms::READ, FilePerms::READ, 0, "insufficient-memory"),
    ] {
        let (ran, _, stderr) = run(dirs, files, max);
        assert_eq!(ran, Err(()));
        assert!(stderr.contains(code), "{stderr}");
    }
}

/// A program of 0.2 and a service of 0.3 are made of the same permissions, one after another and
/// at the same time.
#[test]
fn programs_and_services_share_permissions() {
    let workshop = Workshop::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let folder = tempfile::tempdir().unwrap();
    let context = || {
        let asked = Arc::clone(&asked);
        let builder = WasiCtxBuilder::new()
            .args(["client", "get", "http://127.0.0.1:9/"])
            .allow_tcp(true)
            .socket_addr_check(move |_, _| {
                asked.fetch_add(1, Ordering::Relaxed);
                false
            });
        with_folder(builder, folder.path())
    };
    let linker = linker(&workshop);
    let client = guest(&workshop, "client.wasm");
    let service = guest(&workshop, "p3/service.wasm");
    thread::scope(|scope| {
        scope.spawn(|| {
            let stderr = OutputBuffer::new(1 << 12);
            let wasi = context().stderr(stderr.clone()).build();
            let mut store = cwasm::Store::new(workshop.engine(), wasi);
            let command = Command::instantiate(&mut store, &client, &linker).unwrap();
            let ran = command.wasi_cli_run().call_run(&mut store).unwrap();
            let said = String::from_utf8(stderr.take()).unwrap();
            assert!(ran.is_err() && said.contains("prohibited"), "{said}");
        });
        let mut store = cwasm::Store::new(workshop.engine(), context().build());
        let instance = p3::block_on(linker.instantiate_async(&mut store, &service)).unwrap();
        let service = Service::new(&mut store, &instance).unwrap();
        let text = |path: &str, store: &mut cwasm::Store<_>| {
            let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
            let answered = store.run_concurrent(async |accessor| {
                let request = accessor.with(|mut store: cwasm::StoreContextMut<'_, _>| {
                    let wasi: &mut cwasm_wasi::WasiCtx = store.data_mut();
                    wasi.new_request(&Scheme::HTTP, request, None)
                })?;
                let answered = service.handle(accessor, |wasi| wasi, request).await?;
                let body = answered?.into_body().collect().await?;
                Ok::<_, Failed>(body.to_bytes())
            });
            let body = p3::block_on(answered).unwrap().unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        assert_eq!(text("/", &mut store), "hello");
        let denied = text("/fetch?url=http://127.0.0.1:9/", &mut store);
        assert!(denied.contains("Prohibited"), "{denied}");
    });
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// Why a request has no answer.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
enum Failed {
    Host(cwasm::Error),
    Code(ErrorCode),
    Body(String),
}

impl From<cwasm::Error> for Failed {
    fn from(error: cwasm::Error) -> Failed {
        Failed::Host(error)
    }
}

impl From<ErrorCode> for Failed {
    fn from(code: ErrorCode) -> Failed {
        Failed::Code(code)
    }
}

impl From<cwasm_wasi::http::BodyError> for Failed {
    fn from(error: cwasm_wasi::http::BodyError) -> Failed {
        Failed::Body(error.to_string())
    }
}
