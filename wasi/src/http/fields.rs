//! Headers and trailers.

use std::sync::Arc;

use cwasm::{Error, Resource, ResourceTableError, Result};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::HttpState;
use super::bindings::wasi::http::types;
use crate::ctx::WasiCtx;
use crate::quota::Claim;

/// What the memory of an entry is counted as, beside its name and its value.
const ENTRY: usize = 64;

/// Headers that say how a message is transported, which is the host's business; guests neither set
/// nor see them.
pub(super) static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers or trailers, as a guest holds them.
#[derive(Debug)]
pub struct Fields {
    map: Arc<HeaderMap>,
    is_mutable: bool,
    /// The memory, unless the map belongs to something else too.
    claim: Option<Claim>,
}

/// Fields that are being changed.
struct Change<'a> {
    map: &'a mut HeaderMap,
    /// The memory that they are counted as, which is kept up to date: to count all entries for each
    /// change would take a guest's host long.
    size: usize,
    /// The name that is changed, the values that it had if they were removed, and how many it got.
    name: Option<HeaderName>,
    removed: Vec<HeaderValue>,
    appended: usize,
}

/// Why fields cannot be changed.
#[derive(Debug)]
pub enum FieldsError {
    /// What the guest is told.
    Kind(types::HeaderError),
    /// There is no room for so many, which ends the call of a guest of 0.2, and which 0.3 has a
    /// word for.
    TooLarge(Error),
    /// The guest broke a rule: its call ends as with a trap.
    Trap(Error),
}

impl From<types::HeaderError> for FieldsError {
    fn from(kind: types::HeaderError) -> FieldsError {
        FieldsError::Kind(kind)
    }
}

impl From<ResourceTableError> for FieldsError {
    fn from(error: ResourceTableError) -> FieldsError {
        FieldsError::Trap(error.into())
    }
}

impl From<Error> for FieldsError {
    fn from(error: Error) -> FieldsError {
        FieldsError::Trap(error)
    }
}

/// The memory that a map is counted as.
pub(crate) fn size_of(map: &HeaderMap) -> usize {
    let sizes = map.iter().map(|(name, value)| size_of_entry(name, value));
    sizes.sum()
}

fn size_of_entry(name: &HeaderName, value: &HeaderValue) -> usize {
    ENTRY + name.as_str().len() + value.len()
}

impl Change<'_> {
    fn append(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), FieldsError> {
        let size = size_of_entry(&name, &value);
        self.name = Some(name.clone());
        let appended = self.map.try_append(name, value);
        appended.map_err(|_| {
            FieldsError::TooLarge(Error::msg("more fields than a message can have"))
        })?;
        self.size += size;
        self.appended += 1;
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        let values = self.map.get_all(name).iter();
        let sizes = values.map(|value| size_of_entry(name, value));
        self.size -= sizes.sum::<usize>();
        self.removed = self.map.get_all(name).iter().cloned().collect();
        self.name = Some(name.clone());
        self.map.remove(name);
    }

    /// Makes the fields what they were: one name has changed at most, or all are new.
    fn undo(self) {
        let Some(name) = self.name else {
            return;
        };
        let mut values: Vec<_> = self.map.get_all(&name).iter().cloned().collect();
        values.truncate(values.len() - self.appended.min(values.len()));
        values.extend(self.removed);
        self.map.remove(&name);
        for value in values {
            self.map.append(name.clone(), value);
        }
    }
}

impl Fields {
    /// Fields that belong to a message, which nobody changes.
    pub(crate) fn of_message(map: Arc<HeaderMap>) -> Fields {
        Fields {
            map,
            is_mutable: false,
            claim: None,
        }
    }

    /// Fields that were received, which nobody changes.
    pub(crate) fn received(map: HeaderMap, claim: Claim) -> Fields {
        Fields {
            map: Arc::new(map),
            is_mutable: false,
            claim: Some(claim),
        }
    }

    fn empty() -> Fields {
        Fields {
            map: Arc::default(),
            is_mutable: true,
            claim: None,
        }
    }

    /// The map and its memory.
    pub(crate) fn into_parts(self) -> (Arc<HeaderMap>, Option<Claim>) {
        (self.map, self.claim)
    }

    /// Changes the fields, if the memory is there for what they become.
    fn change(
        &mut self,
        http: &HttpState,
        change: impl FnOnce(&mut Change<'_>) -> Result<(), FieldsError>,
    ) -> Result<(), FieldsError> {
        if !self.is_mutable {
            return Err(types::HeaderError::Immutable.into());
        }
        // Without a claim they are empty.
        let before = self.claim.as_ref().map_or(0, Claim::amount);
        let mut changed = Change {
            map: Arc::make_mut(&mut self.map),
            size: before,
            name: None,
            removed: Vec::new(),
            appended: 0,
        };
        let done = change(&mut changed);
        // The old memory is there again first.
        self.claim = None;
        match done.and_then(|()| {
            let claim = http.claim_head(changed.size);
            claim.map_err(FieldsError::TooLarge)
        }) {
            Ok(claim) => {
                self.claim = Some(claim);
                Ok(())
            }
            Err(error) => {
                changed.undo();
                self.claim = Some(http.claim_head(before)?);
                Err(error)
            }
        }
    }
}

pub(crate) fn parse_name(name: &str) -> Result<HeaderName, FieldsError> {
    let name = HeaderName::from_bytes(name.as_bytes());
    name.map_err(|_| types::HeaderError::InvalidSyntax.into())
}

fn parse_value(value: Vec<u8>) -> Result<HeaderValue, FieldsError> {
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value));
    value.map_err(|_| types::HeaderError::InvalidSyntax.into())
}

impl WasiCtx {
    /// A name that the guest may set.
    fn name(&self, name: &str) -> Result<HeaderName, FieldsError> {
        let name = parse_name(name)?;
        match self.http.is_forbidden(&name) {
            true => Err(types::HeaderError::Forbidden.into()),
            false => Ok(name),
        }
    }

    fn change(
        &mut self,
        fields: &Resource<Fields>,
        change: impl FnOnce(&mut Change<'_>) -> Result<(), FieldsError>,
    ) -> Result<(), FieldsError> {
        self.table.get_mut(fields)?.change(&self.http, change)
    }
}

impl types::HostFields for WasiCtx {
    fn new(&mut self) -> Result<Resource<Fields>> {
        Ok(self.table.push(Fields::empty())?)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<Resource<Fields>, FieldsError> {
        let mut fields = Fields::empty();
        fields.change(&self.http, |changed| {
            let mut entries = entries.into_iter();
            entries.try_for_each(|(name, value)| {
                changed.append(self.name(&name)?, parse_value(value)?)
            })
        })?;
        Ok(self.table.push(fields)?)
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> Result<Vec<Vec<u8>>> {
        let fields = self.table.get(&fields)?;
        let Ok(name) = parse_name(&name) else {
            return Ok(Vec::new());
        };
        let values = fields.map.get_all(name).iter();
        Ok(values.map(|value| value.as_bytes().to_vec()).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> Result<bool> {
        let fields = self.table.get(&fields)?;
        Ok(parse_name(&name).is_ok_and(|name| fields.map.contains_key(name)))
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> Result<(), FieldsError> {
        let name = self.name(&name)?;
        let values = values.into_iter().map(parse_value);
        let values: Vec<_> = values.collect::<Result<_, _>>()?;
        self.change(&fields, |changed| {
            changed.remove(&name);
            let mut values = values.into_iter();
            values.try_for_each(|value| changed.append(name.clone(), value))
        })
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Result<(), FieldsError> {
        let name = self.name(&name)?;
        self.change(&fields, |changed| {
            changed.remove(&name);
            Ok(())
        })
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> Result<(), FieldsError> {
        let name = self.name(&name)?;
        let value = parse_value(value)?;
        self.change(&fields, |changed| changed.append(name, value))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> Result<Vec<(String, Vec<u8>)>> {
        let entries = self.table.get(&fields)?.map.iter();
        let entries =
            entries.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        Ok(entries.collect())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> Result<Resource<Fields>> {
        let map = Arc::new(HeaderMap::clone(&self.table.get(&fields)?.map));
        let claim = Some(self.http.claim_head(size_of(&map))?);
        let copy = Fields {
            map,
            is_mutable: true,
            claim,
        };
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> Result<()> {
        self.table.delete(fields)?;
        Ok(())
    }
}
