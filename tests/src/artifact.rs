//! The real path from a module's bytes to what can be instantiated.
#![allow(
    unsafe_code,
    reason = "artifacts that the compiler made a moment ago are mapped"
)]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use cwasm::{Component, Config, Engine, Module};
use cwasm_compiler::{ErrorKind, Features, OptLevel, Options};
use cwasm_format::FormatError;
use cwasm_format::cpu::CpuLevel;
use tempfile::TempDir;

/// Compiles with one thread, writes to files in a folder of its own, and maps them from there.
#[derive(Debug)]
pub struct Workshop {
    engine: Engine,
    options: Options,
    folder: TempDir,
    next: AtomicUsize,
}

impl Workshop {
    /// A workshop with the default options and an empty folder.
    ///
    /// # Panics
    /// If the temporary folder or the engine cannot be made.
    pub fn new() -> Workshop {
        Workshop::for_target(CpuLevel::default(), OptLevel::default())
    }

    /// A workshop that compiles for this CPU level, optimising like this.
    ///
    /// # Panics
    /// As [`Workshop::new`].
    pub fn for_target(cpu: CpuLevel, opt: OptLevel) -> Workshop {
        Workshop::with_options(Options {
            cpu,
            opt,
            ..Options::default()
        })
    }

    /// A workshop with the default options whose engine has this configuration.
    ///
    /// # Panics
    /// As [`Workshop::new`].
    pub fn with_config(config: &Config) -> Workshop {
        Workshop::new().configured(config)
    }

    /// A workshop as this one, with an engine of this configuration.
    ///
    /// # Panics
    /// If the engine cannot be made.
    #[must_use]
    pub fn configured(&self, config: &Config) -> Workshop {
        Workshop {
            engine: Engine::new(config).expect("the engine can be made"),
            ..Workshop::with_options(self.options.clone())
        }
    }

    /// A workshop that compiles with these options, but with one thread and all features, and keeps
    /// names.
    ///
    /// # Panics
    /// As [`Workshop::new`].
    pub fn with_options(options: Options) -> Workshop {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let options = Options {
            jobs: NonZeroUsize::new(1),
            features: Features::all(),
            debug: cwasm_compiler::Debug::Inside,
            ..options
        };
        Workshop {
            engine: Engine::default(),
            options,
            folder,
            next: AtomicUsize::new(0),
        }
    }

    /// Whether this machine has the CPU level that is compiled for.
    ///
    /// # Panics
    /// If an empty module cannot be compiled, or mapped for another reason.
    pub fn runs_here(&self) -> bool {
        let artifact = self.compile(b"(module)").expect("the module is valid");
        match self.map_module(&artifact) {
            Ok(_) => true,
            Err(error) => match error.format_error() {
                Some(FormatError::CpuFeatures { .. }) => false,
                _ => panic!("{error:?}"),
            },
        }
    }

    /// The engine of all that is mapped here.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The folder of the artifacts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Compiles `input`, binary or text, to the bytes of an artifact.
    ///
    /// # Errors
    /// The compiler's.
    pub fn compile(&self, input: &[u8]) -> Result<Vec<u8>, cwasm_compiler::Error> {
        self.compile_with(input, self.options.features)
    }

    /// As [`compile`](Self::compile), where only these features may be used.
    ///
    /// # Errors
    /// The compiler's.
    pub fn compile_with(
        &self,
        input: &[u8],
        features: Features,
    ) -> Result<Vec<u8>, cwasm_compiler::Error> {
        let options = Options {
            features,
            ..self.options.clone()
        };
        let wasm = wat::parse_bytes(input).map_err(|error| ErrorKind::Invalid {
            message: error.to_string(),
            offset: None,
        })?;
        Ok(cwasm_compiler::compile(&wasm, &options)?.bytes)
    }

    /// Writes bytes to a new file.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, bytes: &[u8]) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("{number}.cwasm"));
        std::fs::write(&path, bytes).expect("the temporary folder can be written to");
        path
    }

    /// Maps an artifact's bytes from a file, as hosts do.
    ///
    /// # Errors
    /// The loader's.
    pub fn map_component(&self, artifact: &[u8]) -> cwasm::Result<Component> {
        let path = self.write(artifact);
        let component = self.map_component_at(&path);
        let _ = std::fs::remove_file(path);
        component
    }

    /// Maps an artifact that was written before.
    ///
    /// # Errors
    /// The loader's.
    pub fn map_component_at(&self, path: &Path) -> cwasm::Result<Component> {
        // SAFETY: the bytes are the compiler's, or tests damaged them where no code is run; nobody
        // else changes the file.
        unsafe { Component::map(&self.engine, path) }
    }

    /// Maps the artifact of a core module from a file.
    ///
    /// # Errors
    /// The loader's.
    pub fn map_module(&self, artifact: &[u8]) -> cwasm::Result<Module> {
        let path = self.write(artifact);
        let module = self.map_module_at(&path);
        let _ = std::fs::remove_file(path);
        module
    }

    /// Maps the artifact of a core module that was written before.
    ///
    /// # Errors
    /// The loader's.
    pub fn map_module_at(&self, path: &Path) -> cwasm::Result<Module> {
        // SAFETY: as for components.
        unsafe { Module::map(&self.engine, path) }
    }
}

impl Default for Workshop {
    fn default() -> Workshop {
        Workshop::new()
    }
}
