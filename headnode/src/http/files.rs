//! Files: kernels, initrds, boot helpers and images, which are immutable, and trees of distributions. Ranges, HEAD and
//! conditional requests are tower-http's, all but `If-Range`.

use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use axum::body::Body;
use axum::extract::{Path as Segments, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nii::digest::Digest;
use nii::manifest::{DATA_FILE, MANIFEST_FILE, PAGES_FILE, SIGNATURE_FILE};
use nii::session::ErrorCode;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::App;
use super::answers::Refused;
use crate::names::is_name;
use crate::netboot::{INITRD, KERNEL, SEGMENT};
use crate::os::files::Root;
use crate::os::{folder_name, parse_folder};
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

/// `GET /os/<name>~<version>/…`, and `GET /os/<name>/…` of what the name means now. Folders are not listed.
pub async fn os(
    State(app): State<App>,
    Segments((os, path)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let folder = match parse_folder(&os) {
        Some(_) => os,
        None if !is_name(&os) => return Ok(missing()),
        None => match app.store.os_version(&os).await? {
            Some(version) => folder_name(&os, &version),
            None => return Ok(missing()),
        },
    };
    let tree = app.dir.trees().join(folder);
    // A linked folder may be on a slow disk, or on somebody else's.
    let file = tokio::task::spawn_blocking(move || Root::open(&tree)?.file(&path)).await;
    match file.map_err(anyhow::Error::from)? {
        Ok(file) => {
            // What was opened, whatever its path leads to by now.
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            Ok(serve(path, request).await)
        }
        Err(_) => Ok(missing()),
    }
}

async fn serve(path: PathBuf, mut request: Request) -> Response {
    if !path.is_file() {
        return missing();
    }
    // dnf asks for several ranges at once, and takes the whole file as well.
    let files = ServeFile::new(path).with_buf_chunk_size(CHUNK).ignore_multi_range_requests(true);
    if let Some(wanted) = request.headers_mut().remove(header::IF_RANGE) {
        let mut about = Request::new(Body::empty());
        *about.method_mut() = Method::HEAD;
        let about = answer(files.clone(), about).await;
        let same = [header::ETAG, header::LAST_MODIFIED]
            .iter()
            .any(|name| about.headers().get(name) == Some(&wanted));
        if !same {
            request.headers_mut().remove(header::RANGE);
        }
    }
    answer(files, request).await
}

async fn answer(files: ServeFile, request: Request) -> Response {
    match files.oneshot(request).await {
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
