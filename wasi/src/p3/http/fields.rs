//! Headers and trailers: those of 0.2, with more words for what goes wrong.

use cwasm::{Resource, Result};

use super::bindings::wasi::http::types::{HeaderError, Host, HostFields};
use crate::ctx::WasiCtx;
use crate::http::types_of_0_2::{self as old, HostFields as Old};
use crate::http::{Fields, FieldsError};

impl Host for WasiCtx {
    fn convert_header_error(&mut self, error: FieldsError) -> Result<HeaderError> {
        match error {
            FieldsError::Kind(old::HeaderError::InvalidSyntax) => Ok(HeaderError::InvalidSyntax),
            FieldsError::Kind(old::HeaderError::Forbidden) => Ok(HeaderError::Forbidden),
            FieldsError::Kind(old::HeaderError::Immutable) => Ok(HeaderError::Immutable),
            FieldsError::TooLarge(_) => Ok(HeaderError::SizeExceeded),
            FieldsError::Trap(error) => Err(error),
        }
    }
}

impl HostFields for WasiCtx {
    fn new(&mut self) -> Result<Resource<Fields>> {
        Old::new(self)
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<Resource<Fields>, FieldsError> {
        Old::from_list(self, entries)
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> Result<Vec<Vec<u8>>> {
        Old::get(self, fields, name)
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> Result<bool> {
        Old::has(self, fields, name)
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> Result<(), FieldsError> {
        Old::set(self, fields, name, values)
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Result<(), FieldsError> {
        Old::delete(self, fields, name)
    }

    fn get_and_delete(
        &mut self,
        fields: Resource<Fields>,
        name: String,
    ) -> Result<Vec<Vec<u8>>, FieldsError> {
        let values = Old::get(self, Resource::new_borrow(fields.rep()), name.clone())?;
        Old::delete(self, fields, name)?;
        Ok(values)
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> Result<(), FieldsError> {
        Old::append(self, fields, name, value)
    }

    fn copy_all(&mut self, fields: Resource<Fields>) -> Result<Vec<(String, Vec<u8>)>> {
        Old::entries(self, fields)
    }

    fn clone(&mut self, fields: Resource<Fields>) -> Result<Resource<Fields>> {
        Old::clone(self, fields)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> Result<()> {
        Old::drop(self, fields)
    }
}
