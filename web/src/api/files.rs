//! What is inside snapshots: folders, contents, names.
//!
//! Contents come from strangers (law L8). They leave as attachments of a type that no browser shows or runs, under a
//! tame name; what cannot be read to its end breaks the connection off, so that it never passes for whole.

use super::Accepted;
use crate::{
    extract::{Asked, Body as Said, Named},
    fault::{Answer, Fault},
    shared::App,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures::TryStreamExt;
use holdfast_engine::{Asked as Wish, Content};
use holdfast_model::{
    Error,
    job::JobView,
    view::{DiffView, FindView, FolderView, From, PutRequest, SectionView},
};
use serde::Deserialize;
use std::{fmt::Write, ops::Range};
use utoipa::{IntoParams, ToSchema};

/// Type of every file, whatever is in it.
pub(super) const PLAIN: &str = "application/octet-stream";
/// Type of every folder.
pub(super) const TAR: &str = "application/x-tar";
/// Type of every folder that is wanted as a zip.
pub(super) const ZIP: &str = "application/zip";
/// Entries of a page unless asked otherwise.
const PAGE: usize = 500;
/// Paths that a search tells unless asked otherwise.
const FOUND: usize = 100;

/// A place in a snapshot.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFilter {
    /// `volume:NAME`, `bind:/PATH`, `container:NAME` or `dump:NAME`.
    section: String,
    /// Path in it; empty for its root. Bytes that are no readable text are written `\xHH`, a backslash `\\`.
    #[serde(default)]
    path: String,
    /// Only what comes behind this name.
    #[serde(default)]
    after: Option<String>,
    /// Entries at most, 2000 at most.
    #[serde(default)]
    limit: Option<usize>,
    /// Where it may be read from.
    #[serde(default)]
    from: From,
}

/// How a folder is packed.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Packing {
    /// A tar: all that was backed up.
    #[default]
    Tar,
    /// A zip, for systems that open nothing else: without attributes, access lists, devices, pipes and sockets.
    Zip,
}

/// A file or folder to download.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentFilter {
    /// `volume:NAME`, `bind:/PATH`, `container:NAME` or `dump:NAME`.
    section: String,
    /// Path in it; empty for its root.
    #[serde(default)]
    path: String,
    /// How a folder is packed; says nothing about a file.
    #[serde(default)]
    #[param(inline)]
    format: Packing,
    /// Where it may be read from.
    #[serde(default)]
    from: From,
}

/// A name to look for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FindFilter {
    /// Part of the name, or all of it with `*` and `?`; with a slash in it the whole path is compared.
    pattern: String,
    /// Paths at most, 2000 at most.
    #[serde(default)]
    limit: Option<usize>,
}

/// What to compare a snapshot with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffFilter {
    /// The earlier snapshot: id, a unique beginning, or latest:APP.
    before: String,
    /// Only what comes behind here: `next` of the page before.
    #[serde(default)]
    after: Option<String>,
    /// Lines at most, 2000 at most.
    #[serde(default)]
    limit: Option<usize>,
}

/// What differs between the files of two snapshots, one page.
#[utoipa::path(get, path = "/snapshots/{id}/diff", tag = "files",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP"), DiffFilter),
    responses((status = 200, description = "What differs", body = DiffView)))]
pub(super) async fn file_diff(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(filter): Asked<DiffFilter>,
) -> Answer<DiffView> {
    let DiffFilter { before, after, limit } = filter;
    Ok(Json(app.appliance.files_diff(&before, &id, after.as_deref(), limit.unwrap_or(PAGE)).await?))
}

/// The parts of a snapshot that hold files.
#[utoipa::path(get, path = "/snapshots/{id}/sections", tag = "files",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP")),
    responses((status = 200, description = "The parts", body = Vec<SectionView>)))]
pub(super) async fn section_list(State(app): State<App>, Named(id): Named<String>) -> Answer<Vec<SectionView>> {
    Ok(Json(app.appliance.files_sections(&id).await?))
}

/// What lies in a folder of a snapshot, one page.
#[utoipa::path(get, path = "/snapshots/{id}/files", tag = "files",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP"), FileFilter),
    responses((status = 200, description = "The folder", body = FolderView)))]
pub(super) async fn file_list(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(filter): Asked<FileFilter>,
) -> Answer<FolderView> {
    let FileFilter { section, path, after, limit, from } = filter;
    let wish = Wish { snapshot: id, section, path, from };
    Ok(Json(app.appliance.files_list(wish, after.as_deref(), limit.unwrap_or(PAGE)).await?))
}

/// Paths in all snapshots of an app that are called so.
#[utoipa::path(get, path = "/apps/{host}/{app}/files", tag = "files",
    params(("host" = String, Path, description = "Host"), ("app" = String, Path, description = "App"), FindFilter),
    responses((status = 200, description = "What was found", body = FindView)))]
pub(super) async fn file_find(
    State(app): State<App>,
    Named((host, name)): Named<(String, String)>,
    Asked(filter): Asked<FindFilter>,
) -> Answer<FindView> {
    let id = format!("{host}/{name}");
    Ok(Json(app.appliance.files_find(&id, &filter.pattern, filter.limit.unwrap_or(FOUND)).await?))
}

/// A file, or a stretch of one; a folder comes as a tar or zip. The connection breaks off if something cannot be read.
#[utoipa::path(get, path = "/snapshots/{id}/content", tag = "files",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP"), ContentFilter),
    responses(
        (status = 200, description = "The file, or the folder as a tar or zip", body = Vec<u8>, content_type = PLAIN),
        (status = 206, description = "The stretch that the header Range asked for", body = Vec<u8>, content_type = PLAIN)))]
pub(super) async fn file_content(
    State(app): State<App>,
    Named(id): Named<String>,
    Asked(filter): Asked<ContentFilter>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let ContentFilter { section, path, format, from } = filter;
    let file = app.appliance.files_open(Wish { snapshot: id, section, path, from }).await?;
    let mut response = Response::new(Body::empty());
    let given = response.headers_mut();
    let name = match (&file.content, format) {
        (Content::Folder, Packing::Zip) => file.save_as_zip(),
        _ => file.save_as(),
    };
    given.insert(header::CONTENT_DISPOSITION, attached(&name)?);
    let bytes = match file.content {
        Content::Folder if matches!(format, Packing::Zip) => {
            given.insert(header::CONTENT_TYPE, HeaderValue::from_static(ZIP));
            file.zip().await?
        }
        Content::Folder => {
            given.insert(header::CONTENT_TYPE, HeaderValue::from_static(TAR));
            file.tar().await?
        }
        Content::File { size, .. } => {
            given.insert(header::CONTENT_TYPE, HeaderValue::from_static(PLAIN));
            given.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            let stretch = stretch(&headers, size)?;
            let range = stretch.clone().unwrap_or(0..size);
            given.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            if stretch.is_some() {
                let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                let value = HeaderValue::try_from(text).map_err(|_| Error::bug("a range cannot be written"))?;
                given.insert(header::CONTENT_RANGE, value);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            file.read(range).await?
        }
    };
    let told =
        bytes.inspect_err(|error| tracing::warn!(code = error.code(), "a download broke off: {}", error.chain()));
    *response.body_mut() = Body::from_stream(told);
    Ok(response)
}

/// Puts a file or folder back into the volume or folder of the host that it is from.
#[utoipa::path(post, path = "/snapshots/{id}/files", tag = "files",
    params(("id" = String, Path, description = "Snapshot id, a unique beginning, or latest:APP")),
    request_body = PutRequest,
    responses((status = 202, description = "The job", body = JobView)))]
pub(super) async fn file_put(
    State(app): State<App>,
    Named(id): Named<String>,
    Said(request): Said<PutRequest>,
) -> Result<Accepted<JobView>, Fault> {
    Ok(Accepted(app.appliance.files_put(&id, request).await?))
}

/// Says that a browser is to save it, under this name.
pub(super) fn attached(name: &str) -> Result<HeaderValue, Error> {
    let is_plain = |letter: char| (letter.is_ascii_graphic() || letter == ' ') && !"\"\\%".contains(letter);
    let plain = |letter: char| if is_plain(letter) { letter } else { '_' };
    let mut text =
        format!("attachment; filename=\"{}\"; filename*=UTF-8''", name.chars().map(plain).collect::<String>());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte as char);
        } else {
            // Writing into a text does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    HeaderValue::try_from(text).map_err(|_| Error::bug("a file name cannot be written into a header"))
}

/// The stretch that a client asks for, if it asks for one; several are answered with everything. `Invalid`
/// (`files.range`) if nothing of it lies in the file.
fn stretch(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, Error> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = asked.and_then(|text| text.strip_prefix("bytes=")?.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (number(first), number(last)) {
        _ if headers.contains_key(header::IF_RANGE) => return Ok(None),
        (Some(first), Some(last)) if last >= first => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.trim().is_empty() => first..size,
        (None, Some(count)) if first.trim().is_empty() => size.saturating_sub(count)..size,
        _ => return Ok(None),
    };
    if range.start >= range.end {
        return Err(Error::invalid(
            "files.range",
            format!("the file has {size} bytes; nothing of what was asked lies in it"),
        ));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_read_as_rfc_9110_says() {
        let asked = |text: &'static str, size| {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
            stretch(&headers, size).map_err(|error| error.code().to_owned())
        };
        assert_eq!(stretch(&HeaderMap::new(), 5).unwrap(), None);
        for (text, range) in [
            ("bytes=0-0", Some(0..1)),
            ("bytes=2-", Some(2..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-30", Some(0..10)),
            ("bytes=5-99999999999999999999", None),
            ("bytes=5-18446744073709551615", Some(5..10)),
            ("bytes=3-2", None),
            ("bytes=0-1,4-5", None),
            ("lines=1-2", None),
            ("bytes=-", None),
        ] {
            assert_eq!(asked(text, 10), Ok(range), "{text}");
        }
        for text in ["bytes=10-", "bytes=11-12", "bytes=-0"] {
            assert_eq!(asked(text, 10), Err("files.range".to_owned()), "{text}");
        }
    }

    #[test]
    fn names_cannot_leave_their_header() {
        let value = attached("a\"b; ü.txt").unwrap();
        // The engine has taken quotes out; should one come, it is for `filename*` that it does not matter.
        assert!(value.to_str().unwrap().ends_with("filename*=UTF-8''a%22b%3B%20%C3%BC.txt"), "{value:?}");
        assert!(
            attached("line\r\nbreak").unwrap().to_str().unwrap().starts_with("attachment; filename=\"line__break\"")
        );
    }
}
