//! What went wrong with a bucket, in words: one pure table from status and S3 error code to the
//! house's errors, and the reading of the SDK's errors into the table's terms.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::{DateTime, date_time::Format};
use holdfast_model::{Error, Kind};
use holdfast_runtime::Clock;
use holdfast_storage::words;
use std::error::Error as StdError;

/// What stands between the name of a place and its proxy. The proxy is part of the name, so that every error tells it.
const THROUGH: &str = ", through the proxy ";
/// Longest piece of a server's own words that goes into an error.
const LONGEST_QUOTE: usize = 240;

/// What a server's refusal consists of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusal {
    /// HTTP status, 0 if unknown.
    pub(crate) status: u16,
    /// S3 or IAM error code; empty if the answer had none.
    pub(crate) code: String,
    /// The server's sentence.
    pub(crate) message: String,
    /// The region the server wants, if it says so.
    pub(crate) region: Option<String>,
    /// Server's clock minus ours, in seconds.
    pub(crate) skew_seconds: Option<i64>,
}

impl Refusal {
    /// Reads headers of an answer.
    pub(crate) fn of_response(response: &HttpResponse) -> Self {
        let header = |name: &str| response.headers().get(name).map(str::to_owned);
        Refusal {
            status: response.status().as_u16(),
            region: header("x-amz-bucket-region"),
            skew_seconds: header("date").and_then(|date| skew(&date)),
            ..Refusal::default()
        }
    }

    /// Whether the precondition of a conditional write failed, or raced with another write.
    pub(crate) fn lost_condition(&self) -> bool {
        self.status == 412 || self.code == "PreconditionFailed" || self.code == "ConditionalRequestConflict"
    }

    /// Whether the store says that it does not know what was asked.
    pub(crate) fn not_implemented(&self) -> bool {
        self.status == 501 || self.code == "NotImplemented"
    }

    /// Whether the bucket has no object lock. Stores have no code of their own for it.
    pub(crate) fn no_lock(&self) -> bool {
        let words = self.message.to_lowercase();
        self.code == "ObjectLockConfigurationNotFoundError"
            || (matches!(self.code.as_str(), "InvalidRequest" | "InvalidBucketState" | "InvalidArgument")
                && ["object lock", "objectlock"].iter().any(|name| words.contains(name))
                && ["missing", "not configured", "not enabled", "disabled"].iter().any(|lack| words.contains(lack)))
    }

    /// Whether the object is not locked.
    pub(crate) fn not_locked(&self) -> bool {
        self.code == "NoSuchObjectLockConfiguration"
    }

    /// Whether the object is not there.
    pub(crate) fn no_object(&self) -> bool {
        matches!(self.code.as_str(), "NoSuchKey" | "NoSuchVersion")
            || (self.status == 404 && self.code != "NoSuchBucket")
    }
}

/// Seconds by which the server's `Date` is ahead of our clock.
pub(crate) fn skew(date: &str) -> Option<i64> {
    let server = DateTime::from_str(date, Format::HttpDate).ok()?;
    Some(server.secs().saturating_sub(Clock::system().now().seconds()))
}

/// The refusal in an SDK error, if the server answered at all.
pub(crate) fn refusal<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<Refusal> {
    let mut refusal = Refusal::of_response(error.raw_response()?);
    if let Some(said) = error.as_service_error() {
        refusal.code = said.code().unwrap_or_default().to_owned();
        refusal.message = said.message().unwrap_or_default().to_owned();
    }
    Some(refusal)
}

/// Turns an SDK error into ours; `place` names the bucket for people.
pub(crate) fn explain<E>(place: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    match error {
        SdkError::TimeoutError(_) => unreachable(place, "it did not answer in time"),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(cause) => of_transport(place, cause),
            None => unreachable(place, "the request could not be sent"),
        },
        SdkError::ConstructionFailure(_) => Error::invalid(
            "bucket.url",
            format!("no request can be made for {place}: its address or names are not usable"),
        )
        .advice("Check the bucket URL, above all endpoint and region."),
        other => match refusal(other) {
            Some(said) if said.code.is_empty() && said.status < 300 => odd_answer(place),
            Some(said) => of_refusal(place, &said),
            None => unreachable(place, "the connection broke"),
        },
    }
}

/// The name of a place that a proxy leads to.
pub(crate) fn through(place: &str, proxy: &str) -> String {
    format!("{place}{THROUGH}{proxy}")
}

/// An answer that is no S3 answer.
fn odd_answer(place: &str) -> Error {
    Error::new(Kind::Unavailable, "bucket.odd_answer", format!("what answers for {place} does not speak S3"))
        .advice("Check the endpoint: a web page, a proxy or a console may be listening there.")
}

/// The other side cannot be reached, for the reason `why`.
pub(crate) fn unreachable(place: &str, why: &str) -> Error {
    Error::new(Kind::Unavailable, "bucket.unreachable", format!("{place} cannot be reached: {why}"))
        .advice("Backups go on into the cache; check network, endpoint and firewall.")
}

/// A failure below HTTP: name resolution, connection, TLS.
pub(crate) fn of_transport(place: &str, error: &(dyn StdError + 'static)) -> Error {
    let mut words = String::new();
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Error::new(
                Kind::Denied,
                "bucket.tls",
                format!("{place} is there, but its certificate or encryption is not acceptable: {tls}"),
            )
            .advice("Give the endpoint's own CA with ca=… in the bucket URL, and check name and clock.");
        }
        words.push_str(&cause.to_string().to_lowercase());
        words.push('\n');
    }
    // Whoever cannot be connected to is the proxy, if there is one: what it says of the place itself comes as an answer.
    let proxy = place.split_once(THROUGH).filter(|_| words.contains("tunnel error") || words.contains("(connect)"));
    if let Some((_, proxy)) = proxy {
        return of_proxy(proxy, &words);
    }
    unreachable(place, reason(&words))
}

/// Why a connection did not come about, from the words of all its errors.
fn reason(words: &str) -> &'static str {
    if words.contains("dns error") || words.contains("lookup address") || words.contains("name or service") {
        "its name is not known"
    } else if words.contains("refused") {
        "nobody listens there"
    } else if words.contains("timed out") || words.contains("timeout") {
        "it did not answer in time"
    } else if words.contains("unreachable") {
        "there is no route to it"
    } else {
        "the connection broke"
    }
}

fn of_proxy(proxy: &str, words: &str) -> Error {
    if words.contains("authorization required") {
        return proxy_denied(proxy);
    }
    let why = match words.contains("unsuccessful") || words.contains("headers too long") {
        true => "it refuses the connection to the bucket's endpoint",
        false => reason(words),
    };
    Error::new(Kind::Unavailable, "bucket.proxy", format!("the proxy {proxy} does not lead to the bucket: {why}"))
        .advice("Check the proxy (proxy=… in the bucket URL, or HTTPS_PROXY and HTTP_PROXY) and what it lets through; backups go on into the cache.")
}

fn proxy_denied(proxy: &str) -> Error {
    Error::new(
        Kind::Denied,
        "bucket.proxy",
        format!("the proxy {proxy} wants a name and a password, or other ones than it was given"),
    )
    .advice(
        "Give the name in the bucket URL (proxy=http://NAME@HOST:PORT) and the password in HOLDFAST_S3_PROXY_PASSWORD.",
    )
}

/// The keys were good once.
fn expired(place: &str) -> Error {
    Error::new(Kind::Denied, "bucket.expired", format!("{place} says that the session token of our keys has expired"))
        .advice("Give new keys with their session token, by holdfast bucket set or on the Storage page; uploads go on by themselves then.")
}

/// Every error in the chain, also those wrapped inside `io::Error`.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        inner.map(|inner| inner as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// The table: what a refusal means.
pub(crate) fn of_refusal(place: &str, said: &Refusal) -> Error {
    let error = by_code(place, said).unwrap_or_else(|| by_status(place, said));
    let quote = quote(said);
    if quote.is_empty() { error } else { error.caused_by(quote) }
}

fn by_code(place: &str, said: &Refusal) -> Option<Error> {
    let quota_in_words = said.status == 403 && said.message.to_lowercase().contains("quota");
    Some(match said.code.as_str() {
        _ if quota_in_words => full(place),
        _ if said.no_lock() => words::no_lock(place),
        "NoSuchBucket" => missing(place),
        "NoSuchKey" | "NoSuchVersion" => Error::not_found("object.missing", format!("the object is not in {place}")),
        "QuotaExceeded"
        | "StorageQuotaExceeded"
        | "ServiceQuotaExceeded"
        | "XMinioStorageFull"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "CapExceeded"
        | "TooMuchData" => full(place),
        "RequestTimeTooSkewed" | "RequestInTheFuture" | "RequestExpired" => clock(place, said),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "InvalidRegion"
        | "IllegalLocationConstraintException"
        | "InvalidLocationConstraint" => region(place, said),
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "InvalidSecurity"
        | "Unauthorized" => denied(place, said),
        "ExpiredToken" | "TokenRefreshRequired" => expired(place),
        "SlowDown"
        | "ServiceUnavailable"
        | "Busy"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "OperationAborted"
        | "RequestTimeout" => busy(place),
        "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody" => Error::new(
            Kind::Unavailable,
            "bucket.transit",
            format!("bytes changed on their way to {place}, and it refused them"),
        )
        .advice("They are sent again; if it happens often, look at the network or the machine's memory."),
        "InvalidStorageClass" => {
            Error::invalid("bucket.class", format!("{place} does not know the storage class of the bucket URL"))
                .advice("Correct class=… in the bucket URL, or leave it out.")
        }
        "InvalidObjectState" => Error::new(
            Kind::Refused,
            "object.archived",
            format!("the object lies in an archive class of {place} and cannot be read now"),
        )
        .advice("Have the provider bring it back first, and turn off lifecycle rules that archive backups."),
        "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" | "EntityAlreadyExists" => {
            Error::new(Kind::Conflict, "bucket.exists", format!("{place} exists already"))
        }
        "NotImplemented" | "MethodNotAllowed" | "InvalidAction" | "UnknownOperationException" => not_supported(place),
        "BucketNotEmpty" => Error::new(Kind::Conflict, "bucket.not_empty", format!("{place} still holds objects")),
        "NoSuchEntity" => Error::not_found("bucket.no_entity", format!("what was asked for is not known at {place}")),
        _ => return None,
    })
}

fn by_status(place: &str, said: &Refusal) -> Error {
    match said.status {
        301 | 302 | 307 | 308 => region(place, said),
        401 | 403 => denied(place, said),
        404 => Error::not_found("object.missing", format!("the object is not in {place}")),
        407 => proxy_denied(place.split_once(THROUGH).map_or("on the way", |(_, proxy)| proxy)),
        408 | 429 | 503 => busy(place),
        413 => Error::new(Kind::Refused, "bucket.too_large", format!("{place} does not take objects of this size")),

        501 | 405 => not_supported(place),
        507 => full(place),
        500..=599 => Error::new(
            Kind::Unavailable,
            "bucket.failing",
            format!("{place} answered with an error of its own ({})", said.status),
        )
        .advice("It is tried again; if it stays, the provider has to look."),
        status => Error::new(
            Kind::Invalid,
            "bucket.refused",
            format!("{place} did not accept the request (HTTP status {status})"),
        )
        .advice("Check endpoint, bucket name, region and path style."),
    }
}

fn quote(said: &Refusal) -> String {
    let plain = |text: &str| -> String { text.chars().filter(|sign| !sign.is_control()).take(LONGEST_QUOTE).collect() };
    let (code, message) = (plain(&said.code), plain(&said.message));
    match (code.is_empty(), message.is_empty()) {
        (true, true) => String::new(),
        (true, false) => message,
        (false, true) => code,
        (false, false) => format!("{code}: {message}"),
    }
}

fn missing(place: &str) -> Error {
    Error::not_found("bucket.missing", format!("there is no bucket at {place}"))
        .advice("Create the bucket, or correct its name in the bucket URL.")
}

fn denied(place: &str, said: &Refusal) -> Error {
    let why = match said.code.as_str() {
        "InvalidAccessKeyId" => "does not know the access key",
        "SignatureDoesNotMatch" => "finds the secret key wrong",
        "InvalidToken" => "finds the session token wrong",
        _ => "refused our key",
    };
    Error::new(Kind::Denied, "bucket.denied", format!("{place} {why}"))
        .advice("Check access key, secret key and what the key may do in this bucket.")
}

fn region(place: &str, said: &Refusal) -> Error {
    let wanted = said.region.as_deref().map(|name| quote(&Refusal { code: name.to_owned(), ..Refusal::default() }));
    let (what, advice) = match wanted {
        Some(name) => (
            format!("{place} is in the region {name}, not in the one that is configured"),
            format!("Set region={name} in the bucket URL."),
        ),
        None => (
            format!("{place} is in another region or at another address than configured"),
            "Set the right region=… and endpoint=… in the bucket URL.".to_owned(),
        ),
    };
    Error::invalid("bucket.region", what).advice(advice)
}

fn clock(place: &str, said: &Refusal) -> Error {
    let what = match said.skew_seconds {
        Some(seconds) if seconds.abs() >= 60 => {
            let side = if seconds > 0 { "behind" } else { "ahead of" };
            format!("this machine's clock is {} {side} that of {place}", duration(seconds.unsigned_abs()))
        }
        _ => format!("this machine's clock and that of {place} differ too much"),
    };
    Error::new(Kind::Unavailable, "bucket.clock", what)
        .advice("Set the clock right, best by NTP; shipping goes on by itself then.")
}

fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn full(place: &str) -> Error {
    Error::new(Kind::Full, "bucket.full", format!("{place} has no room left: its quota or its disks are full"))
        .advice("Ask the provider for more quota, or keep fewer snapshots in the cloud; the cache holds what waits.")
}

fn not_supported(place: &str) -> Error {
    Error::new(Kind::Refused, "bucket.not_supported", format!("{place} does not know what it was asked to do"))
}

fn busy(place: &str) -> Error {
    Error::new(Kind::Unavailable, "bucket.busy", format!("{place} asks for patience"))
        .advice("It is tried again, more slowly.")
}

/// The object is shorter than what was asked of it.
pub(crate) fn short(place: &str, key: &str) -> Error {
    Error::new(
        Kind::Corrupt,
        "object.short",
        format!("object {key} in {place} ends before the bytes that were promised"),
    )
    .advice("Run check: what the cache still holds is sent again.")
}

#[cfg(test)]
mod tests;
