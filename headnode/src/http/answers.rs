//! Refusals: `nii::session::ErrorAnswer` as JSON, each code with its HTTP status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nii::session::{ErrorAnswer, ErrorCode};

/// A call that is refused.
pub struct Refused(ErrorAnswer);

impl Refused {
    /// With a sentence for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ErrorAnswer { code, message: message.into() })
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.code {
            ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorCode::Replay | ErrorCode::Version | ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::NotArmed => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
            ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self.0)).into_response()
    }
}

/// Whatever else goes wrong is ours: the log has it whole, the node only learns that it may try again.
impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        crate::log::line(format_args!("{error:#}"));
        Self::new(ErrorCode::Internal, "the head node failed at this; its log says more")
    }
}

/// The answer to a path that is not in docs/protocol.md.
pub async fn nothing_here() -> Refused {
    Refused::new(ErrorCode::NotFound, "there is nothing at this path")
}
