//! Core modules in scripts, linked by components: the same directives as in [`core_script`], on the
//! path of components.
//!
//! Linking in a component is static, in a script it is not: a module may import from instances that
//! were used before. So instances that are linked form a *group*, which is one component. A module
//! that imports from groups makes a new one of all their instances and its own, in which what the
//! script did with them is done again, before the module is instantiated. What an action did that
//! trapped, or an instantiation that failed, is lost then.
//!
//! `spectest` is an instance like others, but each group has one of its own.
//!
//! [`core_script`]: crate::core_script

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use cwasm::{CoreFunc, CoreVal, FuncType, Instance, Linker, Store, TypedFunc};
use cwasm_compiler::{ErrorKind, Features};
use wasm_encoder::{AbstractHeapType, HeapType, RefType, ValType};
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, WastInvoke, Wat};

use crate::artifact::Workshop;
use crate::core_script::{CoreImports, arguments};
use crate::script::{Live, Stop};
use crate::wrap::driver::Action;
use crate::wrap::{self, Call, Event, Module};

/// The module `spectest`, from which modules may import.
const SPECTEST: &str = r#"(module
  (func (export "print"))
  (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64))
  (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64))
  (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64))
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (memory (export "memory") 1 2))"#;

/// The rest of `spectest`. In one module with the other memory it would need another proposal.
const SHARED: &str = r#"(module (memory (export "shared_memory") 1 2 shared))"#;

/// The first instances of each script, by number.
const BUILT_IN: [&str; 2] = [SPECTEST, SHARED];

/// The number of the instance that has this item of `spectest`.
fn spectest(item: &str) -> usize {
    usize::from(item == "shared_memory")
}

/// Why something cannot be done in a component.
pub(crate) const HOST_REFERENCES: &str = "a host gives a component no references";

/// The instances of a script.
pub(crate) struct Closed<'a> {
    workshop: &'a Workshop,
    features: Features,
    /// All that was done; instances are numbered in this order.
    history: Vec<Event>,
    /// The group of each instance, but those of `spectest`.
    group_of: HashMap<usize, usize>,
    /// By the number of the newest instance.
    groups: HashMap<usize, Group>,
    /// The module of each instance.
    modules: Vec<Rc<Module>>,
}

/// Instances that are linked with each other.
struct Group {
    members: BTreeSet<usize>,
    /// Of nothing but this component, so that all goes when the group becomes a part of another.
    store: Store<()>,
    component: Instance,
    set: TypedFunc<(u32, u64), ()>,
    get: TypedFunc<(u32,), (u64,)>,
    /// Stands for each reference to a function that is not null.
    some_func: CoreFunc,
}

impl<'a> Closed<'a> {
    pub(crate) fn new(workshop: &'a Workshop, features: Features) -> Closed<'a> {
        let mut closed = Closed {
            workshop,
            features,
            history: Vec::new(),
            group_of: HashMap::new(),
            groups: HashMap::new(),
            modules: Vec::new(),
        };
        for text in BUILT_IN {
            let buffer = ParseBuffer::new(text).expect("the text has valid tokens");
            let wat = parse::<Wat<'_>>(&buffer).and_then(|mut wat| wat.encode());
            let module = Module::parse(&wat.expect("the text is a module"));
            let module = Rc::new(module.expect("the module is valid"));
            closed.keep(wrap::Instance {
                id: closed.modules.len(),
                module,
                sources: Vec::new(),
            });
        }
        closed
    }

    /// Makes an instance a part of what was done.
    fn keep(&mut self, instance: wrap::Instance) {
        self.modules.push(Rc::clone(&instance.module));
        self.history.push(Event::Instance(instance));
    }

    /// Reads a module.
    pub(crate) fn define(wat: &mut QuoteWat<'_>) -> Result<Rc<Module>, Stop> {
        let bytes = wat.encode().map_err(|error| error.to_string());
        let module =
            bytes.and_then(|bytes| Module::parse(&bytes).map_err(|error| error.to_string()));
        match module {
            Ok(module) => Ok(Rc::new(module)),
            Err(error) => Err(Stop::Failed(format!("cannot be read: {error}"))),
        }
    }

    /// Makes an instance, linked with those that were registered: its number.
    pub(crate) fn instantiate(
        &mut self,
        module: &Rc<Module>,
        imports: &CoreImports,
    ) -> Result<usize, Stop> {
        let sources = module.imports.iter().map(|import| {
            Ok(match imports.registered(&import.module) {
                Some(Ok(Live::Closed(id))) => Some(*id),
                Some(Ok(_)) => None,
                Some(Err(line)) => return Err(Stop::Depends(*line)),
                None if import.module == "spectest" => Some(spectest(&import.name)),
                None => None,
            })
        });
        let sources: Vec<_> = sources.collect::<Result<_, Stop>>()?;
        let id = self.modules.len();
        let joined: BTreeSet<usize> = sources
            .iter()
            .filter_map(|source| self.group_of.get(&(*source)?).copied())
            .collect();
        let mut members: BTreeSet<usize> = joined
            .iter()
            .flat_map(|group| &self.groups[group].members)
            .copied()
            .collect();
        members.extend(sources.iter().flatten());
        members.insert(id);
        let instance = wrap::Instance {
            id,
            module: Rc::clone(module),
            sources,
        };
        let group = self.link(members, &instance)?;
        for old in joined {
            self.groups.remove(&old);
        }
        for member in &group.members {
            if *member >= BUILT_IN.len() {
                self.group_of.insert(*member, id);
            }
        }
        self.groups.insert(id, group);
        self.keep(instance);
        Ok(id)
    }

    /// Compiles, maps and instantiates the component of a group whose newest instance is `newest`.
    fn link(&self, members: BTreeSet<usize>, newest: &wrap::Instance) -> Result<Group, Stop> {
        let past = self.history.iter();
        let past: Vec<_> = past
            .filter(|event| members.contains(&event.instance()))
            .collect();
        let bytes = wrap::component(&past, newest);
        let artifact = match self.workshop.compile_with(&bytes, self.features) {
            Ok(artifact) => artifact,
            Err(error) if is_about_linking(&error) => {
                return Err(Stop::Unlinkable(error.to_string()));
            }
            Err(error) => return Err(Stop::Failed(format!("cannot be compiled: {error}"))),
        };
        let component = self.workshop.map_component(&artifact)?;
        let engine = self.workshop.engine();
        let mut store = Store::new(engine, ());
        let component = Linker::new(engine).instantiate(&mut store, &component)?;
        let none = FuncType::new([], []);
        Ok(Group {
            members,
            component,
            set: component.get_typed_func(&mut store, "set")?,
            get: component.get_typed_func(&mut store, "get")?,
            some_func: CoreFunc::new(&mut store, none, |_| Ok(Vec::new())),
            store,
        })
    }

    /// Calls an exported function.
    pub(crate) fn invoke(
        &mut self,
        instance: usize,
        invoke: &WastInvoke<'_>,
    ) -> Result<Vec<CoreVal>, Stop> {
        let args = arguments(invoke)?;
        match self.action(instance, invoke.name) {
            Some(action) if !action.is_global => self.act(instance, &action, &args),
            _ => Err(Stop::Failed(format!("no function `{}`", invoke.name))),
        }
    }

    /// Reads an exported global.
    pub(crate) fn global(&mut self, instance: usize, name: &str) -> Result<Vec<CoreVal>, Stop> {
        match self.action(instance, name) {
            Some(action) if action.is_global => self.act(instance, &action, &[]),
            _ => Err(Stop::Failed(format!("no global `{name}`"))),
        }
    }

    fn action(&self, instance: usize, name: &str) -> Option<Action> {
        self.modules[instance].driver.actions.get(name).cloned()
    }

    fn act(
        &mut self,
        instance: usize,
        action: &Action,
        args: &[CoreVal],
    ) -> Result<Vec<CoreVal>, Stop> {
        let slots = to_slots(&action.params, args)?;
        let group = self.group_of.get(&instance);
        let group = group.and_then(|group| self.groups.get_mut(group));
        let group = group.expect("each instance but `spectest` is in a group");
        for (slot, value) in slots.iter().enumerate() {
            group.set.call(&mut group.store, (slot as u32, *value))?;
        }
        let name = format!("call{instance}");
        let call = group
            .component
            .get_typed_func::<(u32,), ()>(&mut group.store, &name)?;
        if let Err(error) = call.call(&mut group.store, (action.index,)) {
            group.enter_again(&name)?;
            return Err(error.into());
        }
        let results = group.results(&action.results)?;
        self.history.push(Event::Call(Call {
            instance,
            action: action.index,
            args: slots,
        }));
        Ok(results)
    }
}

impl Group {
    /// Lets scripts go on after a trap.
    fn enter_again(&mut self, export: &str) -> Result<(), Stop> {
        let func = self.component.get_func(&mut self.store, export);
        let func = func.expect("it was called just now");
        Ok(func.enter_after_trap(&mut self.store)?)
    }

    /// The values that an action returned.
    fn results(&mut self, types: &[ValType]) -> Result<Vec<CoreVal>, Stop> {
        let mut results = Vec::new();
        let mut slot = 0;
        for ty in types {
            let mut next = || {
                slot += 1;
                self.get
                    .call(&mut self.store, (slot - 1,))
                    .map(|(value,)| value)
            };
            let low = next()?;
            results.push(match ty {
                ValType::I32 => CoreVal::I32(low as u32 as i32),
                ValType::I64 => CoreVal::I64(low as i64),
                ValType::F32 => CoreVal::F32(low as u32),
                ValType::F64 => CoreVal::F64(low),
                ValType::V128 => CoreVal::V128(u128::from(next()?) << 64 | u128::from(low)),
                ValType::Ref(ty) if is_func(ty) => {
                    CoreVal::FuncRef((low == 0).then_some(self.some_func))
                }
                ValType::Ref(ty) if low == 1 && is_exn(ty) => CoreVal::ExnRef(None),
                ValType::Ref(_) if low == 1 => CoreVal::ExternRef(None),
                ValType::Ref(_) => {
                    let message = "an external reference that is not null, but there are none";
                    return Err(Stop::Failed(message.to_owned()));
                }
            });
        }
        Ok(results)
    }
}

/// Whether a component was refused because of what a module is linked with. What else can be wrong
/// with it is wrong with the module, which was compiled before, or with what is generated here.
fn is_about_linking(error: &cwasm_compiler::Error) -> bool {
    let message = error.to_string();
    let about = ["module instantiation argument", "core instance"];
    matches!(error.kind(), ErrorKind::Invalid { .. })
        && about.iter().any(|about| message.contains(about))
}

fn is_func(ty: &RefType) -> bool {
    let is_extern = matches!(
        ty.heap_type,
        HeapType::Abstract {
            ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern,
            ..
        }
    );
    !is_extern && !is_exn(ty)
}

fn is_exn(ty: &RefType) -> bool {
    matches!(
        ty.heap_type,
        HeapType::Abstract {
            ty: AbstractHeapType::Exn | AbstractHeapType::NoExn,
            ..
        }
    )
}

/// The slots of arguments.
fn to_slots(params: &[ValType], args: &[CoreVal]) -> Result<Vec<u64>, Stop> {
    let mut slots = Vec::new();
    let mut same = params.len() == args.len();
    for (ty, arg) in params.iter().zip(args) {
        match (ty, arg) {
            (_, CoreVal::ExternRef(Some(_))) => return Err(Stop::Beyond(HOST_REFERENCES)),
            (ValType::I32, CoreVal::I32(value)) => slots.push(value.cast_unsigned().into()),
            (ValType::I64, CoreVal::I64(value)) => slots.push(value.cast_unsigned()),
            (ValType::F32, CoreVal::F32(bits)) => slots.push((*bits).into()),
            (ValType::F64, CoreVal::F64(bits)) => slots.push(*bits),
            (ValType::V128, CoreVal::V128(value)) => {
                slots.extend([*value as u64, (*value >> 64) as u64]);
            }
            (ValType::Ref(ty), CoreVal::FuncRef(None)) if is_func(ty) => slots.push(0),
            (ValType::Ref(ty), CoreVal::ExnRef(None)) if is_exn(ty) => slots.push(0),
            (ValType::Ref(ty), CoreVal::ExternRef(None)) if !is_func(ty) => slots.push(0),
            _ => same = false,
        }
    }
    if same {
        return Ok(slots);
    }
    Err(Stop::Failed(format!(
        "found the arguments {args:?}, expected {params:?}"
    )))
}
