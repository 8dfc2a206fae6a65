//! Refusals: `nii::session::ErrorAnswer` as JSON, each code with its HTTP status.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nii::session::{ErrorAnswer, ErrorCode};

/// A call that is refused.
pub struct Refused {
    answer: ErrorAnswer,
    retry_after: Option<Duration>,
    too_often: bool,
}

impl Refused {
    /// With a sentence for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { answer: ErrorAnswer { code, message: message.into() }, retry_after: None, too_often: false }
    }

    /// Somebody who has asked too often.
    pub fn too_often(pause: Duration) -> Self {
        let busy = Self::new(ErrorCode::Busy, "too many calls came from this address");
        Self { too_often: true, ..busy.after(pause) }
    }

    /// Worth another try after a while.
    pub fn after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.answer.code {
            _ if self.too_often => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Unauthorized | ErrorCode::Expired => StatusCode::UNAUTHORIZED,
            ErrorCode::Replay | ErrorCode::Version | ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::NotArmed => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
            ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut response = (status, Json(self.answer)).into_response();
        if let Some(pause) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(pause.as_secs()));
        }
        response
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
