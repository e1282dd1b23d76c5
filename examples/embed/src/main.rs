//! A host that links only the loader: maps an artifact and calls its `greet`.

use std::process::ExitCode;

use cwasm::{Component, Engine, Linker, Result, Store};

fn greet(path: &str, name: &str) -> Result<String> {
    let engine = Engine::default();
    // SAFETY: the artifact is our own build's output, and nobody changes it in place.
    let component = unsafe { Component::map(&engine, path)? };

    let mut linker = Linker::new(&engine);
    linker.root().func_wrap("log", |_, (message,): (String,)| {
        // As text that does nothing to a terminal.
        eprintln!("guest: {message:?}");
        Ok(())
    })?;
    // Imports are resolved here, once; `ready` can be instantiated any number of times.
    let ready = linker.instantiate_pre(&component)?;

    let mut store = Store::new(&engine, ());
    let instance = ready.instantiate(&mut store)?;
    let greet = instance.get_typed_func::<(&str,), (String,)>(&mut store, "greet")?;
    let (answer,) = greet.call(&mut store, (name,))?;
    Ok(answer)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, name] = &args[..] else {
        eprintln!("usage: embed ARTIFACT NAME");
        return ExitCode::from(2);
    };
    match greet(path, name) {
        Ok(answer) => println!("{answer}"),
        Err(error) => {
            eprintln!("error: {error:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
