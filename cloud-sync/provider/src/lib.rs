//! What a service provider does: makes tenants, each with a bucket of its own and a key that opens nothing
//! else, and hands them over as signed enrolment bundles.
//!
//! Lives here: the provider's folder ([`Provider`]), the ways to make buckets and keys ([`Driver`]), the proof
//! that a key is walled in, [`bundle`], and the look at a bucket that needs no key of the tenant's ([`scrub()`]). Never here: data keys,
//! tenants' data, anything that runs at a tenant's.
//!
//! Invariants: a tenant is handed out only after its key was tried at everything it must not reach and was
//! refused; what a failed act has made is removed again; the folder keeps no tenant's secret.

pub mod bundle;
mod driver;
#[doc(hidden)]
pub mod fuzzing;
mod ledger;
mod names;
mod provider;
mod rights;
mod scrub;
mod tenant;
mod wall;

pub use driver::{Driver, IamDriver};
pub use provider::Provider;
pub use scrub::{ScrubClass, ScrubRequest, ScrubView, scrub};
pub use tenant::{Created, TenantRequest, TenantView};
