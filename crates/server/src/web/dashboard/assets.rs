//! Style, script and icon: ours, built in, under names that change with what is in them, so they may be kept for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::web::problem::Problem;

/// A file that pages load.
pub(crate) struct Asset {
    content: &'static str,
    media_type: &'static str,
    path: LazyLock<String>,
}

pub(crate) static STYLE: Asset = Asset {
    content: include_str!("../../../assets/style.css"),
    media_type: "text/css; charset=utf-8",
    path: LazyLock::new(|| named(STYLE.content, "style", "css")),
};
pub(crate) static SCRIPT: Asset = Asset {
    content: include_str!("../../../assets/live.js"),
    media_type: "text/javascript; charset=utf-8",
    path: LazyLock::new(|| named(SCRIPT.content, "live", "js")),
};
pub(crate) static ICON: Asset = Asset {
    content: include_str!("../../../assets/icon.svg"),
    media_type: "image/svg+xml",
    path: LazyLock::new(|| named(ICON.content, "icon", "svg")),
};

impl Asset {
    pub(crate) fn path(&'static self) -> &'static str {
        &self.path
    }
}

fn named(content: &str, stem: &str, extension: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    let short = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("/assets/{stem}.{short:012x}.{extension}")
}

/// One of them. Needs no token: there is nothing in it that is not in the program.
pub(crate) async fn one(Path(name): Path<String>) -> Response {
    let all: [&'static Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let Some(asset) = all.into_iter().find(|asset| asset.path().rsplit('/').next() == Some(&name)) else {
        return Problem::plain(StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, asset.content).into_response()
}
