//! Converts the validator's types to the format's.

use std::collections::{HashMap, HashSet};

use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, Types, ValueType};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType,
    ComponentFuncTypeId, ComponentInstanceTypeId, ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

use super::declared::DeclaredModule;

/// Index of a function type of a component's definition in [`TypeBuilder::funcs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncDefId(pub(crate) u32);

/// A resource type of a component's definition. Each instance of the component gives it a meaning
/// of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceRef(pub(crate) u32);

/// The paths of exported resource types: the names along the path (as aliases have them), and the
/// resource type of the definition there.
pub(crate) type ResourcePaths = Vec<(Vec<String>, ResourceRef)>;

/// Collects the types of components' definitions. Each of the validator's types is converted once,
/// so that shared types stay shared. The resource numbers in them are [`ResourceRef`]s.
#[derive(Default)]
pub(crate) struct TypeBuilder {
    pub(crate) types: Types,
    pub(crate) funcs: Vec<FuncType>,
    known: HashMap<ComponentDefinedTypeId, ValueType>,
    known_funcs: HashMap<ComponentFuncTypeId, FuncDefId>,
    known_resources: HashMap<ResourceId, ResourceRef>,
    error_context: Option<ValueType>,
    /// Core modules that are imported: each import has its own.
    pub(crate) declared: Vec<DeclaredModule>,
}

impl TypeBuilder {
    /// Converts a resource type.
    pub(crate) fn resource(&mut self, id: ResourceId) -> ResourceRef {
        let next = ResourceRef(self.known_resources.len() as u32);
        *self.known_resources.entry(id).or_insert(next)
    }

    /// The resource type of this id; `None` if it is another type.
    pub(crate) fn any_resource(&mut self, id: ComponentAnyTypeId) -> Option<ResourceRef> {
        match id {
            ComponentAnyTypeId::Resource(id) => Some(self.resource(id.resource())),
            _ => None,
        }
    }

    /// The resource types that an item of this type exports.
    pub(crate) fn resources_of(
        &mut self,
        ty: &ComponentEntityType,
        types: TypesRef<'_>,
    ) -> ResourcePaths {
        let mut paths = ResourcePaths::new();
        match *ty {
            ComponentEntityType::Type { created, .. } => {
                paths.extend(self.any_resource(created).map(|found| (Vec::new(), found)));
            }
            ComponentEntityType::Instance(id) => {
                let mut seen = HashSet::new();
                self.resources_in(id, types, &mut Vec::new(), &mut seen, &mut paths);
            }
            _ => {}
        }
        paths
    }

    /// Searches each instance type once: it exports the same wherever it occurs.
    fn resources_in(
        &mut self,
        id: ComponentInstanceTypeId,
        types: TypesRef<'_>,
        path: &mut Vec<String>,
        seen: &mut HashSet<ComponentInstanceTypeId>,
        paths: &mut ResourcePaths,
    ) {
        if !seen.insert(id) {
            return;
        }
        for (name, item) in &types[id].exports {
            path.push(name.clone());
            match item.ty {
                ComponentEntityType::Type { created, .. } => {
                    let found = self.any_resource(created);
                    paths.extend(found.map(|found| (path.clone(), found)));
                }
                ComponentEntityType::Instance(id) => {
                    self.resources_in(id, types, path, seen, paths);
                }
                _ => {}
            }
            path.pop();
        }
    }

    /// Converts a function type.
    pub(crate) fn func(&mut self, id: ComponentFuncTypeId, types: TypesRef<'_>) -> FuncDefId {
        if let Some(known) = self.known_funcs.get(&id) {
            return *known;
        }
        let func = &types[id];
        let params = func
            .params
            .iter()
            .map(|(name, ty)| (name.to_string(), self.value(*ty, types)))
            .collect();
        let result = func.result.map(|ty| self.value(ty, types));
        self.funcs.push(FuncType {
            params,
            result,
            is_async: func.async_,
        });
        let known = FuncDefId(self.funcs.len() as u32 - 1);
        self.known_funcs.insert(id, known);
        known
    }

    /// Converts a type to which the component gives a name. `None` if it is not a value type.
    pub(crate) fn any(&mut self, id: ComponentAnyTypeId, types: TypesRef<'_>) -> Option<ValueType> {
        match id {
            ComponentAnyTypeId::Defined(id) => Some(self.defined(id, types)),
            _ => None,
        }
    }

    /// Converts the value type of this index in the component's index space of types.
    pub(crate) fn type_at(&mut self, index: u32, types: TypesRef<'_>) -> ValueType {
        match types.component_any_type_at(index) {
            ComponentAnyTypeId::Defined(id) => self.defined(id, types),
            _ => unreachable!("the validator has seen that it is a value type"),
        }
    }

    fn value(&mut self, ty: ComponentValType, types: TypesRef<'_>) -> ValueType {
        match ty {
            ComponentValType::Primitive(ty) => self.primitive(ty),
            ComponentValType::Type(id) => self.defined(id, types),
        }
    }

    /// Converts a defined type, parts first. The validator bounds how deep types nest.
    fn defined(&mut self, id: ComponentDefinedTypeId, types: TypesRef<'_>) -> ValueType {
        let id = resolve_alias(id, types);
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let value = |builder: &mut Self, ty| builder.value(ty, types);
        let def = match &types[id] {
            ComponentDefinedType::Primitive(ty) => return self.primitive(*ty),
            ComponentDefinedType::List { element, .. } => TypeDef::List(value(self, *element)),
            ComponentDefinedType::FixedLengthList {
                element, length, ..
            } => TypeDef::FixedList(value(self, *element), *length),
            ComponentDefinedType::Map {
                key, value: held, ..
            } => {
                let (key, held) = (value(self, *key), value(self, *held));
                let ty = ValueType::Def(self.types.push_map(key, held));
                self.known.insert(id, ty);
                return ty;
            }
            ComponentDefinedType::Option { ty, .. } => TypeDef::Option(value(self, *ty)),
            ComponentDefinedType::Result { ok, err, .. } => TypeDef::Result {
                ok: ok.map(|ty| value(self, ty)),
                err: err.map(|ty| value(self, ty)),
            },
            ComponentDefinedType::Record(record) => TypeDef::Record(
                record
                    .fields
                    .iter()
                    .map(|(name, ty)| (name.to_string(), value(self, *ty)))
                    .collect(),
            ),
            ComponentDefinedType::Tuple(tuple) => {
                TypeDef::Tuple(tuple.types.iter().map(|ty| value(self, *ty)).collect())
            }
            ComponentDefinedType::Variant(variant) => TypeDef::Variant(
                variant
                    .cases
                    .iter()
                    .map(|(name, case)| {
                        let ty = case.ty.map(|ty| value(self, ty));
                        (name.to_string(), ty)
                    })
                    .collect(),
            ),
            ComponentDefinedType::Enum(names) => {
                TypeDef::Enum(names.iter().map(|name| name.to_string()).collect())
            }
            ComponentDefinedType::Flags(names) => {
                TypeDef::Flags(names.iter().map(|name| name.to_string()).collect())
            }
            ComponentDefinedType::Own(id) => {
                TypeDef::Own(ResourceNumber(self.resource(id.resource()).0))
            }
            ComponentDefinedType::Borrow(id) => {
                TypeDef::Borrow(ResourceNumber(self.resource(id.resource()).0))
            }
            ComponentDefinedType::Future { ty, .. } => {
                TypeDef::Future(ty.map(|ty| value(self, ty)))
            }
            ComponentDefinedType::Stream { ty, .. } => {
                TypeDef::Stream(ty.map(|ty| value(self, ty)))
            }
        };
        let ty = ValueType::Def(self.types.push(def));
        self.known.insert(id, ty);
        ty
    }

    /// Converts a type without parts.
    pub(super) fn primitive(&mut self, ty: PrimitiveValType) -> ValueType {
        match ty {
            PrimitiveValType::Bool => ValueType::Bool,
            PrimitiveValType::S8 => ValueType::S8,
            PrimitiveValType::U8 => ValueType::U8,
            PrimitiveValType::S16 => ValueType::S16,
            PrimitiveValType::U16 => ValueType::U16,
            PrimitiveValType::S32 => ValueType::S32,
            PrimitiveValType::U32 => ValueType::U32,
            PrimitiveValType::S64 => ValueType::S64,
            PrimitiveValType::U64 => ValueType::U64,
            PrimitiveValType::F32 => ValueType::F32,
            PrimitiveValType::F64 => ValueType::F64,
            PrimitiveValType::Char => ValueType::Char,
            PrimitiveValType::String => ValueType::String,
            PrimitiveValType::ErrorContext => {
                let types = &mut self.types;
                let push = || ValueType::Def(types.push(TypeDef::ErrorContext));
                *self.error_context.get_or_insert_with(push)
            }
        }
    }
}

/// The id of the type that is aliased: the validator gives an id of its own to each import, export
/// and alias of a type.
fn resolve_alias(id: ComponentDefinedTypeId, types: TypesRef<'_>) -> ComponentDefinedTypeId {
    let mut any = ComponentAnyTypeId::Defined(id);
    while let Some(aliased) = types.peel_alias(any) {
        any = aliased;
    }
    match any {
        ComponentAnyTypeId::Defined(id) => id,
        _ => unreachable!("an alias of a defined type is one"),
    }
}
