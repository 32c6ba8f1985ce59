//! The operators' interface: JSON over HTTPS with mutual TLS, on a port of its own.
//!
//! | request | does | answers |
//! | --- | --- | --- |
//! | `GET /v1/groups?after=NAME&limit=N` | lists groups, by name | [`api::GroupView`]s without policy |
//! | `POST /v1/groups` [`api::CreateGroup`] | creates a group | 201, [`api::GroupView`] |
//! | `GET /v1/groups/NAME` | shows one | [`api::GroupView`] |
//! | `DELETE /v1/groups/NAME` | destroys it | 204 |
//! | `PUT /v1/groups/NAME/policy` policy | replaces its policy | [`api::GroupView`] |
//! | `POST /v1/groups/NAME/rotate` | gives it a new key with the next batch | 202 |
//! | `POST /v1/groups/NAME/rollover` [`api::RollOver`] | replaces all its keys, under the newest master, in another suite if one is named | [`api::GroupView`] once that is on record |
//! | `POST /v1/groups/NAME/freeze` [`api::Freeze`] | admits nobody to it any more; everything else goes on | [`api::GroupView`] once that is on record |
//! | `POST /v1/groups/NAME/thaw` | admits whoever its policy admits again | [`api::GroupView`] once that is on record |
//! | `GET /v1/groups/NAME/members?after=N&limit=N` | lists members, by number | [`api::MemberView`]s |
//! | `POST /v1/groups/NAME/evict` [`api::Evict`] | evicts members | 204 once that is on record |
//! | `GET /v1/policies` | lists rules, default and documents: where they are from, since when, what was refused | [`api::PolicyView`]s |
//! | `GET /v1/token` | shows the tokens and the last rotation | [`api::TokenView`] |
//! | `POST /v1/token/rotate-master` [`api::RotateMaster`] | rolls every group onto the newest master, then destroys the older ones | 202, [`api::TokenView`] |
//! | `GET /v1/upstream` | shows the key store upstream, and how far what goes to it is behind | [`api::UpstreamView`] |
//! | `GET /v1/siem` | shows how far what follows the audit trail besides is behind | [`api::SinkView`]s |
//! | `GET /v1/overview` | shows all of it at one moment: groups by activity, how long rekeys take, tokens, the slowest members | [`api::OverviewView`] |
//! | `GET /v1/groups/NAME/members/WHO` | traces a member, by its number or its identity: how it is reached, what it holds, why it was refused | [`api::TraceView`] |
//! | `GET /v1/lacking?group=NAME&after=NEXT` | lists who did not acknowledge the newest epoch, of one group or of all | [`api::LackingView`] |
//! | `POST /v1/reload` | reads the configuration and its files anew | [`api::ReloadView`] |
//! | `POST /v1/drain` [`api::StartDrain`] | sends members away, and ends the gateway | 202, [`api::DrainView`] |
//! | `GET /v1/log` | tells what is logged | [`api::LogView`] |
//! | `POST /v1/log` [`api::SetLog`] | has something else logged, for a time or until a restart | [`api::LogView`] |
//! | `GET /` | shows the overview in a browser | HTML |
//! | `GET /livez` | says whether the gateway's loops answer | 200 or 503, [`api::Live`] |
//! | `GET /readyz` | says whether members can be admitted, and all that stands against it | 200 or 503, [`api::Ready`] |
//! | `GET /metrics` | writes down all metrics | OpenMetrics 1.0 for who accepts that, else Prometheus' text format |
//!
//! A page that is shorter than its limit is the last one; the next page comes `after` the last entry. A policy names what
//! differs from the default. The policy of a group that has a document upstream is that document's: setting another, or creating the
//! group with another, answers 409. Whatever fails answers [`api::Failure`].
//!
//! Who may do what is decided by role: *monitors* ask for `/metrics`, `/livez` and `/readyz`, *viewers* for whatever is read, *operators*
//! do everything. Roles are lists of identities; whoever is on none of them, or lacks a role, is told which one is needed, with 403.
//! `/livez` and `/readyz` are answered without a certificate too, at an address of their own, if there is one: balancers and service
//! managers have none. There they name parts, and nothing of what is wrong with them.
//! Every change is logged with the operator's identity. Browsers may look, and that on the page of this interface alone: a request
//! that names an `Origin`, or that a browser says is another site's or changes anything, is refused, so that no page can use a
//! certificate that an operator's browser holds.

pub mod api;
mod browser;
mod control;
mod error;
mod health;
mod metrics;
mod overview;
mod policy;
pub mod role;
mod routes;
mod server;
mod siem;
#[cfg(test)]
mod tests;
mod token;
mod trace;
mod upstream;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::audit::Audit;
use crate::policy::documents::Book;
use crate::tls::{Credentials, Trust};

pub use crate::https::StartError;
pub use control::{Control, MAX_ORDERS, Order};
pub use health::{Pulse, Vital};
use role::Appointments;
pub use server::AdminServer;

/// What the admin interface needs to know.
pub struct Options {
    /// The gateway's certificate.
    pub credentials: Credentials,
    /// Who issues the operators' certificates.
    pub trust: Trust,
    /// Who has which role; replaced while it runs.
    pub appointments: Arc<ArcSwap<Appointments>>,
    /// The policies of groups that have a document, and of those that are created without one of their own.
    pub book: Arc<Book>,
    /// Where calls are put on record, if anywhere.
    pub audit: Option<Audit>,
    /// Writes down all metrics.
    pub metrics: Metrics,
    /// How the key store upstream is, if there is one.
    pub upstream: Option<Upstream>,
    /// How far what follows the audit trail besides is behind.
    pub siem: Siem,
    /// Where orders to the gateway as a whole go, and what health depends on.
    pub control: Control,
}

/// What a scrape is answered with.
pub type Metrics = Arc<dyn Fn(Format) -> String + Send + Sync>;

/// How metrics are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, 0.0.4.
    Text,
    /// OpenMetrics' text format, 1.0.0.
    OpenMetrics,
}

/// How the key store upstream is.
pub type Upstream = Arc<dyn Fn() -> api::UpstreamView + Send + Sync>;

/// How far log server, collector and Splunk are behind, as far as they are configured.
pub type Siem = Arc<dyn Fn() -> Vec<api::SinkView> + Send + Sync>;
