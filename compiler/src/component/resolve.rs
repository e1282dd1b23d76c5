//! Resolves the types of components' definitions to types of the unit: an instance decides which
//! resource types they mean.

use std::collections::HashMap;

use cwasm_format::types::{FuncType, ResourceNumber, TypeDef, TypeId, ValueType};

use super::types::{FuncDefId, ResourceRef, TypeBuilder};
use crate::error::{Error, Result};
use crate::plan::types::{FuncTypeId, UnitTypes};

/// The most types that contain handles. A type counts once for each set of resources that it means.
const MAX_TYPES: u64 = 1_000_000;

/// The meaning, in one instance of a component, of the types of its definition.
#[derive(Default)]
pub(crate) struct InstanceTypes {
    resources: HashMap<ResourceRef, ResourceNumber>,
    /// Types with handles.
    known: HashMap<TypeId, ValueType>,
    known_funcs: HashMap<FuncDefId, FuncTypeId>,
}

/// Resolves types of definitions to types of the unit.
pub(crate) struct Resolver<'t> {
    definitions: &'t TypeBuilder,
    pub(crate) types: UnitTypes,
    /// Types without handles, which are the same for all instances.
    shared: HashMap<TypeId, ValueType>,
    shared_funcs: HashMap<FuncDefId, FuncTypeId>,
    /// Types with handles, so that equal ones are added once.
    interned: HashMap<TypeDef, TypeId>,
}

impl InstanceTypes {
    /// Sets the resource type that `resource` means.
    pub(crate) fn bind(&mut self, resource: ResourceRef, number: ResourceNumber) {
        self.resources.insert(resource, number);
    }

    /// The resource type that `resource` means; `None` if it is not known yet.
    pub(crate) fn get(&self, resource: ResourceRef) -> Option<ResourceNumber> {
        self.resources.get(&resource).copied()
    }

    /// Which resource type it is.
    ///
    /// # Errors
    /// If it is not known, because it was given under another name, such as that of another
    /// version.
    pub(crate) fn resource(&self, resource: ResourceRef) -> Result<ResourceNumber> {
        self.get(resource)
            .ok_or_else(|| Error::unsupported("a resource type by another version's name", None))
    }
}

impl Resolver<'_> {
    pub(crate) fn new(definitions: &TypeBuilder) -> Resolver<'_> {
        Resolver {
            definitions,
            types: UnitTypes::default(),
            shared: HashMap::new(),
            shared_funcs: HashMap::new(),
            interned: HashMap::new(),
        }
    }

    /// A function's type in a component instance.
    pub(crate) fn func(&mut self, id: FuncDefId, scope: &mut InstanceTypes) -> Result<FuncTypeId> {
        let definitions = self.definitions;
        let func = &definitions.funcs[id.0 as usize];
        let has_handles = definitions.types.func_has_handles(func);
        let known = match has_handles {
            true => scope.known_funcs.get(&id),
            false => self.shared_funcs.get(&id),
        };
        if let Some(known) = known {
            return Ok(*known);
        }
        let mut params = Vec::with_capacity(func.params.len());
        for (name, ty) in &func.params {
            params.push((name.clone(), self.value(*ty, scope)?));
        }
        let result = func.result.map(|ty| self.value(ty, scope)).transpose()?;
        self.types.funcs.push(FuncType {
            params,
            result,
            is_async: func.is_async,
        });
        let resolved = FuncTypeId(self.types.funcs.len() as u32 - 1);
        match has_handles {
            true => scope.known_funcs.insert(id, resolved),
            false => self.shared_funcs.insert(id, resolved),
        };
        Ok(resolved)
    }

    /// A type in a component instance. The validator bounds how deep types nest.
    pub(crate) fn value(&mut self, ty: ValueType, scope: &mut InstanceTypes) -> Result<ValueType> {
        let definitions = self.definitions;
        let ValueType::Def(id) = ty else {
            return Ok(ty);
        };
        let has_handles = definitions.types.has_handles(ty);
        let known = match has_handles {
            true => scope.known.get(&id),
            false => self.shared.get(&id),
        };
        if let Some(known) = known {
            return Ok(*known);
        }
        let mut def = definitions.types.def(id).clone();
        match &mut def {
            TypeDef::Own(number) | TypeDef::Borrow(number) => {
                *number = scope.resource(ResourceRef(number.0))?;
            }
            def => {
                for part in def.parts_mut() {
                    *part = self.value(*part, scope)?;
                }
            }
        }
        if !has_handles {
            let resolved = ValueType::Def(self.types.types.push(def));
            self.shared.insert(id, resolved);
            return Ok(resolved);
        }
        let resolved = match self.interned.get(&def) {
            Some(found) => *found,
            None => {
                let found = self.interned.len() as u64 + 1;
                if found > MAX_TYPES {
                    return Err(Error::limit("types with handles", found, MAX_TYPES));
                }
                let found = self.types.types.push(def.clone());
                self.interned.insert(def, found);
                found
            }
        };
        scope.known.insert(id, ValueType::Def(resolved));
        Ok(ValueType::Def(resolved))
    }
}
