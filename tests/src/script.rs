//! Runs a script: one directive after the other, each against what those before it defined.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use cwasm::{Component, CoreVal, Engine, Instance, Module, ModuleInstance, Store, TrapCode, Val};
use cwasm_compiler::{ErrorKind, Features, Need};
use wast::core::WastRetCore;
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::artifact::Workshop;
use crate::closed_script::{Closed, HOST_REFERENCES};
use crate::core_script::{self, CoreImports};
use crate::messages::trap_matches;
use crate::skips::Skips;
use crate::tally::Tally;
use crate::{Report, host, suite, values, wrap};

/// Runs a script, whose path names it in messages and in the list of skips. With `trace`, each
/// directive's place is printed to standard error before it runs.
pub fn run(workshop: &Workshop, script: &suite::Script, skips: &Skips, trace: bool) -> Report {
    let (path, text) = (&*script.path, &*script.text);
    let mut tally = Tally::new(path, skips.of_file(path, script.as_component));
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer);
    let parsed = buffer.as_ref().map_err(|error| error.to_string());
    let parsed =
        parsed.and_then(|buffer| parse::<Wast<'_>>(buffer).map_err(|error| error.to_string()));
    let directives = match parsed {
        Ok(wast) => wast.directives,
        Err(error) => {
            tally.failed(0, format!("the script cannot be parsed: {error}"));
            return tally.finish();
        }
    };
    let mut script = Script::new(workshop, script);
    for directive in directives {
        let line = directive.span().linecol_in(text).0 + 1;
        if trace {
            eprintln!("{path}:{line}");
        }
        match catch_unwind(AssertUnwindSafe(|| script.directive(directive, line))) {
            Ok(Ok(())) => tally.passed(line),
            Ok(Err(Stop::Depends(on))) => tally.depends(line, on),
            Ok(Err(Stop::Beyond(reason))) => tally.beyond(line, reason),
            Ok(Err(stop)) => tally.failed(line, stop.message()),
            Err(_) => {
                script.lost(line);
                tally.failed(line, "panicked, see above".to_owned());
            }
        }
    }
    tally.finish()
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
    /// It cannot be done on this path, for this reason.
    Beyond(&'static str),
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
            Stop::Beyond(reason) => (*reason).to_owned(),
        }
    }
}

impl From<cwasm::Error> for Stop {
    fn from(error: cwasm::Error) -> Stop {
        Stop::Guest(error)
    }
}

/// The definition of a directive, or the line of the directive that failed to define it.
pub(crate) type Slot<T> = Result<T, usize>;

/// A definition that can be instantiated.
#[derive(Clone)]
enum Definition {
    Core(Module),
    /// A core module that a component is to link.
    Closed(Rc<wrap::Module>),
    Component(Component),
}

/// An instance whose functions can be called.
#[derive(Clone)]
pub(crate) enum Live {
    Core(ModuleInstance),
    /// A core instance in a component, by its number.
    Closed(usize),
    Component(Component, Instance),
}

/// The results of a call.
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
    /// Core instances, if components link them.
    closed: Option<Closed<'a>>,
    /// Definitions by name; without one, the last.
    definitions: HashMap<Option<String>, Slot<Definition>>,
    /// Instances by name; without one, the last.
    instances: HashMap<Option<String>, Slot<Live>>,
}

impl<'a> Script<'a> {
    fn new(workshop: &'a Workshop, script: &suite::Script) -> Script<'a> {
        let engine: &Engine = workshop.engine();
        let features = script.features;
        let mut store = Store::new(engine, ());
        let core_imports = CoreImports::new(&mut store);
        Script {
            workshop,
            features,
            linker: host::linker(engine),
            core_imports,
            closed: script.as_component.then(|| Closed::new(workshop, features)),
            store,
            definitions: HashMap::new(),
            instances: HashMap::new(),
        }
    }

    /// Records that the directive at `line` has not defined what it should.
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
                let host_made =
                    |ret: &WastRet<'_>| matches!(ret, WastRet::Core(WastRetCore::RefExtern(_)));
                if self.closed.is_some() && results.iter().any(host_made) {
                    return Err(Stop::Beyond(HOST_REFERENCES));
                }
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
            WastDirective::AssertException { exec, .. } => {
                let result = self.execute(exec);
                check_exception(result.map(drop))
            }
            WastDirective::AssertSuspension { .. } => Stop::failed("not supported: suspensions"),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => {
                Stop::failed("not supported: threads")
            }
        }
    }

    /// Compiles and maps.
    fn define(&self, wat: &mut QuoteWat<'_>) -> Result<Definition, Stop> {
        let bytes = match self.source(wat) {
            Ok(bytes) => bytes,
            Err(error) => return Stop::failed(format!("cannot be parsed: {error}")),
        };
        let artifact = match self.workshop.compile_with(&bytes, self.features) {
            Ok(artifact) => artifact,
            Err(error) => return Stop::failed(format!("cannot be compiled: {error}")),
        };
        Ok(if is_component(wat) {
            Definition::Component(self.workshop.map_component(&artifact)?)
        } else if self.closed.is_some() {
            // It is compiled again when it is linked.
            Definition::Closed(Closed::define(wat)?)
        } else {
            Definition::Core(self.workshop.map_module(&artifact)?)
        })
    }

    /// The bytes to compile: binary, or text as it is quoted. If components link core modules,
    /// those are wrapped.
    fn source(&self, wat: &mut QuoteWat<'_>) -> Result<Vec<u8>, wast::Error> {
        if self.closed.is_some() && !is_component(wat) {
            return Ok(wrap::alone(&wat.encode()?));
        }
        Ok(match wat.to_test()? {
            QuoteWatTest::Binary(bytes) | QuoteWatTest::Text(bytes) => bytes,
        })
    }

    fn instantiate(&mut self, definition: &Definition) -> Result<Live, Stop> {
        match definition {
            Definition::Core(module) => {
                let imports = self.core_imports.resolve(&self.store, module)?;
                Ok(Live::Core(module.instantiate(&mut self.store, &imports)?))
            }
            Definition::Closed(module) => {
                let closed = self.closed.as_mut();
                let closed = closed.expect("else no such definition is made");
                let id = closed.instantiate(module, &self.core_imports)?;
                Ok(Live::Closed(id))
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
                Live::Closed(id) => {
                    let id = *id;
                    Ok(Results::Core(self.closed().global(id, global)?))
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
            Live::Closed(id) => Ok(Results::Core(self.closed().invoke(id, invoke)?)),
            Live::Component(component, instance) => {
                let result = host::invoke(&mut self.store, &component, instance, invoke)?;
                Ok(Results::Component(result))
            }
        }
    }

    fn closed(&mut self) -> &mut Closed<'a> {
        let closed = self.closed.as_mut();
        closed.expect("without components no such instance is made")
    }

    fn check_refused(&self, wat: &mut QuoteWat<'_>, message: &str) -> Result<(), Stop> {
        let Ok(bytes) = self.source(wat) else {
            return Ok(());
        };
        match self.workshop.compile_with(&bytes, self.features) {
            Ok(_) => Stop::failed(format!("is accepted, expected the error: {message}")),
            Err(error) => match error.kind() {
                ErrorKind::Invalid { .. } | ErrorKind::Disabled { .. } => Ok(()),
                // Bytes that no version of the specification gives a meaning to.
                ErrorKind::Unsupported { needs } if needs.iter().all(is_no_part) => Ok(()),
                _ => Stop::failed(format!("found the error: {error}, expected: {message}")),
            },
        }
    }
}

/// Whether it is no part of WebAssembly: replaced by another proposal, or not accepted yet.
fn is_no_part(need: &Need) -> bool {
    let proposals = [
        "stack-switching",
        "shared-everything-threads",
        "component-model nested names",
    ];
    proposals.iter().any(|name| need.name.starts_with(name))
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

/// Splits the result of a definition at `line` into the part to keep and the part to report.
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

fn check_exception(result: Result<(), Stop>) -> Result<(), Stop> {
    match result {
        Ok(()) => Stop::failed("returned, expected an exception"),
        Err(Stop::Guest(error)) => match error.trap() {
            Some(trap) if trap.code() == TrapCode::UncaughtException => Ok(()),
            _ => Stop::failed(format!("failed with {error:?}\n  expected an exception")),
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
