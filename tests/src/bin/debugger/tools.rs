//! What tools say that only read artifacts, and what profilers say of code that runs.

use std::path::Path;

use cwasm_compiler::Debug;

use crate::{Check, GUESTS, LEVELS, Result, SPEED, Workbench, beside, in_order};

pub(crate) fn checks() -> Vec<Check> {
    vec![
        ("llvm-dwarfdump --verify".to_owned(), Box::new(verify)),
        ("objdump -dlS".to_owned(), Box::new(disassemble)),
        ("addr2line".to_owned(), Box::new(lines_of_addresses)),
        ("perf".to_owned(), Box::new(profile)),
    ]
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| "a path is no text".into())
}

/// The DWARF of all guests is well-formed.
fn verify(workbench: &Workbench) -> Result<String> {
    let mut units = 0;
    for guest in GUESTS {
        for level in LEVELS {
            let inside = workbench.artifact(guest, level, Debug::Inside);
            let apart = beside(&workbench.artifact(guest, level, Debug::Split));
            for file in [inside, apart] {
                let args = ["--verify", text(&file)?];
                let (output, succeeds) = workbench.run("llvm-dwarfdump", &args)?;
                if !succeeds || !output.contains("No errors.") {
                    return Err(format!("{guest}, {}: {output}", level.name).into());
                }
                units += output.matches("Verifying unit:").count();
            }
        }
    }
    match units {
        0 => Err("there are no units".into()),
        _ => Ok(format!("no error in {units} units")),
    }
}

/// Machine code is shown with the lines that it comes from.
fn disassemble(workbench: &Workbench) -> Result<String> {
    let artifact = workbench.artifact("places-c", SPEED, Debug::Inside);
    // The sources are not at /guest.
    let prefix = format!("--prefix={}", workbench.sources.display());
    let args = ["-dlS", &prefix, "--prefix-strip=1", text(&artifact)?];
    let (output, _) = workbench.run("objdump", &args)?;
    let file = workbench.sources.join("places.c");
    in_order(
        &output,
        &[
            "<divide>:",
            &format!("{}:22", file.display()),
            "sum += table[i];",
            &format!("{}:15", file.display()),
            "int32_t result = a / b;",
            "idiv",
            "<deep>:",
            "if (depth == 0)",
            "return deep(at, depth - 1) + at->x;",
            "<deep>",
            "ud2",
        ],
    )?;
    let artifact = workbench.artifact("places", SPEED, Debug::Inside);
    let rust = workbench.sources.join("rust");
    let prefix = format!("--prefix={}", rust.display());
    let args = ["-dlSC", &prefix, "--prefix-strip=1", text(&artifact)?];
    let (output, _) = workbench.run("objdump", &args)?;
    in_order(&output, &["places::pick", "items[index]", "ud2"])?;
    Ok("shows the lines of C and Rust".to_owned())
}

/// Addresses have the functions that were inlined there.
fn lines_of_addresses(workbench: &Workbench) -> Result<String> {
    for level in LEVELS {
        let artifact = workbench.artifact("places-c", level, Debug::Inside);
        let (code, _) = workbench.run("objdump", &["-d", text(&artifact)?])?;
        let divide = code.split("<divide>:").nth(1).unwrap_or_default();
        let division = divide.lines().find(|line| line.contains("idiv"));
        let address = division.and_then(|line| line.trim().split_once(':'));
        let (address, _) = address.ok_or("`divide` does not divide")?;
        let args = ["-afi", "-e", text(&artifact)?, address];
        let (output, _) = workbench.run("addr2line", &args)?;
        let expected = [
            "quotient",
            "/guest/places.c:15",
            "divide",
            "/guest/places.c:23",
        ];
        in_order(&output, &expected).map_err(|error| format!("{}: {error}", level.name))?;
    }
    Ok("knows what was inlined".to_owned())
}

/// A profile names functions of a guest, and the lines that take the time.
fn profile(workbench: &Workbench) -> Result<String> {
    let artifact = workbench.artifact("reenter", SPEED, Debug::Inside);
    let program = text(&workbench.program)?;
    let record = [
        "record",
        "-q",
        "-e",
        "cpu-clock:u",
        "-o",
        "perf.data",
        "--",
        program,
    ];
    let record = [&record[..], &["--host", text(&artifact)?, "spin"]].concat();
    match workbench.run("perf", &record) {
        Ok((_, true)) => {}
        Ok((output, false)) => return Ok(format!("left out, cannot record here: {output}")),
        Err(error) => return Ok(format!("left out, not here: {error}")),
    }
    let report = [
        "report",
        "--stdio",
        "-i",
        "perf.data",
        "--sort",
        "dso,symbol",
    ];
    let (output, _) = workbench.run("perf", &report)?;
    let name = artifact.file_name().unwrap_or_default().to_string_lossy();
    for function in ["scaled", "inner"] {
        let is_line = |line: &str| line.contains(&*name) && line.contains(function);
        if !output.lines().any(is_line) {
            return Err(format!("no `{function}` of {name} in: {output}").into());
        }
    }
    let prefix = format!("--prefix={}", workbench.sources.display());
    let annotate = ["annotate", "--stdio", "-i", "perf.data", "-l", &prefix];
    let annotate = [&annotate[..], &["--prefix-strip=1", "scaled"]].concat();
    let (output, _) = workbench.run("perf", &annotate)?;
    in_order(&output, &["calls += 1;", "return product + calls;"])?;
    Ok("names functions and shows their lines".to_owned())
}
