//! Looking up names (`wasi:sockets/ip-name-lookup`).

use cwasm::{Access, Result};

use super::values::name_code;
use crate::bindings::wasi::sockets::network::IpAddress;
use crate::ctx::WasiCtx;
use crate::p3::bindings::wasi::sockets::ip_name_lookup::{ErrorCode, Host};
use crate::sockets::{Name, SocketError};

impl Host for WasiCtx {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        error.code().map(name_code)
    }

    async fn resolve_addresses<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        name: String,
    ) -> Result<Vec<IpAddress>, SocketError> {
        let (name, place, pool) = access.with(|ctx| {
            let name = Name::new(&name, &ctx.network)?;
            Ok::<_, SocketError>((name, ctx.open_files.place()?, ctx.pool.clone()))
        })?;
        // A look-up opens files and sockets itself. It goes on if the guest cancels the call, so
        // that the place is its own.
        let look_up = move || {
            let found = name.look_up();
            drop(place);
            found
        };
        let addresses = pool.run(look_up).await?;
        Ok(addresses.into_iter().map(Into::into).collect())
    }
}
