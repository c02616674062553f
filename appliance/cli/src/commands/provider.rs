//! What a provider does: tenants.

use super::Desk;
use crate::{args::TenantCommand, outcome::Outcome};

/// `provider tenant …`.
pub async fn tenant(_desk: &Desk, _command: TenantCommand) -> Outcome {
    Err(holdfast_model::Error::bug("the provider's room is not connected").into())
}
