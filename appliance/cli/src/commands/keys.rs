//! `key …`: the ways to open the backups, for people who must know what each of them means.

use super::Desk;
use crate::{
    args::Rotation,
    client::part,
    files,
    outcome::{DONE, Outcome, PROBLEMS},
    words,
};
use holdfast_chunk::escrow::{PrivateKey, PublicKey};
use holdfast_model::{
    Error, Kind, Secret,
    view::{EscrowRequest, KeysChange, KeysView, PassphraseRequest, StepUp},
};
use serde_json::json;
use std::path::Path;

/// `key list`.
pub async fn list(desk: &Desk) -> Outcome {
    let view: KeysView = desk.client.get("/keys").await?;
    desk.output.show(&view, words::keys);
    Ok(DONE)
}

/// `key add passphrase --name NAME [--passphrase-file FILE]`.
pub async fn add_passphrase(desk: &Desk, name: String, file: Option<&Path>) -> Outcome {
    let passphrase = passphrase(desk, file)?.reveal().to_owned();
    let request = PassphraseRequest { name: Some(name), passphrase, password: None };
    let change: KeysChange = desk.client.post("/keys/passphrases", &request).await?;
    Ok(done(desk, &change, "the passphrase opens the backups from now on"))
}

/// `key change ID [--passphrase-file FILE]`.
pub async fn change(desk: &Desk, id: &str, file: Option<&Path>) -> Outcome {
    let passphrase = passphrase(desk, file)?.reveal().to_owned();
    let request = PassphraseRequest { name: None, passphrase, password: None };
    let change: KeysChange = desk.client.put(&format!("/keys/{}", part(id)), &request).await?;
    Ok(done(desk, &change, "the new passphrase counts; who used the old one keeps what he has read"))
}

/// `key remove ID` and `key escrow remove ID`.
pub async fn remove(desk: &Desk, id: &str, yes: bool) -> Outcome {
    let question = format!(
        "Remove {id}? Its owner opens the backups with it no longer, but may have kept the root key or a copy.\n\
         To shut him out of what is written from now on, run holdfast key rotate afterwards."
    );
    agree(desk, yes, &question, &format!("{id} was not removed"))?;
    let change: KeysChange = desk.client.delete_for(&format!("/keys/{}", part(id))).await?;
    Ok(done(desk, &change, &format!("{id} is removed; what its owner has read already stays read")))
}

/// `key rotate [epoch|recovery] --output FILE`.
pub async fn rotate(desk: &Desk, what: Rotation, to: &Path, yes: bool) -> Outcome {
    let (path, question, said) = match what {
        Rotation::Epoch => (
            "/keys/rotate",
            "Begin a new key epoch? What is written from now on opens only with the ways in that key list shows, and\n\
             with a new kit. What was written before stays readable to whoever knew the old keys. The old kit opens nothing.",
            "a new key epoch has begun",
        ),
        Rotation::Recovery => (
            "/keys/recovery",
            "Make a new recovery key? The old kit opens nothing any more; who has used it keeps what he has read.",
            "the recovery key is new",
        ),
    };
    agree(desk, yes, question, "the keys were not changed")?;
    // Before the old kit is retired: a file that cannot be written would leave nobody with the new one.
    if to != Path::new("-") {
        files::try_new(to)?;
    }
    let change: KeysChange = desk.client.post(path, &StepUp::default()).await?;
    let kit = change.kit.as_ref().ok_or_else(|| Error::bug("the appliance sent no kit"))?;
    if to == Path::new("-") {
        desk.output.show(&change, |_| kit.text.clone());
        words::problem_lines(&change.problems).iter().for_each(|line| desk.output.talk(line));
        return Ok(code(&change));
    }
    files::write_new(to, &kit.text)?;
    let shown = json!({ "id": change.id, "file": to, "problems": change.problems });
    desk.output.show(&shown, |_| {
        let mut lines = vec![format!(
            "{said}. The new recovery kit is in {}: keep it away from this machine, destroy the old one, then run \
             holdfast key confirm.",
            to.display()
        )];
        lines.extend(words::problem_lines(&change.problems));
        lines.join("\n")
    });
    Ok(code(&change))
}

/// `key escrow add FILE --name NAME`.
pub async fn escrow_add(desk: &Desk, file: &Path, name: String, yes: bool) -> Outcome {
    let public_key = files::read(file)?;
    let fingerprint = PublicKey::from_pem(&public_key)?.fingerprint();
    let question = format!(
        "Let {name} open every backup of this appliance with the private half of the key {fingerprint}?\n\
         Compare the fingerprint with its owner on another way than the file came."
    );
    agree(desk, yes, &question, "nothing was entrusted")?;
    let request = EscrowRequest { name, public_key, password: None };
    let change: KeysChange = desk.client.post("/keys/escrow", &request).await?;
    Ok(done(desk, &change, &format!("the owner of the key {fingerprint} can open the backups from now on")))
}

/// `key escrow pair --output FILE`: in this process, without an appliance.
pub fn escrow_pair(desk: &Desk, to: &Path) -> Outcome {
    let private = PrivateKey::generate();
    files::write_new(to, &private.to_pem())?;
    let public = private.public();
    let shown = json!({ "file": to, "public_key": public.to_pem(), "fingerprint": public.fingerprint() });
    desk.output.talk(&format!("The private half is in {}; fingerprint {}", to.display(), public.fingerprint()));
    desk.output.show(&shown, |_| public.to_pem());
    Ok(DONE)
}

fn agree(desk: &Desk, yes: bool, question: &str, what: &str) -> Result<(), Error> {
    if yes || desk.output.agrees(question) {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "key.unconfirmed", format!("{what}: nobody agreed")).advice("Say --yes to agree."))
}

/// From a file or stdin its first line; from a terminal, twice and unseen. Never from an argument.
fn passphrase(desk: &Desk, file: Option<&Path>) -> Result<Secret, Error> {
    if let Some(file) = file {
        return files::first_line(file);
    }
    let first = desk.output.ask_secret("New passphrase: ")?;
    if first != desk.output.ask_secret("The same again: ")? {
        return Err(Error::invalid("passphrase.differs", "the two passphrases differ"));
    }
    Ok(first)
}

fn done(desk: &Desk, change: &KeysChange, said: &str) -> i32 {
    desk.output.show(change, |change| {
        let mut lines = vec![format!("{said} ({})", change.id)];
        lines.extend(words::problem_lines(&change.problems));
        lines.join("\n")
    });
    code(change)
}

fn code(change: &KeysChange) -> i32 {
    if change.problems.is_empty() { DONE } else { PROBLEMS }
}
