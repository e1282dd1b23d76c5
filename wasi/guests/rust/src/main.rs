//! A program for tests: its first argument says what it does.
//!
//! It knows nothing of the host: the same source is a native program, whose output, exit code and
//! files a test may compare with.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("tool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<u8> {
    match *args {
        ["hello"] => println!("Hello, world!"),
        ["args", ..] => args.iter().for_each(|arg| println!("{arg:?}")),
        ["env"] => {
            let vars: BTreeMap<String, String> = env::vars().collect();
            vars.iter().for_each(|(name, value)| println!("{name}={value}"));
        }
        ["exit", code] => return Ok(code.parse()?),
        ["exit-now", code] => std::process::exit(code.parse()?),
        ["panic"] => panic!("as asked"),
        ["abort"] => std::process::abort(),
        ["recurse", depth] => println!("{}", recurse(depth.parse()?)),
        ["allocate", bytes] => println!("{}", allocate(bytes.parse()?)?),
        ["spin"] => loop {
            std::hint::black_box(0);
        },
        ["sleep", millis] => sleep(millis.parse()?),
        ["cat"] => {
            io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())?;
        }
        ["cat", path] => {
            io::copy(&mut File::open(path)?, &mut io::stdout().lock())?;
        }
        ["upper"] => {
            for line in io::stdin().lock().lines() {
                println!("{}", line?.to_uppercase());
            }
        }
        ["yes"] => loop {
            io::stdout().write_all(b"y\n")?;
        },
        ["both"] => {
            println!("to the output");
            eprintln!("to the error");
        }
        ["fill", path, megabytes] => fill(path, megabytes.parse()?)?,
        ["copy", from, to] => {
            println!("{}", io::copy(&mut File::open(from)?, &mut File::create(to)?)?);
        }
        ["write", path, text] => fs::write(path, text)?,
        ["append", path, text] => {
            let mut file = OpenOptions::new().append(true).create(true).open(path)?;
            writeln!(file, "{text}")?;
        }
        ["random-access", path] => random_access(path)?,
        ["tree", path] => tree(path, 0)?,
        ["folders", path] => folders(path)?,
        ["links", path] => links(path)?,
        ["times", path] => times(path)?,
        ["open-many", path, count] => open_many(path, count.parse()?)?,
        _ => return Err(format!("what is {args:?}?").into()),
    }
    Ok(0)
}

#[allow(unconditional_recursion, reason = "to exhaust the stack")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 16]);
    match depth {
        0 => 0,
        depth => recurse(depth - 1) + frame[15] / depth,
    }
}

/// Allocates and touches memory: how many bytes it got.
fn allocate(bytes: usize) -> Result<usize> {
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(bytes)?;
    memory.resize(bytes, 1);
    Ok(std::hint::black_box(memory).len())
}

fn sleep(millis: u64) {
    let (start, wall) = (Instant::now(), SystemTime::now());
    std::thread::sleep(Duration::from_millis(millis));
    let (elapsed, wall) = (start.elapsed(), wall.elapsed().unwrap_or_default());
    let is_near = wall.abs_diff(elapsed) < Duration::from_secs(1);
    println!("{} {is_near}", elapsed >= Duration::from_millis(millis));
}

fn fill(path: &str, megabytes: usize) -> Result<()> {
    let mut file = File::create(path)?;
    let block: Vec<u8> = (0..1 << 20).map(|at: u32| (at % 251) as u8).collect();
    for _ in 0..megabytes {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    println!("{}", file.metadata()?.len());
    Ok(())
}

fn random_access(path: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all(b"0123456789")?;
    file.seek(SeekFrom::Start(3))?;
    file.write_all(b"abc")?;
    file.seek(SeekFrom::End(-2))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    println!("{text}");
    file.set_len(5)?;
    file.seek(SeekFrom::Start(8))?;
    file.write_all(b"z")?;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    println!("{bytes:?} {}", file.stream_position()?);
    Ok(())
}

fn tree(path: &str, depth: usize) -> Result<()> {
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (ty, name) = (entry.file_type()?, entry.file_name());
        let kind = match () {
            () if ty.is_dir() => "/",
            () if ty.is_symlink() => "@",
            () => "",
        };
        println!("{:depth$}{}{kind}", "", name.to_string_lossy());
        if ty.is_dir() {
            tree(&format!("{path}/{}", name.to_string_lossy()), depth + 1)?;
        }
    }
    Ok(())
}

/// Says which error an operation ends with.
fn outcome<T>(name: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{name}: done"),
        Err(error) => println!("{name}: {}", error.kind()),
    }
}

fn folders(path: &str) -> Result<()> {
    let at = |name: &str| format!("{path}/{name}");
    outcome("create", fs::create_dir(at("a")));
    outcome("create again", fs::create_dir(at("a")));
    outcome("create deep", fs::create_dir_all(at("a/b/c")));
    outcome("create without parent", fs::create_dir(at("x/y")));
    outcome("write", fs::write(at("a/f"), "text"));
    outcome("create below a file", fs::create_dir(at("a/f/g")));
    outcome("remove full", fs::remove_dir(at("a")));
    outcome("remove a file as a folder", fs::remove_dir(at("a/f")));
    outcome("remove a folder as a file", fs::remove_file(at("a/b")));
    outcome("rename", fs::rename(at("a/f"), at("a/b/g")));
    outcome("rename over a folder", fs::rename(at("a/b/g"), at("a/b/c")));
    outcome("rename what is not there", fs::rename(at("a/f"), at("a/h")));
    outcome("read", fs::read(at("a/b/g")));
    outcome("read what is not there", fs::read(at("a/f")));
    outcome("read a folder", fs::read(at("a")));
    outcome("open new", File::create_new(at("a/n")));
    outcome("open new again", File::create_new(at("a/n")));
    outcome("leave", fs::read_dir(at("../../..")));
    outcome("remove all", fs::remove_dir_all(at("a")));
    outcome("list what is not there", fs::read_dir(at("a")));
    Ok(())
}

fn links(path: &str) -> Result<()> {
    let at = |name: &str| format!("{path}/{name}");
    fs::write(at("file"), "text")?;
    fs::hard_link(at("file"), at("hard"))?;
    fs::write(at("file"), "changed")?;
    println!("{}", fs::read_to_string(at("hard"))?);
    outcome("hard again", fs::hard_link(at("file"), at("hard")));
    outcome("hard of nothing", fs::hard_link(at("none"), at("hard2")));
    #[cfg(unix)]
    std::os::unix::fs::symlink("file", at("soft"))?;
    #[cfg(target_os = "wasi")]
    symlink::symlink("file", &at("soft"))?;
    println!("{}", fs::read_link(at("soft"))?.display());
    println!("{}", fs::read_to_string(at("soft"))?);
    println!("{}", fs::symlink_metadata(at("soft"))?.file_type().is_symlink());
    println!("{}", fs::metadata(at("soft"))?.file_type().is_symlink());
    outcome("link of a file", fs::read_link(at("file")));
    for name in ["soft", "hard", "file"] {
        fs::remove_file(at(name))?;
    }
    Ok(())
}

/// Symbolic links, which the standard library offers for WASI on nightly toolchains only.
#[cfg(target_os = "wasi")]
mod symlink {
    use std::ffi::{CString, c_char, c_int};
    use std::io;

    unsafe extern "C" {
        #[link_name = "symlink"]
        fn c_symlink(target: *const c_char, path: *const c_char) -> c_int;
    }

    pub fn symlink(target: &str, path: &str) -> io::Result<()> {
        let (target, path) = (CString::new(target)?, CString::new(path)?);
        // SAFETY: both are strings of C.
        match unsafe { c_symlink(target.as_ptr(), path.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn times(path: &str) -> Result<()> {
    let file = File::create(format!("{path}/timed"))?;
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    let times = fs::FileTimes::new().set_modified(time).set_accessed(time);
    file.set_times(times)?;
    let metadata = file.metadata()?;
    println!("{} {}", metadata.modified()? == time, metadata.accessed()? == time);
    let before = SystemTime::now() - Duration::from_secs(2);
    drop(file);
    fs::write(format!("{path}/timed"), "new")?;
    println!("{}", fs::metadata(format!("{path}/timed"))?.modified()? > before);
    fs::remove_file(format!("{path}/timed"))?;
    Ok(())
}

fn open_many(path: &str, count: usize) -> Result<()> {
    let mut files = Vec::new();
    for index in 0..count {
        match File::create(format!("{path}/{index}")) {
            Ok(file) => files.push(file),
            Err(error) => {
                println!("the file after {} others: {}", files.len(), error.kind());
                break;
            }
        }
    }
    for (index, file) in files.iter_mut().enumerate() {
        write!(file, "{index}")?;
    }
    println!("{} files", files.len());
    Ok(())
}
