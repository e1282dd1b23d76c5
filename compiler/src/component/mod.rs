//! Components: their definitions as decoded, and their evaluation to a plan.
//!
//! A definition ([`Component`]) is the list of a component's items in the order of the binary.
//! [`flatten`] evaluates the outermost one: nested components, aliases, instantiation arguments and
//! re-exports are all static, so what is left is a [`Plan`](crate::plan::Plan): core instances,
//! where each of their imports comes from, what the host must provide and what it can call.

pub(crate) mod concurrent;
pub(crate) mod debug_names;
pub(crate) mod declared;
pub(crate) mod flatten;
pub(crate) mod names;
pub(crate) mod resolve;
pub(crate) mod types;

use cwasm_format::types::ValueType;
use wasmparser::{
    CanonicalOption, ComponentAlias, ComponentExternalKind, ComponentInstance, Instance,
};

use concurrent::BuiltIn;
use names::ExternName;
use types::{FuncDefId, ResourcePaths, ResourceRef};

use crate::plan::{ModuleId, ResourceOp};

/// A component's definition.
pub(crate) struct Component<'a> {
    pub(crate) items: Vec<Item<'a>>,
    /// The name for tools that the component around it gives to it, or its own; may be empty.
    pub(crate) name: &'a str,
    /// Byte offset in the input.
    pub(crate) offset: u64,
}

/// A definition, import or export of a component. Each item adds to one index space. (Of types,
/// only resource types are tracked, by the validator's ids; functions carry their types.)
pub(crate) enum Item<'a> {
    CoreModule(ModuleId),
    CoreInstance(Instance<'a>),
    Component(Component<'a>),
    Instance {
        instance: ComponentInstance<'a>,
        /// For each argument, or each export, its resource type, if it is one.
        types: Vec<Option<ResourceRef>>,
        /// The resource types that the instance exports.
        resources: ResourcePaths,
        offset: u64,
    },
    /// A resource type is defined.
    Resource {
        resource: ResourceRef,
        /// Index of a core function.
        dtor: Option<u32>,
    },
    /// `resource.new`, `resource.rep` or `resource.drop` as a core function.
    ResourceFunc {
        op: ResourceOp,
        resource: ResourceRef,
    },
    /// A built-in function of the asynchronous ABI as a core function.
    BuiltIn(BuiltIn),
    Alias(ComponentAlias<'a>),
    Lift {
        core_func: u32,
        ty: FuncDefId,
        options: Box<[CanonicalOption]>,
        offset: u64,
    },
    Lower {
        func: u32,
        options: Box<[CanonicalOption]>,
        offset: u64,
    },
    Import {
        name: ExternName,
        ty: ImportType,
        /// The resource types that come with the item.
        resources: ResourcePaths,
        offset: u64,
    },
    Export {
        name: ExternName,
        kind: ComponentExternalKind,
        index: u32,
        /// The type to which the export gives a name, for descriptions.
        named_type: Option<ValueType>,
        /// The resource type that is exported.
        resource: Option<ResourceRef>,
        /// The resource types of the export, under the ids that the validator uses after it.
        resources: ResourcePaths,
    },
}

/// The type of an import.
pub(crate) enum ImportType {
    Func(FuncDefId),
    Instance(InstanceShape),
    /// A core module: an index into [`TypeBuilder::declared`](types::TypeBuilder).
    Module(u32),
    /// A type; its value type, if it is one.
    Type(Option<ValueType>),
    Resource(ResourceRef),
    /// An item that only another component can provide, not yet the host: the name of its feature.
    Unsupported(&'static str),
}

/// The exports of an imported instance.
pub(crate) struct InstanceShape {
    pub(crate) exports: Vec<(ExternName, ImportType)>,
}
