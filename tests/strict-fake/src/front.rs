//! What every request goes through: its id and date, the choice of service, failures on demand, and the log.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, StdError};

use crate::clock::http_date;
use crate::connection::ResetSwitch;
use crate::exchange::Exchange;
use crate::fault::Failure;
use crate::sigv4::Scope;
use crate::state::Shared;
use crate::{damage, errors, kms, sts};

/// Documents of KMS and STS are never longer.
const SMALL: usize = 1024 * 1024;

/// How much of an unread body is read after the answer, so that the client gets to read it.
const DRAIN: u64 = 64 * 1024 * 1024;

/// The fake as a handler of requests.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) s3: S3Service,
}

impl Front {
    /// Answers one request, or says that the connection is to be dropped.
    pub(crate) async fn serve(self, request: Request<Incoming>, switch: ResetSwitch) -> io::Result<Response<Body>> {
        let (parts, incoming) = request.into_parts();
        let exchange = self.exchange(&parts);
        let body = Tapped::new(incoming);
        if !self.shared.settings.delay.is_zero() {
            tokio::time::sleep(self.shared.settings.delay).await;
        }
        let response = self.dispatch(parts, &exchange, body.clone()).await?;
        let failure = exchange.failure();
        if let Some(Failure::Delay(delay)) = failure {
            tokio::time::sleep(delay).await;
        }
        let response = match &failure {
            Some(Failure::Status(status, code)) => errors::ordered(*status, code, exchange.service),
            Some(Failure::Answer {
                status,
                content_type,
                body,
            }) => errors::verbatim(*status, content_type, body),
            _ => response,
        };
        let response = self.finish(response, &exchange).await;
        if response.status().is_client_error() || response.status().is_server_error() {
            body.clone().drain(&exchange.headers).await;
        }
        let status = match failure {
            Some(Failure::Reset | Failure::Stall) => 0,
            _ => response.status().as_u16(),
        };
        let bytes_out = if parts_have_no_body(&exchange, &response) {
            0
        } else {
            response.body().size_hint().lower()
        };
        self.shared.log.add(exchange.log(status, body.count(), bytes_out));
        damage::apply(failure, response, &switch).await
    }

    fn exchange(&self, parts: &Parts) -> Arc<Exchange> {
        let request_id = format!("{:016X}", self.shared.next().wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let service = if kms::is_request(&parts.headers) {
            "kms"
        } else if sts::is_request(parts) {
            "sts"
        } else {
            "s3"
        };
        let time = self.shared.clock.now();
        let exchange = Exchange::new(parts, service, (request_id, time, self.shared.settings.tls));
        if let Ok(scope) = Scope::parse(&parts.headers) {
            exchange.set_scope(&scope);
        }
        Arc::new(exchange)
    }

    async fn dispatch(&self, parts: Parts, exchange: &Arc<Exchange>, body: Tapped) -> io::Result<Response<Body>> {
        if exchange.service == "s3" {
            let mut request = Request::from_parts(parts, Body::http_body(body));
            request.extensions_mut().insert(Arc::clone(exchange));
            return self
                .s3
                .call(request)
                .await
                .map_err(|e| io::Error::other(StdError::from(e)));
        }
        let body = Limited::new(body, SMALL)
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes();
        Ok(match exchange.service {
            "kms" => kms::serve(&self.shared, exchange, &body),
            _ => sts::serve(&self.shared, exchange, &body),
        })
    }

    /// Puts on what AWS puts on every answer.
    async fn finish(&self, response: Response<Body>, exchange: &Exchange) -> Response<Body> {
        let mut response = if exchange.service == "s3" {
            errors::complete(response, exchange, self.shared.clock.now()).await
        } else {
            response
        };
        let headers = response.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("date", &http_date(self.shared.clock.now()));
        set("server", if exchange.service == "s3" { "AmazonS3" } else { "Server" });
        match exchange.service {
            "s3" => {
                set("x-amz-request-id", &exchange.request_id);
                set("x-amz-id-2", &format!("strict-fake/{}", exchange.request_id));
            }
            _ => {
                set("x-amzn-requestid", &exchange.request_id);
                set("x-amz-request-id", &exchange.request_id);
            }
        }
        response
    }
}

fn parts_have_no_body(exchange: &Exchange, response: &Response<Body>) -> bool {
    exchange.method == hyper::Method::HEAD || response.status() == StatusCode::NOT_MODIFIED
}

/// A request's body, counted, and still there for draining when the handler has dropped it.
#[derive(Clone)]
struct Tapped(Arc<Tap>);

struct Tap {
    body: Mutex<Incoming>,
    count: AtomicU64,
}

impl Tapped {
    fn new(body: Incoming) -> Self {
        Self(Arc::new(Tap {
            body: Mutex::new(body),
            count: AtomicU64::new(0),
        }))
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::SeqCst)
    }

    /// Reads on after an error, as S3 does: a client that is still sending would else see a broken connection
    /// instead of the answer. One that waits for `100 Continue` hasn't sent anything yet.
    async fn drain(mut self, headers: &HeaderMap) {
        if headers.contains_key("expect") {
            return;
        }
        let start = self.count();
        while let Some(Ok(_)) = self.frame().await {
            if self.count() - start > DRAIN {
                return;
            }
        }
    }
}

impl HttpBody for Tapped {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut body = self.0.body.lock().unwrap_or_else(PoisonError::into_inner);
        let poll = Pin::new(&mut *body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &poll {
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.0.count.fetch_add(len, Ordering::SeqCst);
        }
        poll
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .body
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
