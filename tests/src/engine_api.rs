//! A Docker engine asked as plainly as can be: HTTP through curl, JSON as it came. What the house itself understands
//! of an engine is under test elsewhere, so nothing of it is used here.

use serde_json::Value;
use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Where the engine under test listens.
pub const SOCKET: &str = "/var/run/docker.sock";
/// Label of what an appliance makes on a host; the value says which appliance.
pub const HELPER: &str = "io.holdfast.helper";
/// Version of the API in which is spoken: the one of Docker Engine 20.10.
const VERSION: &str = "v1.41";

/// One call; status and body. A body that is no JSON comes back as a string.
pub fn call(method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-g", "--unix-socket", SOCKET, "-X", method, "-w", "\n%{http_code}"]);
    if body.is_some() {
        command.args(["-H", "Content-Type: application/json", "--data-binary", "@-"]);
    }
    command.arg(format!("http://docker/{VERSION}{path}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("curl runs");
    let mut input = child.stdin.take().expect("its input is ours");
    if let Some(body) = body {
        input.write_all(body.to_string().as_bytes()).expect("curl reads");
    }
    drop(input);
    let output = child.wait_with_output().expect("curl ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or((&text, "0"));
    let status = status.trim().parse().unwrap_or(0);
    (status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())))
}

/// What the engine has at `path`; panics unless it answers 200.
pub fn get(path: &str) -> Value {
    let (status, body) = call("GET", path, None);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Makes something; panics with the engine's words unless it did.
pub fn make(path: &str, body: &Value) -> Value {
    let (status, answer) = call("POST", path, Some(body));
    assert!((200..300).contains(&status), "{path}: {status} {answer}\n{body}");
    answer
}

/// Starts a container by name.
pub fn start(name: &str) {
    let (status, answer) = call("POST", &format!("/containers/{name}/start"), None);
    assert!(matches!(status, 204 | 304), "{name} does not start: {status} {answer}");
}

/// Removes every container, volume and network whose name begins with `prefix`, helpers of the appliance not.
pub fn wipe(prefix: &str) {
    let names = |list: &Value, key: &str| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|item| item[key].as_str().map(str::to_owned)).collect()
    };
    for container in get("/containers/json?all=1").as_array().into_iter().flatten() {
        let mut own = container["Names"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if own.any(|name| name.trim_start_matches('/').starts_with(prefix)) {
            let id = container["Id"].as_str().unwrap_or_default();
            call("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        }
    }
    for volume in names(&get("/volumes")["Volumes"], "Name").iter().filter(|name| name.starts_with(prefix)) {
        call("DELETE", &format!("/volumes/{volume}?force=1"), None);
    }
    // Networks that take their settings from another one go before it.
    let mut networks: Vec<(bool, String)> = get("/networks")
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|network| Some((network["ConfigOnly"] == true, network["Name"].as_str()?.to_owned())))
        .filter(|(_, name)| name.starts_with(prefix))
        .collect();
    networks.sort();
    for (_, network) in networks {
        call("DELETE", &format!("/networks/{network}"), None);
    }
}

/// Containers of appliances that mount a volume or a path of the host that begins with `prefix`, as a listing tells them.
pub fn helpers(prefix: &str) -> Vec<Value> {
    let begins = |text: &Value| text.as_str().is_some_and(|text| text.starts_with(prefix));
    let mounts = |one: &Value| {
        let mut all = one["Mounts"].as_array().into_iter().flatten();
        all.any(|mount| begins(&mount["Name"]) || begins(&mount["Source"]))
    };
    let listed = get("/containers/json?all=1");
    let all = listed.as_array().into_iter().flatten();
    all.filter(|one| one["Labels"][HELPER].is_string() && mounts(one)).cloned().collect()
}

/// Removes them: those of an appliance that was killed would keep what they mount.
pub fn wipe_helpers(prefix: &str) {
    for helper in helpers(prefix) {
        let id = helper["Id"].as_str().unwrap_or_default();
        call("DELETE", &format!("/containers/{id}?force=1"), None);
    }
}
