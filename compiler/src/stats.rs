//! Figures of a compilation.

use std::time::Duration;

/// Figures of one compilation.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Functions in the text: core functions, thunks, trampolines and adapters.
    pub functions: usize,
    /// Bytes of machine code.
    pub code_size: usize,
    /// Functions whose registers were allocated in a single pass, because the work of the usual
    /// allocator grows faster than their size: their code is slower.
    pub single_pass: usize,
    /// Wall time of each stage, in order.
    pub stages: Vec<(&'static str, Duration)>,
    /// With [`Options::time`](crate::Options::time): each function, in the order of the text. Those
    /// of exported core modules come first.
    pub timings: Vec<FunctionTiming>,
}

/// What compiling a function took: processor time of the thread that compiled it.
#[derive(Clone, Debug)]
pub struct FunctionTiming {
    /// Its name as people write it; `core[instance].func[index]` if its module gives it none.
    pub name: String,
    /// Bytes of its body in its module; 0 of functions that the compiler adds.
    pub wasm_size: u64,
    /// Bytes of its machine code.
    pub code_size: usize,
    /// From WebAssembly to IR, with validation and inlining.
    pub translate: Duration,
    /// Passes over the IR.
    pub optimize: Duration,
    /// From IR to machine code: selection of instructions, allocation of registers, encoding.
    pub generate: Duration,
}

impl FunctionTiming {
    /// All of its time.
    pub fn total(&self) -> Duration {
        self.translate + self.optimize + self.generate
    }
}
