//! Secrets and certificates from files and the environment, never from arguments; kits and bundles into
//! new files that only their owner reads.

use holdfast_model::{
    Error, Result, Secret,
    bucket::{BucketUrl, Credentials},
    settings::BucketSettings,
    view::BucketRequest,
};
use std::{
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Largest file that is read whole: certificates, kits and bundles are far smaller.
const LIMIT: u64 = 1 << 20;

/// A file's text; `-` is stdin.
pub fn read(path: &Path) -> Result<String> {
    let wrong = |error| Error::io(format!("cannot read {}", path.display()), error);
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(LIMIT).read_to_string(&mut text).map_err(wrong)?;
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text)).map_err(wrong)?;
    }
    Ok(text)
}

/// The text of a file that may not have been named.
pub fn read_named(path: Option<&PathBuf>) -> Result<Option<String>> {
    path.map(|path| read(path)).transpose()
}

/// A secret that is the first line of a file; `-` is stdin. `Invalid` (`secret.empty`).
pub fn first_line(path: &Path) -> Result<Secret> {
    let text = read(path)?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line)),
        None => Err(Error::invalid("secret.empty", format!("{} holds no secret", path.display()))),
    }
}

/// Whether [`write_new`] will do: the file does not exist and its folder takes one. Leaves nothing behind.
pub fn try_new(path: &Path) -> Result<()> {
    write_new(path, "")?;
    std::fs::remove_file(path).map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}

/// Writes a new file with mode 0600 and brings it to the disk; one that exists is left alone.
pub fn write_new(path: &Path, text: &str) -> Result<()> {
    let wrong = |error: std::io::Error| {
        let made = Error::io(format!("cannot write {}", path.display()), error);
        if made.code() == "file.exists" { made.advice("Name a file that does not exist yet.") } else { made }
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)
}

/// Reads settings of a process; faked by tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A secret from the variable `name`, or from the file that `name_FILE` names.
pub fn secret(from: Lookup<'_>, name: &str) -> Result<Option<Secret>> {
    if let Some(value) = from(name) {
        return Ok(Some(Secret::new(value.trim())));
    }
    let Some(file) = from(&format!("{name}_FILE")) else { return Ok(None) };
    Ok(Some(Secret::new(read(Path::new(&file))?.trim())))
}

/// A key pair from `PREFIX_ACCESS_KEY` and `PREFIX_SECRET_KEY`, with `PREFIX_SESSION_TOKEN` if the keys are for a time only; `None` if
/// nothing is set.
pub fn credentials(from: Lookup<'_>, prefix: &str) -> Result<Option<Credentials>> {
    let access = secret(from, &format!("{prefix}_ACCESS_KEY"))?;
    let secret_key = secret(from, &format!("{prefix}_SECRET_KEY"))?;
    let session_token = secret(from, &format!("{prefix}_SESSION_TOKEN"))?;
    match (access, secret_key) {
        (None, None) if session_token.is_none() => Ok(None),
        (Some(access), Some(secret_key)) => {
            Ok(Some(Credentials { access_key: access.reveal().to_owned(), secret_key, session_token }))
        }
        (None, None) => Err(Error::invalid(
            "credentials.half",
            format!("{prefix}_SESSION_TOKEN belongs to {prefix}_ACCESS_KEY and {prefix}_SECRET_KEY, which are not set"),
        )),
        _ => Err(Error::invalid(
            "credentials.half",
            format!("{prefix}_ACCESS_KEY and {prefix}_SECRET_KEY belong together; only one is set"),
        )),
    }
}

/// A bucket with its keys, its CA and the password of its proxy.
pub fn bucket(from: Lookup<'_>, url: &str) -> Result<BucketSettings> {
    let url = BucketUrl::parse(url)?;
    let (credentials, ca, proxy_password) = match &url {
        BucketUrl::Directory(_) => (None, None, None),
        BucketUrl::S3(place) => {
            let keys = credentials(from, "HOLDFAST_S3")?;
            let ca = place.ca.as_ref().map(|path| read(Path::new(path))).transpose()?;
            (keys, ca, secret(from, "HOLDFAST_S3_PROXY_PASSWORD")?)
        }
    };
    Ok(BucketSettings { url, credentials, ca, proxy_password, lock: None })
}

/// The same as a request to the appliance.
pub fn bucket_request(from: Lookup<'_>, url: &str) -> Result<BucketRequest> {
    let bucket = bucket(from, url)?;
    if matches!(bucket.url, BucketUrl::S3(_)) && bucket.credentials.is_none() {
        return Err(Error::invalid("credentials.missing", format!("there are no keys for {}", bucket.url))
            .advice("Set HOLDFAST_S3_ACCESS_KEY and HOLDFAST_S3_SECRET_KEY, or name files with them in …_FILE."));
    }
    let revealed = |secret: Secret| secret.reveal().to_owned();
    let mut request = BucketRequest {
        url: bucket.url.to_string(),
        ca: bucket.ca,
        proxy_password: bucket.proxy_password.map(revealed),
        ..BucketRequest::default()
    };
    if let Some(keys) = bucket.credentials {
        request.access_key = Some(keys.access_key);
        request.secret_key = Some(revealed(keys.secret_key));
        request.session_token = keys.session_token.map(revealed);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn from(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn kits_are_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kit.txt");
        write_new(&path, "first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = write_new(&path, "second").unwrap_err();
        assert_eq!((error.kind().exit_code(), error.code()), (5, "file.exists"));
        assert_eq!(read(&path).unwrap(), "first");
        assert_eq!(try_new(&path).unwrap_err().code(), "file.exists");
        let fresh = folder.path().join("fresh");
        try_new(&fresh).unwrap();
        assert!(!fresh.exists());
        assert!(try_new(&folder.path().join("none/kit")).is_err());
        assert_eq!(first_line(&path).unwrap().reveal(), "first");
        std::fs::write(&fresh, "a passphrase \r\nmore\n").unwrap();
        assert_eq!(first_line(&fresh).unwrap().reveal(), "a passphrase ");
        std::fs::write(&fresh, "\n").unwrap();
        assert_eq!(first_line(&fresh).unwrap_err().code(), "secret.empty");
    }

    #[test]
    fn keys_come_in_pairs_from_variables_or_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from-file\n").unwrap();
        let path = file.display().to_string();
        let both = |name: &str| match name {
            "X_ACCESS_KEY" => Some("id".to_owned()),
            "X_SECRET_KEY_FILE" => Some(path.clone()),
            _ => None,
        };
        let keys = credentials(&both, "X").unwrap().unwrap();
        assert_eq!((keys.access_key.as_str(), keys.secret_key.reveal()), ("id", "from-file"));
        assert!(credentials(&from(&[]), "X").unwrap().is_none());
        let half = credentials(&from(&[("X_ACCESS_KEY", "id")]), "X").unwrap_err();
        assert_eq!(half.code(), "credentials.half");
        let lost = credentials(&from(&[("X_SESSION_TOKEN", "t")]), "X").unwrap_err();
        assert_eq!(lost.code(), "credentials.half");
    }

    #[test]
    fn a_session_token_and_the_password_of_a_proxy_go_along() {
        let all = from(&[
            ("HOLDFAST_S3_ACCESS_KEY", "a"),
            ("HOLDFAST_S3_SECRET_KEY", "s"),
            ("HOLDFAST_S3_SESSION_TOKEN", "t"),
            ("HOLDFAST_S3_PROXY_PASSWORD", "p"),
        ]);
        let request = bucket_request(&all, "s3://acme?proxy=http://ada@proxy:3128").unwrap();
        assert_eq!((request.session_token.as_deref(), request.proxy_password.as_deref()), (Some("t"), Some("p")));
        assert_eq!(request.url, "s3://acme?region=us-east-1&proxy=http://ada@proxy:3128");
    }

    #[test]
    fn a_bucket_brings_its_ca() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, "PEM").unwrap();
        let url = format!("s3://acme?endpoint=https://s3.example&ca={}", ca.display());
        let request = bucket_request(&from(&[("HOLDFAST_S3_ACCESS_KEY", "a"), ("HOLDFAST_S3_SECRET_KEY", "s")]), &url);
        let request = request.unwrap();
        assert_eq!((request.ca.as_deref(), request.secret_key.as_deref()), (Some("PEM"), Some("s")));
        let directory = bucket_request(&from(&[("HOLDFAST_S3_ACCESS_KEY", "a")]), "file:///srv/b").unwrap();
        assert_eq!((directory.url.as_str(), directory.access_key), ("file:///srv/b", None));
        assert!(bucket(&from(&[]), "s3://acme?ca=/does/not/exist").is_err());
        assert_eq!(bucket_request(&from(&[]), "s3://acme").unwrap_err().code(), "credentials.missing");
    }
}
