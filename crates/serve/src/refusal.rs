//! Why a request is not answered, as OpenAI's clients read it.

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use openai::{ApiError, ErrorBody};

/// When a client that was refused for want of room may come again.
const RETRY_AFTER_SECONDS: u16 = 1;

/// A status with its reason.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: Box<ApiError>,
}

impl Refusal {
    /// The request makes no sense; `param` is the field at fault.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        refusal.error.param = Some(param.to_owned());
        refusal
    }

    /// There is no such model.
    pub(crate) fn unknown_model(asked: &str, name: &str) -> Self {
        let message = format!("there is no model {asked:?} here, but {name:?}");
        let mut refusal = Self::new(StatusCode::NOT_FOUND, "not_found_error", message);
        refusal.error.param = Some("model".to_owned());
        refusal
    }

    /// The key is missing or another.
    pub(crate) fn unauthorised() -> Self {
        let message = "the key is missing or wrong: send it as `Authorization: Bearer KEY`";
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", message)
    }

    /// As many requests as are allowed are being answered.
    pub(crate) fn busy(most: usize) -> Self {
        let message = format!("{most} requests are being answered already: try again later");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
    }

    /// The body took too long to arrive.
    pub(crate) fn late() -> Self {
        let message = "the body took too long to arrive";
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", message)
    }

    /// The model is gone.
    pub(crate) fn stopped() -> Self {
        Self::failed("the model has stopped")
    }

    /// A defect of ours, which is written on the server's own error output.
    pub(crate) fn defect() -> Self {
        Self::failed("the model's work ended in a defect of the server")
    }

    /// The model failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Self {
        let (message, kind) = (message.into(), Some(kind.to_owned()));
        Self { status, error: Box::new(ApiError { message, kind, ..ApiError::default() }) }
    }

    /// The body.
    pub(crate) fn into_body(self) -> ErrorBody {
        ErrorBody { error: *self.error }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self.into_body())).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}
