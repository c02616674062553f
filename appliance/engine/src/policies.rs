//! Policies and what they are assigned to.
//!
//! Invariants: a policy in use is never removed; an act that could not have its effect is refused,
//! not silently accepted.

use crate::{
    alarms,
    apps::{Cover, Facts},
    backup,
    house::House,
    words::meant,
};
use holdfast_model::{
    Error, Kind, Result,
    policy::Policy,
    settings::Settings,
    view::{AppView, PolicyView},
};

/// Policies a settings document may hold; more is a script gone wrong.
const POLICIES_MAX: usize = 200;

/// All, by name.
pub fn list(house: &House) -> Vec<PolicyView> {
    let facts = Facts::gather(house);
    let ids = facts.ids();
    let covered = |policy: &Policy| {
        let is_covered = |id: &&String| matches!(facts.cover(id), Cover::Policy(by) if by.name == policy.name);
        ids.iter().filter(is_covered).cloned().collect()
    };
    facts
        .settings
        .policies
        .values()
        .map(|policy| PolicyView { policy: policy.clone(), apps: covered(policy) })
        .collect()
}

/// Makes or changes a policy.
pub async fn put(house: &House, policy: Policy) -> Result<PolicyView> {
    policy.validate()?;
    let name = policy.name.clone();
    let before = Facts::gather(house);
    house
        .change_settings(|settings| {
            if settings.policies.len() >= POLICIES_MAX && !settings.policies.contains_key(&policy.name) {
                return Err(Error::invalid("policy.too_many", "there are too many policies; remove some first"));
            }
            settings.policies.insert(policy.name.clone(), policy);
            Ok(())
        })
        .await?;
    alarms::decided(house, &before);
    let made = list(house).into_iter().find(|view| view.policy.name == name);
    made.ok_or_else(|| unknown(&house.settings(), &name))
}

/// Removes a policy that nothing uses. `Conflict` (`policy.in_use`) otherwise.
pub async fn remove(house: &House, name: &str) -> Result<()> {
    let users = list(house).into_iter().find(|view| view.policy.name == name).map(|view| view.apps).unwrap_or_default();
    house
        .change_settings(|settings| {
            if !settings.policies.contains_key(name) {
                return Err(unknown(settings, name));
            }
            let assigned =
                settings.assignments.iter().filter(|(_, policy)| *policy == name).map(|(app, _)| app.clone());
            let mut apps: Vec<String> = assigned.chain(users).collect();
            apps.sort();
            apps.dedup();
            if !apps.is_empty() {
                let words = format!("the policy {name} still covers {}", apps.join(", "));
                return Err(Error::new(Kind::Conflict, "policy.in_use", words)
                    .advice("Assign these apps another policy first."));
            }
            settings.policies.remove(name);
            Ok(())
        })
        .await
}

/// Assigns a policy to an app, or takes it off.
pub async fn assign(house: &House, asked: &str, policy: Option<&str>) -> Result<AppView> {
    let (facts, app) = backup::find(house, asked).await?;
    let label = facts.seen(&app).and_then(|(_, seen)| seen.label.clone());
    house
        .change_settings(|settings| {
            match policy {
                Some(name) if !settings.policies.contains_key(name) => return Err(unknown(settings, name)),
                Some(name) => drop(settings.assignments.insert(app.clone(), name.to_owned())),
                None if settings.assignments.remove(&app).is_none() => {
                    if let Some(label) = label {
                        let words = format!("a label on {app} assigns the policy {label}; it cannot be taken off here");
                        return Err(Error::new(Kind::Refused, "policy.by_label", words)
                            .advice("Change the label holdfast.policy, or set holdfast.enable=false."));
                    }
                }
                None => {}
            }
            Ok(())
        })
        .await?;
    alarms::decided(house, &facts);
    Ok(Facts::gather(house).view(&app))
}

fn unknown(settings: &Settings, name: &str) -> Error {
    let advice = meant(name, "There are", settings.policies.keys().map(String::as_str));
    Error::not_found("policy.unknown", format!("there is no policy “{name}”")).advice(advice)
}
