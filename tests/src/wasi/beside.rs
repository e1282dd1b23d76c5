//! The same programs on two commands, `cwasm run` and `wasmtime run`: what differs in output, exit
//! code and files.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Case, Command, How, is_core_module};
use super::components::{Network, words};
use super::folder::Folder;

/// How long a program may run.
const LIMIT: Duration = Duration::from_secs(60);

/// The exit code after a trap: what is printed then is the command's own.
const TRAPPED: i32 = 134;

/// How much of an output is shown.
const SHOWN: usize = 300;

/// Programs that print something else each time: hash tables.
const UNSTEADY: &[&str] = &["poll_oneoff_stdio"];

/// The two commands.
#[derive(Clone, Debug)]
pub struct Sides {
    /// The command `cwasm`.
    pub ours: PathBuf,
    /// The command `wasmtime`.
    pub theirs: PathBuf,
    /// Whether core modules are run as they are: Wasmtime has preview 1 itself. Else both sides
    /// get the same component.
    pub as_modules: bool,
}

/// What a program did.
struct Seen {
    exit: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What is in its folder afterwards: paths, and what is there.
    files: BTreeMap<String, String>,
}

impl Sides {
    /// What differs, a line each; `None`, if the program is not one that a command runs by itself.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn differences(&self, case: &Case) -> io::Result<Option<Vec<String>>> {
        let How::Command(command) = &case.how else {
            return Ok(None);
        };
        let name = case.file.file_stem().unwrap_or_default().to_string_lossy();
        // Our command has no options for these.
        let is_denied = matches!(command.network, Network::NoUdp | Network::NoNames);
        if command.clocks || is_denied || UNSTEADY.contains(&&*name) {
            return Ok(None);
        }
        let workplace = tempfile::tempdir()?;
        let file = match self.as_modules {
            true => case.file.clone(),
            false => wrapped(&case.file, workplace.path())?,
        };
        let (env, _server) = command.server()?;
        let command = &Command {
            env,
            ..(**command).clone()
        };
        let ours = seen(self.our_command(&file, command), command)?;
        let theirs = seen(self.their_command(&file, command), command)?;
        Ok(Some(compare(&ours, &theirs)))
    }

    fn our_command(&self, file: &Path, command: &Command) -> impl Fn(Option<&Path>) -> Process {
        move |folder| {
            let mut process = Process::new(&self.ours);
            grant(&mut process, command, folder);
            if !matches!(command.network, Network::None) {
                process.args(["--net", "all"]);
            }
            process
                .arg(file)
                .arg("--")
                .args(command.args.iter().skip(1));
            process
        }
    }

    fn their_command(&self, file: &Path, command: &Command) -> impl Fn(Option<&Path>) -> Process {
        move |folder| {
            let mut process = Process::new(&self.theirs);
            grant(&mut process, command, folder);
            if !matches!(command.network, Network::None) {
                process.args(["-S", "inherit-network,allow-ip-name-lookup"]);
            }
            if !self.as_modules {
                process.args(["-S", "http"]);
            }
            process.arg(file).args(command.args.iter().skip(1));
            process
        }
    }
}

/// Adds what both commands have the same options for.
fn grant(process: &mut Process, command: &Command, folder: Option<&Path>) {
    process.arg("run");
    if let Some(name) = command.args.first() {
        process.args(["--argv0", name]);
    }
    for (name, value) in &command.env {
        process.arg("--env").arg(format!("{name}={value}"));
    }
    if let Some(folder) = folder {
        process.arg("--dir").arg(format!("{}::/", folder.display()));
    }
}

/// The programs of our own, `wasi/guests`, with all that they do and that ends by itself.
pub fn guests() -> Vec<Case> {
    let rust = [
        "hello",
        "args a  b 'c",
        "env",
        "exit 0",
        "exit 1",
        "exit 7",
        "exit 255",
        "exit-now 0",
        "exit-now 3",
        "panic",
        "abort",
        "recurse 1000",
        "allocate 100000000",
        "allocate 3000000000",
        "allocate 5000000000",
        "sleep 20",
        "cat",
        "cat /letter",
        "cat /none",
        "cat /sub",
        "cat letter",
        "cat ../letter",
        "cat /../letter",
        "upper",
        "both",
        "fill /full 3",
        "copy /letter /copy",
        "copy /none /copy",
        "copy /letter /sub",
        "copy /letter /none/copy",
        "write /new text",
        "write /sub text",
        "append /letter more",
        "append /new more",
        "random-access /random",
        "random-access /sub",
        "tree /",
        "tree /sub",
        "tree /none",
        "tree /letter",
        "folders /",
        "folders /sub",
        "links /",
        "links /sub",
        "times /",
        "open-many / 300",
        "open-many /none 3",
        "nothing",
    ];
    let c = [
        "wc",
        "copy /letter /copy",
        "copy /none /copy",
        "copy /letter /sub",
        "list /",
        "list /sub",
        "list /none",
        "list /letter",
        "getenv LANG",
        "getenv NONE",
        "isatty",
        "",
    ];
    let rust = rust.map(|args| ("tool.wasm", args));
    let c = c.map(|args| ("tool-c.wasm", args));
    let all = rust.into_iter().chain(c);
    all.map(|(file, args)| guest(file, args)).collect()
}

fn guest(file: &str, args: &str) -> Case {
    let folder = vec![
        ("letter", "Dear Ada,\nhow are you?\n"),
        ("sub/deep", "deep"),
        ("sub/deeper/deepest", "deepest"),
    ];
    let args: Vec<&str> = args.split(' ').collect();
    Case {
        file: Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../wasi/guests")
            .join(file),
        how: How::Command(Box::new(Command {
            args: words(&[&[file], &args[..]].concat()),
            env: vec![
                ("LANG".to_owned(), "C".to_owned()),
                ("EMPTY".to_owned(), String::new()),
            ],
            folder: Some(Folder::Files(folder)),
            stdin: "words of the\ninput, ümläute".into(),
            ..Command::default()
        })),
    }
}

/// The program as a component: core modules of preview 1 are wrapped.
fn wrapped(file: &Path, workplace: &Path) -> io::Result<PathBuf> {
    let wasm = fs::read(file)?;
    if !is_core_module(&wasm) {
        return Ok(file.to_owned());
    }
    let wrapped = cwasm_compiler::preview1::componentize(&wasm).map_err(io::Error::other)?;
    let path = workplace.join(file.file_name().unwrap_or_default());
    fs::write(&path, wrapped)?;
    Ok(path)
}

/// Runs a command in a folder of its own.
fn seen(make: impl Fn(Option<&Path>) -> Process, command: &Command) -> io::Result<Seen> {
    let folder = command.folder.as_ref().map(Folder::copy).transpose()?;
    let folder = folder.as_ref().map(|folder| folder.path());
    let mut process = make(folder);
    let process = process
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = process.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // A program that does not read its input closes the pipe.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(&command.stdin)));
        let stdout = scope.spawn(|| all_of(stdout));
        let stderr = scope.spawn(|| all_of(stderr));
        let exit = wait(&mut child)?;
        let joined = |output: thread::ScopedJoinHandle<'_, io::Result<Vec<u8>>>| {
            output
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a reader has panicked")))
        };
        let mut files = BTreeMap::new();
        if let Some(folder) = folder {
            list(folder, "", &mut files)?;
        }
        Ok(Seen {
            exit,
            stdout: joined(stdout)?,
            stderr: joined(stderr)?,
            files,
        })
    })
}

fn all_of(pipe: Option<impl Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Waits for the end of a process, and ends one that takes too long.
fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(exit) = child.try_wait()? {
            return Ok(exit);
        }
        if start.elapsed() > LIMIT {
            child.kill()?;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lists what is in a folder: kinds, permissions and contents.
fn list(folder: &Path, name: &str, files: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, ty) = (entry.path(), entry.file_type()?);
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        let mode = entry.metadata()?.permissions().mode() & 0o7777;
        let what = match () {
            () if ty.is_symlink() => format!("-> {}", fs::read_link(&path)?.display()),
            () if ty.is_dir() => format!("folder {mode:o}"),
            () => format!("{mode:o} {}", shown(&fs::read(&path)?)),
        };
        files.insert(name.clone(), what);
        if ty.is_dir() {
            list(&path, &name, files)?;
        }
    }
    Ok(())
}

fn compare(ours: &Seen, theirs: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, ours: String, theirs: String| {
        if ours != theirs {
            found.push(format!("{what}: ours {ours}, Wasmtime's {theirs}"));
        }
    };
    compare("exit", ended(ours.exit), ended(theirs.exit));
    compare(
        "standard output",
        shown(&ours.stdout),
        shown(&theirs.stdout),
    );
    let trapped = [ours, theirs].map(|side| side.exit.code() == Some(TRAPPED));
    if trapped != [true; 2] {
        compare("standard error", shown(&ours.stderr), shown(&theirs.stderr));
    }
    let names: Vec<&String> = ours.files.keys().chain(theirs.files.keys()).collect();
    let mut names: Vec<&String> = names;
    names.sort();
    names.dedup();
    for name in names {
        let [ours, theirs] = [ours, theirs].map(|side| match side.files.get(name) {
            Some(what) => what.clone(),
            None => "nothing".to_owned(),
        });
        compare(name, ours, theirs);
    }
    found
}

fn ended(exit: ExitStatus) -> String {
    match (exit.code(), exit.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no code".to_owned(),
    }
}

/// Text, or as much of it as is read by people; and a sum over all of it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    if bytes.len() <= SHOWN {
        return format!("{text:?}");
    }
    let sum = bytes.iter().fold(0u64, |sum, byte| {
        sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)
    });
    format!("{text:?}... ({} bytes, sum {sum:x})", bytes.len())
}
