//! Runs a script: one directive after the other, each against what those before it defined.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use cwasm::{Component, CoreVal, Engine, Instance, Module, ModuleInstance, Store, Val};
use cwasm_compiler::{ErrorKind, Features};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::artifact::Workshop;
use crate::core_script::{self, CoreImports};
use crate::messages::trap_matches;
use crate::skips::Skips;
use crate::{Report, host, suite, values};

/// Runs a script, whose path names it in messages and in the list of skips. With `trace`, each
/// directive's place is printed to standard error before it runs.
pub fn run(workshop: &Workshop, script: &suite::Script, skips: &Skips, trace: bool) -> Report {
    let (path, text) = (&*script.path, &*script.text);
    let listed = skips.of_file(path);
    let mut tally = Tally {
        path,
        report: Report::default(),
        whole: listed.whole,
        any: false,
    };
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer);
    let parsed = buffer.as_ref().map_err(|error| error.to_string());
    let parsed =
        parsed.and_then(|buffer| parse::<Wast<'_>>(buffer).map_err(|error| error.to_string()));
    let directives = match parsed {
        Ok(wast) => wast.directives,
        Err(error) => {
            tally.stop(0, false, &format!("the script cannot be parsed: {error}"));
            return tally.report;
        }
    };

    let mut script = Script::new(workshop, script.features);
    let mut unused_lines: HashSet<usize> = listed.lines.iter().copied().collect();
    // Lines of failed modules, and how many directives could not run for each.
    let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
    let mut skipped_lines = HashSet::new();
    for directive in directives {
        let line = directive.span().linecol_in(text).0 + 1;
        let is_listed = listed.lines.contains(&line);
        unused_lines.remove(&line);
        if trace {
            eprintln!("{path}:{line}");
        }
        match catch_unwind(AssertUnwindSafe(|| script.directive(directive, line))) {
            Ok(Ok(())) if is_listed => {
                tally.report.fail(format!(
                    "{path}:{line}: passes, but is on the list of skips"
                ));
            }
            Ok(Ok(())) => tally.report.passed += 1,
            Ok(Err(Stop::Depends(on))) if skipped_lines.contains(&on) => {
                tally.any = true;
                tally.report.skipped += 1;
            }
            Ok(Err(Stop::Depends(on))) => {
                *waiting.entry(on).or_default() += 1;
                tally.report.failed += 1;
            }
            Ok(Err(stop)) => {
                if tally.stop(line, is_listed, &stop.message()) {
                    skipped_lines.insert(line);
                }
            }
            Err(_) => {
                script.lost(line);
                if tally.stop(line, is_listed, "panicked, see above") {
                    skipped_lines.insert(line);
                }
            }
        }
    }
    for (line, count) in waiting {
        let message =
            format!("{path}:{line}: {count} directives could not run without this module");
        tally.report.failures.push(message);
    }
    for line in unused_lines {
        tally.report.fail(format!(
            "{path}:{line}: is on the list of skips, but nothing starts there"
        ));
    }
    if listed.whole && !tally.any {
        tally
            .report
            .fail(format!("{path}: passes, but is on the list of skips"));
    }
    tally.report
}

/// Counts what stopped, with regard to the list of skips.
struct Tally<'a> {
    path: &'a str,
    report: Report,
    /// Whether the whole file is on the list.
    whole: bool,
    /// Whether anything was skipped because of it.
    any: bool,
}

impl Tally<'_> {
    /// Counts a directive that failed; whether that was expected.
    fn stop(&mut self, line: usize, is_listed: bool, message: &str) -> bool {
        if is_listed || self.whole {
            self.any = true;
            self.report.skipped += 1;
            return true;
        }
        self.report.fail(format!("{}:{line}: {message}", self.path));
        false
    }
}

/// Why a directive did not do what is expected.
pub(crate) enum Stop {
    /// It did something else.
    Failed(String),
    /// It needs what the directive at this line should have defined.
    Depends(usize),
    /// It needs an import that is not there, or is there with another type.
    Unlinkable(String),
    /// The guest trapped, or the loader refused it.
    Guest(cwasm::Error),
}

impl Stop {
    fn failed<T>(message: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Failed(message.into()))
    }

    fn message(&self) -> String {
        match self {
            Stop::Failed(message) => message.clone(),
            Stop::Depends(line) => format!("needs the module at line {line}"),
            Stop::Unlinkable(message) => format!("cannot be linked: {message}"),
            Stop::Guest(error) => format!("unexpected error: {error:?}"),
        }
    }
}

impl From<cwasm::Error> for Stop {
    fn from(error: cwasm::Error) -> Stop {
        Stop::Guest(error)
    }
}

/// What a directive defined; or the line of the one that failed to.
pub(crate) type Slot<T> = Result<T, usize>;

/// What can be instantiated.
#[derive(Clone)]
enum Definition {
    Core(Module),
    Component(Component),
}

/// What can be called.
#[derive(Clone)]
pub(crate) enum Live {
    Core(ModuleInstance),
    Component(Component, Instance),
}

/// What a call returned.
enum Results {
    Core(Vec<CoreVal>),
    Component(Option<Val>),
}

/// The state of a script.
struct Script<'a> {
    workshop: &'a Workshop,
    features: Features,
    store: Store<()>,
    linker: cwasm::Linker<()>,
    core_imports: CoreImports,
    /// Definitions by name; without one, the last.
    definitions: HashMap<Option<String>, Slot<Definition>>,
    /// Instances by name; without one, the last.
    instances: HashMap<Option<String>, Slot<Live>>,
}

impl Script<'_> {
    fn new(workshop: &Workshop, features: Features) -> Script<'_> {
        let engine: &Engine = workshop.engine();
        let mut store = Store::new(engine, ());
        let core_imports = CoreImports::new(&mut store);
        Script {
            workshop,
            features,
            linker: host::linker(engine),
            core_imports,
            store,
            definitions: HashMap::new(),
            instances: HashMap::new(),
        }
    }

    /// What the directive at `line` should have defined is not there.
    fn lost(&mut self, line: usize) {
        self.instances.insert(None, Err(line));
    }

    fn directive(&mut self, directive: WastDirective<'_>, line: usize) -> Result<(), Stop> {
        match directive {
            WastDirective::Module(mut wat) => {
                let name = wat.name();
                let live = self
                    .define(&mut wat)
                    .and_then(|definition| self.instantiate(&definition));
                self.keep_instance(name, live, line)
            }
            WastDirective::ModuleDefinition(mut wat) => {
                let name = wat.name();
                let (slot, stop) = split(self.define(&mut wat), line);
                for key in keys(name) {
                    self.definitions.insert(key, slot.clone());
                }
                stop
            }
            WastDirective::ModuleInstance {
                instance, module, ..
            } => {
                let live = match self.definitions.get(&name_of(module)) {
                    Some(Ok(definition)) => {
                        let definition = definition.clone();
                        self.instantiate(&definition)
                    }
                    Some(Err(line)) => Err(Stop::Depends(*line)),
                    None => Stop::failed("no such definition"),
                };
                self.keep_instance(instance, live, line)
            }
            WastDirective::Register { name, module, .. } => {
                // A component that failed may be registered; what needs it says so.
                let slot = self.instance(module).cloned();
                self.core_imports.register(name, slot_of(&slot));
                slot.map(drop)
            }
            WastDirective::Invoke(invoke) => self.invoke(&invoke).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec)?;
                check_results(&results, &found)
            }
            WastDirective::AssertTrap { exec, message, .. } => {
                let result = self.execute(exec);
                check_trap(result.map(drop), message)
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let result = self.invoke(&call);
                check_trap(result.map(drop), message)
            }
            WastDirective::AssertUnlinkable {
                module, message, ..
            } => {
                let definition = self.define(&mut QuoteWat::Wat(module))?;
                check_unlinkable(self.instantiate(&definition).map(drop), message)
            }
            WastDirective::AssertMalformed {
                mut module,
                message,
                ..
            }
            | WastDirective::AssertMalformedCustom {
                mut module,
                message,
                ..
            }
            | WastDirective::AssertInvalid {
                mut module,
                message,
                ..
            }
            | WastDirective::AssertInvalidCustom {
                mut module,
                message,
                ..
            } => self.check_refused(&mut module, message),
            WastDirective::AssertException { .. } => Stop::failed("not supported: exceptions"),
            WastDirective::AssertSuspension { .. } => Stop::failed("not supported: suspensions"),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => {
                Stop::failed("not supported: threads")
            }
        }
    }

    /// Compiles and maps.
    fn define(&self, wat: &mut QuoteWat<'_>) -> Result<Definition, Stop> {
        let is_component = is_component(wat);
        let bytes = match source(wat) {
            Ok(bytes) => bytes,
            Err(error) => return Stop::failed(format!("cannot be parsed: {error}")),
        };
        let artifact = match self.workshop.compile_with(&bytes, self.features) {
            Ok(artifact) => artifact,
            Err(error) => return Stop::failed(format!("cannot be compiled: {error}")),
        };
        Ok(if is_component {
            Definition::Component(self.workshop.map_component(&artifact)?)
        } else {
            Definition::Core(self.workshop.map_module(&artifact)?)
        })
    }

    fn instantiate(&mut self, definition: &Definition) -> Result<Live, Stop> {
        match definition {
            Definition::Core(module) => {
                let imports = self.core_imports.resolve(&self.store, module)?;
                Ok(Live::Core(module.instantiate(&mut self.store, &imports)?))
            }
            Definition::Component(component) => {
                let instance = self.linker.instantiate(&mut self.store, component)?;
                Ok(Live::Component(component.clone(), instance))
            }
        }
    }

    fn keep_instance(
        &mut self,
        name: Option<Id<'_>>,
        live: Result<Live, Stop>,
        line: usize,
    ) -> Result<(), Stop> {
        let (slot, stop) = split(live, line);
        for key in keys(name) {
            self.instances.insert(key, slot.clone());
        }
        stop
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<&Live, Stop> {
        match self.instances.get(&name_of(name)) {
            Some(Ok(live)) => Ok(live),
            Some(Err(line)) => Err(Stop::Depends(*line)),
            None => Stop::failed("no such instance"),
        }
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Results, Stop> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(wat) => {
                let definition = self.define(&mut QuoteWat::Wat(wat))?;
                self.instantiate(&definition)?;
                Ok(Results::Core(Vec::new()))
            }
            WastExecute::Get { module, global, .. } => match self.instance(module)? {
                Live::Core(instance) => {
                    let value = core_script::global(&self.store, *instance, global)?;
                    Ok(Results::Core(vec![value]))
                }
                Live::Component(..) => Stop::failed("components have no globals"),
            },
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Results, Stop> {
        match self.instance(invoke.module)?.clone() {
            Live::Core(instance) => {
                let results = core_script::invoke(&mut self.store, instance, invoke)?;
                Ok(Results::Core(results))
            }
            Live::Component(component, instance) => {
                let result = host::invoke(&mut self.store, &component, instance, invoke)?;
                Ok(Results::Component(result))
            }
        }
    }

    fn check_refused(&self, wat: &mut QuoteWat<'_>, message: &str) -> Result<(), Stop> {
        let Ok(bytes) = source(wat) else {
            return Ok(());
        };
        match self.workshop.compile_with(&bytes, self.features) {
            Ok(_) => Stop::failed(format!("is accepted, expected the error: {message}")),
            Err(error) => match error.kind() {
                ErrorKind::Invalid { .. } | ErrorKind::Disabled { .. } => Ok(()),
                _ => Stop::failed(format!("found the error: {error}, expected: {message}")),
            },
        }
    }
}

/// The bytes to compile: binary, or text as it is quoted.
fn source(wat: &mut QuoteWat<'_>) -> Result<Vec<u8>, wast::Error> {
    Ok(match wat.to_test()? {
        QuoteWatTest::Binary(bytes) | QuoteWatTest::Text(bytes) => bytes,
    })
}

fn is_component(wat: &QuoteWat<'_>) -> bool {
    matches!(
        wat,
        QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..)
    )
}

fn name_of(name: Option<Id<'_>>) -> Option<String> {
    name.map(|name| name.name().to_owned())
}

/// The keys under which something with this name is found.
fn keys(name: Option<Id<'_>>) -> impl Iterator<Item = Option<String>> {
    let named = name_of(name);
    [None].into_iter().chain(named.map(Some))
}

/// What to keep of a definition at `line`, and what to say of it.
fn split<T>(result: Result<T, Stop>, line: usize) -> (Slot<T>, Result<(), Stop>) {
    match result {
        Ok(value) => (Ok(value), Ok(())),
        Err(Stop::Depends(on)) => (Err(on), Err(Stop::Depends(on))),
        Err(stop) => (Err(line), Err(stop)),
    }
}

fn slot_of(live: &Result<Live, Stop>) -> Slot<Live> {
    match live {
        Ok(live) => Ok(live.clone()),
        Err(Stop::Depends(line)) => Err(*line),
        Err(_) => Err(0),
    }
}

fn check_results(expected: &[WastRet<'_>], found: &Results) -> Result<(), Stop> {
    let (same, shown) = match found {
        Results::Core(found) => {
            let same = expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| {
                    matches!(expected, WastRet::Core(ret) if values::core_matches(ret, found))
                });
            (same, format!("{found:?}"))
        }
        Results::Component(found) => {
            let same = match (expected, found) {
                ([], None) => true,
                ([expected], Some(found)) => values::component_matches(expected, found),
                _ => false,
            };
            (same, format!("{found:?}"))
        }
    };
    if same {
        return Ok(());
    }
    Stop::failed(format!("returned {shown}, expected {expected:?}"))
}

fn check_trap(result: Result<(), Stop>, expected: &str) -> Result<(), Stop> {
    match result {
        Ok(()) => Stop::failed(format!("returned, expected the trap: {expected}")),
        Err(Stop::Guest(error)) => match error.trap() {
            Some(trap) if trap_matches(trap.code(), expected) => Ok(()),
            _ => Stop::failed(format!(
                "failed with {error:?}\n  expected the trap: {expected}"
            )),
        },
        Err(stop) => Err(stop),
    }
}

fn check_unlinkable(result: Result<(), Stop>, expected: &str) -> Result<(), Stop> {
    match result {
        Ok(()) => Stop::failed(format!("is linked, expected the error: {expected}")),
        Err(Stop::Unlinkable(_)) => Ok(()),
        Err(Stop::Guest(error)) => match error.trap() {
            None => Ok(()),
            // WebAssembly 1.0 calls segments that do not fit unlinkable; since 2.0 they trap.
            Some(_) if expected.ends_with("does not fit") => Ok(()),
            Some(trap) => Stop::failed(format!("{trap}, expected the link error: {expected}")),
        },
        Err(stop) => Err(stop),
    }
}
