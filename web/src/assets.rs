//! The web UI, embedded: files of `web/ui/dist`, deep links answered with its first page.
//!
//! A build without the UI's files works and says so on one page. Debug builds read the folder at run time.

use crate::fault::Fault;
use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use holdfast_model::Error;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "ui/dist"]
#[allow_missing = true]
struct Ui;

/// File names under here carry a hash of their content.
const HASHED: &str = "assets/";
const FIRST_PAGE: &str = "index.html";

const NOTICE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Holdfast</title>\
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1rem}</style>\
<h1>Holdfast runs</h1><p>This build carries no web pages. Build them with <code>npm ci</code> and \
<code>npm run build</code> in <code>web/ui</code>, then build the program again.</p>\
<p>The command line (<code>holdfast status</code>) and the API work.</p></html>";

/// Answers whatever no route knows.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if path == "api" || path.starts_with("api/") || !matches!(method, Method::GET | Method::HEAD) {
        return nothing_here(uri.path());
    }
    let path = if path.is_empty() { FIRST_PAGE } else { path };
    if let Some(file) = Ui::get(path) {
        return send(path, file, &headers);
    }
    if path != FIRST_PAGE && is_file_name(path) {
        return nothing_here(uri.path());
    }
    match Ui::get(FIRST_PAGE) {
        Some(file) => send(FIRST_PAGE, file, &headers),
        None => (StatusCode::NOT_FOUND, Html(NOTICE)).into_response(),
    }
}

/// Answers a known address asked with a method it does not have.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let what = format!("{} does not answer to {method}", uri.path());
    Fault::from(Error::invalid("request.method", what)).into_response()
}

fn nothing_here(path: &str) -> Response {
    Fault::from(Error::not_found("request.address", format!("there is nothing at {path}"))).into_response()
}

/// Deep links of the UI have no dot in their last part.
fn is_file_name(path: &str) -> bool {
    path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|last| last.contains('.') && !path.contains('/'))
}

fn send(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.data.clone().into_owned().into_response() };
    let headers = response.headers_mut();
    let mime = HeaderValue::from_str(file.metadata.mimetype());
    headers.insert(header::CONTENT_TYPE, mime.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("quoted hex is a header value"));
    let keep = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str) -> Response {
        serve(Method::GET, path.parse().unwrap(), HeaderMap::new()).await
    }

    #[tokio::test]
    async fn deep_links_get_a_page_and_wrong_names_do_not() {
        for link in ["/", "/apps/local/shop", "/apps/local/shop.example"] {
            let page = get(link).await;
            assert!(page.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"), "{link}");
        }
        for wrong in ["/api/v1/nothing", "/assets/nothing.js", "/nothing.png", "/assets/../../Cargo.toml"] {
            let page = get(wrong).await;
            assert_eq!(page.status(), 404, "{wrong}");
            assert_eq!(page.headers()[header::CONTENT_TYPE], "application/problem+json", "{wrong}");
        }
        let outside = get("/apps/../../Cargo.toml").await;
        assert!(outside.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        let posted = serve(Method::POST, "/".parse().unwrap(), HeaderMap::new()).await;
        assert_eq!(posted.status(), 404);
    }

    #[test]
    fn known_content_is_not_sent_again() {
        let Some(file) = Ui::get(FIRST_PAGE) else { return };
        let first = send(FIRST_PAGE, file.clone(), &HeaderMap::new());
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(send(FIRST_PAGE, file.clone(), &asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        let hashed = send("assets/index-1a2b.js", file, &HeaderMap::new());
        assert!(hashed.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    }
}
