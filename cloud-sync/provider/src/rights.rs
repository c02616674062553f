//! What a tenant's key may do, as a policy document that AWS, SeaweedFS and Ceph read alike.

use serde_json::{Value, json};

/// Rights on `bucket` and nothing else. Deletion is left out for append-only keys, retention is put in for
/// buckets with object lock. Where old versions are kept they can be listed: whoever is recovering looks among them for what
/// somebody hid or wrote over. Conditions are left out on purpose: some engines accept those they do not know
/// and then refuse every write.
pub(crate) fn document(bucket: &str, append_only: bool, lock: bool) -> String {
    let mut on_objects = vec!["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:AbortMultipartUpload"];
    if !append_only {
        on_objects.push("s3:DeleteObject");
    }
    if lock {
        on_objects.extend(["s3:PutObjectRetention", "s3:GetObjectRetention"]);
    }
    let allow =
        |actions: Value, resource: String| json!({"Effect": "Allow", "Action": actions, "Resource": [resource]});
    let mut on_bucket = vec!["s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketVersioning"];
    if append_only || lock {
        on_bucket.push("s3:ListBucketVersions");
    }
    json!({
        "Version": "2012-10-17",
        "Statement": [
            allow(json!(on_bucket), format!("arn:aws:s3:::{bucket}")),
            allow(json!(on_objects), format!("arn:aws:s3:::{bucket}/*")),
        ],
    })
    .to_string()
}

/// A document that would give everything; only ever used to see it refused.
pub(crate) fn everything() -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}],
    })
    .to_string()
}

/// A bucket policy that would open a bucket to everybody; only ever used to see it refused.
pub(crate) fn open_bucket(bucket: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [format!("arn:aws:s3:::{bucket}/*")],
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn append_only_keys_hold_no_deletion() {
        assert!(!document("b", true, true).contains("Delete"));
        assert!(document("b", false, false).contains("s3:DeleteObject\""));
        assert!(!document("b", false, false).contains("Retention"));
        assert!(document("b", false, true).contains("s3:ListBucketVersions"));
    }

    #[test]
    fn rights_end_at_the_bucket() {
        let text: Value = serde_json::from_str(&document("acme", false, true)).unwrap();
        let statements = text["Statement"].as_array().unwrap();
        let resources: Vec<_> = statements.iter().flat_map(|one| one["Resource"].as_array().unwrap().clone()).collect();
        assert_eq!(resources, ["arn:aws:s3:::acme", "arn:aws:s3:::acme/*"]);
        assert!(!text.to_string().contains("s3:*"));
    }
}
