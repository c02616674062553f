//! IAM's query API as far as providers need it: users, their policies, their keys. AWS, SeaweedFS and
//! Ceph accounts speak it on different addresses and each leaves something out (`bucket.not_supported`).

use crate::{
    signed::{Call, Caller, element},
    wire::{Patience, Reach},
};
use bytes::Bytes;
use holdfast_model::{Error, Kind, Result, Secret};

/// Where AWS keeps IAM.
const AWS_IAM: &str = "https://iam.amazonaws.com";
/// IAM at AWS is signed for this region wherever one is.
const AWS_IAM_REGION: &str = "us-east-1";
const VERSION: &str = "2010-05-08";

/// A key pair of a user; `Debug` does not show the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Access key id.
    pub id: String,
    /// Secret access key.
    pub secret: Secret,
}

/// IAM with one account's rights.
#[derive(Debug)]
pub struct Iam {
    caller: Caller,
    url: String,
}

impl Iam {
    /// IAM at `endpoint`, or where the reach's own endpoint is, or at AWS. Touches no network.
    pub fn open(reach: &Reach, endpoint: Option<&str>) -> Result<Iam> {
        let base = endpoint.or(reach.endpoint.as_deref()).unwrap_or(AWS_IAM).trim_end_matches('/');
        let mut reach = reach.clone();
        if base == AWS_IAM {
            reach.region = AWS_IAM_REGION.to_owned();
        }
        reach.endpoint = Some(base.to_owned());
        let caller = Caller::new(&reach, format!("IAM at {base}"), Patience::default())?;
        Ok(Iam { caller, url: format!("{base}/") })
    }

    /// Makes a user. `bucket.exists` if there is one of that name.
    pub async fn create_user(&self, user: &str) -> Result<()> {
        self.act("CreateUser", &[("UserName", user)]).await.map(drop)
    }

    /// Removes a user that has neither keys nor policies.
    pub async fn delete_user(&self, user: &str) -> Result<()> {
        self.act("DeleteUser", &[("UserName", user)]).await.map(drop)
    }

    /// Makes a managed policy and returns its ARN.
    pub async fn create_policy(&self, name: &str, document: &str) -> Result<String> {
        let xml = self.act("CreatePolicy", &[("PolicyName", name), ("PolicyDocument", document)]).await?;
        self.need(&xml, "Arn")
    }

    /// Removes a managed policy that nobody has.
    pub async fn delete_policy(&self, arn: &str) -> Result<()> {
        self.act("DeletePolicy", &[("PolicyArn", arn)]).await.map(drop)
    }

    /// Gives a user a managed policy.
    pub async fn attach_user_policy(&self, user: &str, arn: &str) -> Result<()> {
        self.act("AttachUserPolicy", &[("UserName", user), ("PolicyArn", arn)]).await.map(drop)
    }

    /// Takes a managed policy from a user.
    pub async fn detach_user_policy(&self, user: &str, arn: &str) -> Result<()> {
        self.act("DetachUserPolicy", &[("UserName", user), ("PolicyArn", arn)]).await.map(drop)
    }

    /// Writes a policy into a user, for stores without managed ones.
    pub async fn put_user_policy(&self, user: &str, name: &str, document: &str) -> Result<()> {
        let with = [("UserName", user), ("PolicyName", name), ("PolicyDocument", document)];
        self.act("PutUserPolicy", &with).await.map(drop)
    }

    /// Removes a policy written into a user.
    pub async fn delete_user_policy(&self, user: &str, name: &str) -> Result<()> {
        self.act("DeleteUserPolicy", &[("UserName", user), ("PolicyName", name)]).await.map(drop)
    }

    /// Makes a key pair; the secret is told only this once.
    pub async fn create_access_key(&self, user: &str) -> Result<AccessKey> {
        let xml = self.act("CreateAccessKey", &[("UserName", user)]).await?;
        Ok(AccessKey { id: self.need(&xml, "AccessKeyId")?, secret: Secret::new(self.need(&xml, "SecretAccessKey")?) })
    }

    /// Ids of a user's keys.
    pub async fn list_access_keys(&self, user: &str) -> Result<Vec<String>> {
        let xml = self.act("ListAccessKeys", &[("UserName", user)]).await?;
        let pieces = xml.split("<AccessKeyId>").skip(1).filter_map(|piece| piece.split_once("</AccessKeyId>"));
        Ok(pieces.map(|(id, _)| id.trim().to_owned()).collect())
    }

    /// Removes a key pair.
    pub async fn delete_access_key(&self, user: &str, id: &str) -> Result<()> {
        self.act("DeleteAccessKey", &[("UserName", user), ("AccessKeyId", id)]).await.map(drop)
    }

    /// Lists users: says whether this account may use IAM at all.
    pub async fn list_users(&self) -> Result<()> {
        self.act("ListUsers", &[]).await.map(drop)
    }

    async fn act(&self, action: &str, with: &[(&str, &str)]) -> Result<String> {
        let mut form = format!("Action={action}&Version={VERSION}");
        for (name, value) in with {
            form.push_str(&format!("&{name}={}", encode(value)));
        }
        let call = Call {
            service: "iam",
            method: "POST",
            url: &self.url,
            headers: vec![("content-type", "application/x-www-form-urlencoded".to_owned())],
            body: Bytes::from(form),
            claimed_hash: None,
        };
        self.caller.text(call).await.map_err(|error| error.while_doing(format!("ask IAM for {action}")))
    }

    fn need(&self, xml: &str, name: &str) -> Result<String> {
        element(xml, name).filter(|text| !text.is_empty()).ok_or_else(|| {
            let what = format!("{} gave an answer without {name}", self.caller.place());
            Error::new(Kind::Unavailable, "bucket.odd_answer", what)
        })
    }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_carry_any_text() {
        assert_eq!(encode("a b&c=ä/{\"x\"}"), "a%20b%26c%3D%C3%A4%2F%7B%22x%22%7D");
    }
}
