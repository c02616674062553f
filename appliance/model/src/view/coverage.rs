//! What is not protected, and why.

use crate::{Moment, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether a policy covers an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoverState {
    /// A policy does.
    Covered,
    /// None does.
    Nobody,
    /// It is excluded by its own label.
    Excluded,
    /// A label or assignment names a policy that does not exist.
    UnknownPolicy,
}

/// One app.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppCoverage {
    /// `host/name`.
    pub id: String,
    /// Whether a policy covers it.
    pub state: CoverState,
    /// That policy, or the one that does not exist.
    pub policy: Option<String>,
    /// What a backup of it leaves out.
    pub gaps: Vec<Problem>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostCoverage {
    /// Its registered name.
    pub host: String,
    /// Why it could not be asked; its apps are then those that were last seen, without gaps.
    pub error: Option<String>,
    /// Its apps, by name.
    pub apps: Vec<AppCoverage>,
    /// What belongs to no app.
    pub gaps: Vec<Problem>,
}

/// Everything on every host, protected or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CoverageView {
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub time: Moment,
    /// Hosts, by name.
    pub hosts: Vec<HostCoverage>,
}

impl CoverageView {
    /// Whether nothing is left to see to: every host answers, a policy covers every app that is not excluded on purpose, and
    /// nothing worse than a note is left out.
    pub fn is_whole(&self) -> bool {
        let fine = |gaps: &[Problem]| gaps.iter().all(|gap| gap.severity == crate::Severity::Note);
        let app =
            |app: &AppCoverage| matches!(app.state, CoverState::Covered | CoverState::Excluded) && fine(&app.gaps);
        self.hosts.iter().all(|host| host.error.is_none() && fine(&host.gaps) && host.apps.iter().all(app))
    }
}
