//! The few calls of IAM that a provider makes, over the same state. Signatures are not checked here; the
//! access key decides.

use super::{Shared, state::User};
use std::collections::BTreeMap;

/// An answer: status and XML.
pub(super) type Answer = (u16, String);

/// Acts on a form body; only the administrator may.
pub(super) fn act(shared: &Shared, access_key: &str, form: &[u8]) -> Answer {
    let form = fields(&String::from_utf8_lossy(form));
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let mut state = shared.state();
    let owner = state.keys.get(access_key).cloned();
    let admin = owner.as_ref().is_some_and(|key| key.user.is_none());
    let for_itself = shared.quirks.own_keys
        && field("Action") == "CreateAccessKey"
        && owner.is_some_and(|key| key.user == Some(field("UserName")));
    if !admin && !for_itself && !shared.quirks.open_doors {
        return refusal(403, "AccessDenied");
    }
    let (user, policy, document) = (field("UserName"), field("PolicyName"), field("PolicyDocument"));
    let (arn, action) = (field("PolicyArn"), field("Action"));
    if shared.quirks.inline_policies_only && matches!(action.as_str(), "CreatePolicy" | "AttachUserPolicy") {
        return refusal(405, "MethodNotAllowed");
    }
    match action.as_str() {
        "ListUsers" => done(""),
        "CreateUser" if state.users.contains_key(&user) => refusal(409, "EntityAlreadyExists"),
        "CreateUser" => {
            state.users.insert(user, User::default());
            done("")
        }
        "CreatePolicy" => {
            let arn = format!("arn:aws:iam:::policy/{policy}");
            state.policies.insert(arn.clone(), document);
            done(&format!("<Policy><Arn>{arn}</Arn></Policy>"))
        }
        "DeletePolicy" => done_if(state.policies.remove(&arn).is_some()),
        "CreateAccessKey" if state.users.contains_key(&user) => {
            let (id, secret) = state.make_key(&user);
            done(&format!(
                "<AccessKey><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey></AccessKey>"
            ))
        }
        "ListAccessKeys" => {
            let own = state.keys.iter().filter(|(_, key)| key.user.as_ref() == Some(&user));
            done(&own.map(|(id, _)| format!("<member><AccessKeyId>{id}</AccessKeyId></member>")).collect::<String>())
        }
        "DeleteAccessKey" => done_if(state.keys.remove(&field("AccessKeyId")).is_some()),
        "DeleteUser" if state.keys.values().any(|key| key.user.as_ref() == Some(&user)) => {
            refusal(409, "DeleteConflict")
        }
        "DeleteUser" => done_if(state.users.remove(&user).is_some()),
        "AttachUserPolicy" | "DetachUserPolicy" | "PutUserPolicy" | "DeleteUserPolicy" => {
            let Some(user) = state.users.get_mut(&user) else { return refusal(404, "NoSuchEntity") };
            match action.as_str() {
                "AttachUserPolicy" => user.attached.push(arn),
                "DetachUserPolicy" => user.attached.retain(|attached| *attached != arn),
                "PutUserPolicy" => drop(user.inline.insert(policy, document)),
                _ => drop(user.inline.remove(&policy)),
            }
            done("")
        }
        _ => refusal(400, "InvalidAction"),
    }
}

fn done(inside: &str) -> Answer {
    (200, format!("<Response>{inside}</Response>"))
}

fn done_if(found: bool) -> Answer {
    if found { done("") } else { refusal(404, "NoSuchEntity") }
}

fn refusal(status: u16, code: &str) -> Answer {
    (status, format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"))
}

fn fields(form: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), decode(value)));
    form.split('&').filter_map(pair).collect()
}

fn decode(text: &str) -> String {
    let (bytes, mut out, mut place) = (text.as_bytes(), Vec::new(), 0);
    while place < bytes.len() {
        let escaped = text.get(place + 1..place + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[place], escaped) {
            (b'%', Some(byte)) => {
                out.push(byte);
                place += 3;
            }
            (byte, _) => {
                out.push(if byte == b'+' { b' ' } else { byte });
                place += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
