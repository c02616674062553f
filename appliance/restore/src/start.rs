//! Starts containers in order, waiting for what compose said to wait for, and looks whether they stand.

use crate::{
    carry::Hand,
    deed::{Await, ContainerDeed},
    json::{text, truth},
    replay,
    streams::{go_on, stopped},
};
use holdfast_model::{Error, Kind, Problem, Result};
use serde_json::Value;
use std::time::Duration;

/// Longest wait for one dependency; then its dependents are started all the same, and it is named.
const WAIT_LIMIT: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// After the last start, before looking whether all run: a program that cannot start ends at once.
const SETTLE: Duration = Duration::from_millis(700);

/// Starts those that ran. `ids[i]` belongs to `deeds[i]`.
pub(crate) async fn start(hand: &Hand, deeds: &[ContainerDeed], ids: &[String]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut is_started = false;
    for (deed, id) in deeds.iter().zip(ids) {
        if !deed.start {
            continue;
        }
        for (other, wait) in deed.after.iter().filter(|(other, _)| deeds[*other].start) {
            problems.extend(wait_for(hand, &deeds[*other].name, &ids[*other], *wait).await?);
        }
        go_on(&hand.stop)?;
        hand.source.item(&deed.name);
        hand.engine.container_start(id).await.map_err(|error| refused(error, &deed.name))?;
        is_started = true;
        for each in &deed.replays {
            problems.extend(replay::replay(hand, &deed.name, id, each).await?);
        }
    }
    if is_started {
        tokio::time::sleep(SETTLE).await;
    }
    for (deed, id) in deeds.iter().zip(ids).filter(|(deed, _)| deed.start) {
        problems.extend(look(hand, &deed.name, id).await?);
    }
    Ok(problems)
}

fn refused(error: Error, name: &str) -> Error {
    let words = match error.code() {
        "port.taken" => {
            format!("{name} could not be started: a host port that it publishes is taken by a program outside Docker")
        }
        _ => format!("{name} could not be started"),
    };
    error.while_doing(words)
}

pub(crate) async fn inspect(hand: &Hand, id: &str) -> Result<Value> {
    serde_json::from_str(&hand.engine.container_inspect(id).await?).map_err(|error| {
        Error::new(Kind::Corrupt, "inspect.malformed", "the host described a container in no JSON").caused_by(error)
    })
}

/// Waits for a dependency as far as its dependents asked.
async fn wait_for(hand: &Hand, name: &str, id: &str, wait: Await) -> Result<Option<Problem>> {
    if wait == Await::Started {
        return Ok(None);
    }
    let deadline = tokio::time::Instant::now() + WAIT_LIMIT;
    loop {
        let state = inspect(hand, id).await?;
        if is_reached(&state, wait) {
            return Ok(None);
        }
        let has_ended = !truth(&state, "/State/Running") && !truth(&state, "/State/Restarting");
        if has_ended || tokio::time::Instant::now() >= deadline {
            let what = if wait == Await::Healthy { "did not become healthy" } else { "did not complete" };
            let message = format!("{name} {what} in time; what depends on it was started all the same");
            let problem = Problem::warning("container.not_ready", name, message);
            return Ok(Some(problem.advice(format!("Look at the log of {name}."))));
        }
        tokio::select! {
            () = hand.stop.cancelled() => return Err(stopped()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn is_reached(inspect: &Value, wait: Await) -> bool {
    match wait {
        Await::Started => true,
        // One without a healthcheck cannot become healthy; running is all there is to wait for.
        Await::Healthy => match text(inspect, "/State/Health/Status") {
            "" | "none" => truth(inspect, "/State/Running"),
            status => status == "healthy",
        },
        Await::Completed => {
            text(inspect, "/State/Status") == "exited"
                && inspect.pointer("/State/ExitCode").and_then(Value::as_i64) == Some(0)
        }
    }
}

/// Names a container that ended right after its start.
async fn look(hand: &Hand, name: &str, id: &str) -> Result<Option<Problem>> {
    let state = match inspect(hand, id).await {
        Ok(state) => state,
        // It removes itself when it ends.
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let code = state.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or(0);
    let is_restarting = truth(&state, "/State/Restarting");
    let is_well = truth(&state, "/State/Running") || code == 0;
    if is_well && !is_restarting {
        return Ok(None);
    }
    let message = format!("{name} was started and ended at once with code {code}; its data is restored");
    let problem = Problem::warning("container.exited", name, message);
    Ok(Some(problem.advice(format!("Look at the log of {name}."))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn health_and_completion_are_read_from_the_state() {
        let state = |value: Value| json!({ "State": value });
        let healthy = state(json!({"Running": true, "Health": {"Status": "healthy"}}));
        let starting = state(json!({"Running": true, "Health": {"Status": "starting"}}));
        let plain = state(json!({"Running": true}));
        let done = state(json!({"Status": "exited", "ExitCode": 0}));
        assert!(is_reached(&healthy, Await::Healthy) && !is_reached(&starting, Await::Healthy));
        assert!(is_reached(&plain, Await::Healthy) && !is_reached(&plain, Await::Completed));
        assert!(is_reached(&done, Await::Completed));
    }
}
