//! How long the parts of an exchange may take.

use cwasm::{Resource, Result};

use super::bindings::wasi::http::types::{HostRequestOptions, RequestOptionsError};
use crate::ctx::WasiCtx;
use crate::http::RequestOptions as Values;

/// How long the parts of an exchange may take, as a guest says it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestOptions {
    pub(super) values: Values,
    /// Whether they belong to a request.
    pub(super) is_immutable: bool,
}

impl WasiCtx {
    fn set(
        &mut self,
        options: &Resource<RequestOptions>,
        set: impl FnOnce(&mut Values),
    ) -> Result<Result<(), RequestOptionsError>> {
        let options = self.table.get_mut(options)?;
        if options.is_immutable {
            return Ok(Err(RequestOptionsError::Immutable));
        }
        set(&mut options.values);
        Ok(Ok(()))
    }
}

impl HostRequestOptions for WasiCtx {
    fn new(&mut self) -> Result<Resource<RequestOptions>> {
        Ok(self.table.push(RequestOptions::default())?)
    }

    fn get_connect_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.values.connect)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> Result<Result<(), RequestOptionsError>> {
        self.set(&options, |values| values.connect = duration)
    }

    fn get_first_byte_timeout(&mut self, options: Resource<RequestOptions>) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.values.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> Result<Result<(), RequestOptionsError>> {
        self.set(&options, |values| values.first_byte = duration)
    }

    fn get_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
    ) -> Result<Option<u64>> {
        Ok(self.table.get(&options)?.values.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<RequestOptions>,
        duration: Option<u64>,
    ) -> Result<Result<(), RequestOptionsError>> {
        self.set(&options, |values| values.between_bytes = duration)
    }

    fn clone(&mut self, options: Resource<RequestOptions>) -> Result<Resource<RequestOptions>> {
        let values = self.table.get(&options)?.values;
        Ok(self.table.push(RequestOptions {
            values,
            is_immutable: false,
        })?)
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}
