//! `--profile`: a profile of what the command runs, written when that is over, or is ended by a
//! signal or the time limit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cwasm::{Error, Profile, ProfileConfig, Profiler, Result};
use cwasm_profile::Format;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::args::{ProfileArgs, ProfileClock};
use crate::output;

/// A profile that is being taken. Whoever ends it first writes it.
#[derive(Clone)]
pub(crate) struct Profiling(Arc<Inner>);

struct Inner {
    file: PathBuf,
    program: String,
    profiler: Mutex<Option<Profiler>>,
}

impl Profiling {
    /// Begins the profile that the options ask for, if they do.
    ///
    /// # Errors
    /// If it cannot be taken, or its file cannot be written.
    pub(crate) fn start(args: &ProfileArgs, program: &Path) -> Result<Option<Profiling>> {
        let Some(file) = &args.profile else {
            return Ok(None);
        };
        let mut config = ProfileConfig::new();
        config.interval(args.profile_interval);
        config.clock(match args.profile_clock {
            ProfileClock::Cpu => cwasm::ProfileClock::Cpu,
            ProfileClock::Wall => cwasm::ProfileClock::Wall,
        });
        let program = program.file_name().unwrap_or(program.as_os_str());
        let profiling = Profiling(Arc::new(Inner {
            file: file.clone(),
            program: program.to_string_lossy().into_owned(),
            profiler: Mutex::new(None),
        }));
        // Not after an hour's run.
        profiling.write(&Profile::default())?;
        *profiling.profiler() = Some(Profiler::start(&config)?);
        Ok(Some(profiling))
    }

    /// Ends the profile before a signal ends the command.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn end_on_signals(&self) -> Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let this = self.clone();
        let thread = thread::Builder::new().name("cwasm signals".to_owned());
        let spawned = thread.spawn(move || {
            for signal in signals.forever() {
                this.end();
                // Ends the process.
                let _ = emulate_default_handler(signal);
            }
        });
        spawned.map(drop).map_err(|error| {
            Error::from(error).context("cannot start the thread that waits for signals")
        })
    }

    /// Ends the profile, and writes it, unless that was done already. What runs has its own result,
    /// so that an error is only told.
    pub(crate) fn end(&self) {
        // Who comes second waits until it is written.
        let mut profiler = self.profiler();
        let Some(profiler) = profiler.take() else {
            return;
        };
        let profile = profiler.stop();
        let file = self.0.file.to_string_lossy();
        match self.write(&profile) {
            Ok(()) => output::note(&format!("{file}: {}", cwasm_profile::summary(&profile))),
            Err(error) => output::note(&format!("error: {error}")),
        }
    }

    fn profiler(&self) -> std::sync::MutexGuard<'_, Option<Profiler>> {
        let profiler = self.0.profiler.lock();
        profiler.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, profile: &Profile) -> Result<()> {
        let Inner { file, program, .. } = &*self.0;
        // The extension is known, because it was parsed.
        let format = Format::of(file).unwrap_or(Format::Json);
        let written = std::fs::write(file, format.write(profile, program));
        written.map_err(|error| {
            let file = file.display();
            Error::msg(format!("cannot write `{file}` (--profile): {error}"))
        })
    }
}
