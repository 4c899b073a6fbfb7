//! Failures that come after the work: answers that are lost, stalled, cut short or changed on their way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use s3s::{Body, StdError};

use crate::connection::ResetSwitch;
use crate::fault::Failure;

/// Does to an answer what was ordered.
pub(crate) async fn apply(
    failure: Option<Failure>,
    response: Response<Body>,
    switch: &ResetSwitch,
) -> io::Result<Response<Body>> {
    match failure {
        Some(Failure::Stall | Failure::StallAnswer) => std::future::pending().await,
        Some(Failure::LoseAnswer) => Err(io::Error::other("the answer is lost")),
        Some(Failure::Reset) => {
            switch.pull();
            Err(io::Error::other("the connection is reset"))
        }
        Some(Failure::StallBody(after)) => Ok(response.map(|body| damaged(body, Damage::Stall { after }))),
        Some(Failure::TruncateBody(after)) => {
            Ok(response.map(|body| damaged(body, Damage::Truncate { after, flushed: false })))
        }
        Some(Failure::CorruptBody { at, strip_checksums }) => {
            let mut response = response.map(|body| damaged(body, Damage::Corrupt { at }));
            if strip_checksums {
                strip(&mut response);
            }
            Ok(response)
        }
        _ => Ok(response),
    }
}

fn strip(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    let names: Vec<_> = headers
        .keys()
        .filter(|n| n.as_str().starts_with("x-amz-checksum-"))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
    headers.remove("etag");
}

fn damaged(body: Body, damage: Damage) -> Body {
    Body::http_body(Damaged {
        body,
        damage,
        position: 0,
    })
}

enum Damage {
    Stall { after: usize },
    Truncate { after: usize, flushed: bool },
    Corrupt { at: usize },
}

/// A body to which something happens at a certain place.
struct Damaged {
    body: Body,
    damage: Damage,
    position: usize,
}

impl Damaged {
    /// What is left of a piece of the body.
    fn change(&mut self, data: Bytes) -> Bytes {
        let start = self.position;
        self.position += data.len();
        match self.damage {
            Damage::Corrupt { at } if (start..self.position).contains(&at) => {
                let mut data = data.to_vec();
                data[at - start] ^= 1;
                data.into()
            }
            Damage::Stall { after } | Damage::Truncate { after, .. } if self.position > after => {
                self.position = after.max(start);
                data.slice(..self.position - start)
            }
            _ => data,
        }
    }

    /// Whether everything that may come has come.
    fn is_over(&self) -> bool {
        match self.damage {
            Damage::Stall { after } | Damage::Truncate { after, .. } => self.position >= after,
            Damage::Corrupt { .. } => false,
        }
    }
}

impl HttpBody for Damaged {
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        if self.is_over() {
            return match &mut self.damage {
                // Nobody will wake this up: the client has to lose its patience.
                Damage::Stall { .. } => Poll::Pending,
                // An error would throw away what hyper has buffered, so let it be sent first.
                Damage::Truncate { flushed, .. } if !*flushed => {
                    *flushed = true;
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Damage::Truncate { .. } => Poll::Ready(Some(Err("the body is cut short".into()))),
                Damage::Corrupt { .. } => Poll::Ready(None),
            };
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            Ok(match frame.into_data() {
                Ok(data) => Frame::data(self.change(data)),
                Err(trailers) => trailers,
            })
        }))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
