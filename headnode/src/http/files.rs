//! Immutable files: kernels, initrds, boot helpers, images. Ranges, HEAD and conditional requests are tower-http's.

use std::path::PathBuf;

use axum::extract::{Path as Segments, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nii::digest::Digest;
use nii::manifest::{DATA_FILE, MANIFEST_FILE, PAGES_FILE, SIGNATURE_FILE};
use nii::session::ErrorCode;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::App;
use super::answers::Refused;
use crate::netboot::{INITRD, KERNEL, SEGMENT};
use crate::script::LOCAL_BOOT;

/// iPXE for firmware that boots over HTTP by itself.
pub const UEFI_LOADER: &str = "snponly.efi";
/// What one read of a file takes; small reads would cost a task switch each.
const CHUNK: usize = 256 << 10;

/// `GET /boot/file/<digest>/vmlinuz|initrd.img|segment.img`
pub async fn boot(
    State(app): State<App>,
    Segments((digest, name)): Segments<(String, String)>,
    request: Request,
) -> Response {
    let known = [KERNEL, INITRD, SEGMENT].contains(&name.as_str());
    match digest.parse::<Digest>() {
        Ok(digest) if known => immutable(serve(app.dir.boot_file(&digest, &name), request).await),
        _ => missing(),
    }
}

/// `GET /images/<digest>/…`
pub async fn image(
    State(app): State<App>,
    Segments((digest, name)): Segments<(String, String)>,
    request: Request,
) -> Response {
    let known = [MANIFEST_FILE, SIGNATURE_FILE, PAGES_FILE, DATA_FILE].contains(&name.as_str());
    match digest.parse::<Digest>() {
        Ok(digest) if known => {
            immutable(serve(app.dir.images().join(digest.to_string()).join(&name), request).await)
        }
        _ => missing(),
    }
}

/// `GET /boot/loader/<name>`
pub async fn loader(State(app): State<App>, Segments(name): Segments<String>, request: Request) -> Response {
    if [LOCAL_BOOT, UEFI_LOADER].contains(&name.as_str()) {
        serve(app.dir.run("tftp").join(&name), request).await
    } else {
        missing()
    }
}

async fn serve(path: PathBuf, request: Request) -> Response {
    if !path.is_file() {
        return missing();
    }
    match ServeFile::new(path).with_buf_chunk_size(CHUNK).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

fn missing() -> Response {
    Refused::new(ErrorCode::NotFound, "there is no such file").into_response()
}

/// The URL has the content's digest: any cache may keep it for ever.
fn immutable(mut response: Response) -> Response {
    if matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(header::CACHE_CONTROL, forever);
    }
    response
}
