//! A strict stand-in for the parts of S3, KMS and STS that Microsecrets relies on.
//!
//! Emulators accept what AWS refuses: another account's bucket, a key that doesn't exist, a checksum that doesn't fit,
//! rights that nobody gave. Tests of security rules prove nothing against those, so they run against this. It is small,
//! it refuses what it doesn't know, and it says in its log what was asked of it.
//!
//! ```
//! use strict_fake::{Bucket, Fault, Failure, StrictFake};
//!
//! let fake = StrictFake::builder().bucket("example-microsecrets", Bucket::default()).start();
//! let key = fake.kms().create_key("microsecrets-api");
//! let reader = fake.principal("AKIAREADER", "secret", "111122223333");
//! fake.allow(&reader, "s3:GetObject", "arn:aws:s3:::example-microsecrets/services/api/*");
//! fake.allow(&reader, "kms:Decrypt", &key);
//! let slow_down = fake.fail(Fault::on("GetObject", Failure::Status(503, "SlowDown")).nth(2));
//! println!("point a client at {}", fake.endpoint());
//! assert_eq!(slow_down.fired(), 0);
//! ```
//!
//! # What it is strict about
//!
//! - **Signatures**: of S3 (with chunked bodies and trailers) by s3s, of KMS and STS here; the access key must be known,
//!   the time within 15 minutes of the fake's clock, every `x-amz-` header signed, the region the bucket's.
//! - **Rights**: exactly what a principal was given, on each of the actions that AWS asks for; a missing object is 403
//!   to who may not list. Identity-based policies are all there is, so an account boundary stops nobody by itself;
//!   of bucket policies the Deny statements for everybody are evaluated.
//! - **Encryption**: keys are resolved in the caller's account, answered as ARNs, must be enabled, and need
//!   `kms:GenerateDataKey` and `kms:Decrypt` under the encryption context `aws:s3:arn`.
//! - **Conditions**: `If-Match`, `If-None-Match` on reads, writes, deletions and completions, evaluated in one step with
//!   the write itself.
//! - **Integrity**: stated checksums, `Content-MD5`, the payload's hash, sizes of parts and of metadata.
//! - **Ownership**: `x-amz-expected-bucket-owner` on every operation; no ACLs where ownership is enforced.
//!
//! # Where AWS's documents are silent
//!
//! Only AWS itself can answer these; the fake does what is written here, and code should live with either answer.
//!
//! - The conditions of a read are evaluated before `kms:Decrypt` is asked for, so a 304 or 412 uses no key.
//! - `If-Match` of a write or deletion on a missing object is 404 also to who may not list.
//! - UploadPart asks for both rights on the key, CompleteMultipartUpload for `kms:Decrypt`.
//! - The condition key `s3:x-amz-server-side-encryption-aws-kms-key-id` is what the request says, resolved or not.
//! - The owner, the region and the rights are checked before a body is read, conditions and checksums after.
//!
//! # What it isn't
//!
//! There are no requests without credentials, no ACLs, no CopyObject, no DeleteObjects, no Object Lock, no replication,
//! no SSE-C, and key policies are stored and not evaluated. Of an XML body neither `Content-MD5` nor checksum is
//! verified. 409 `ConditionalRequestConflict` comes only when it is ordered. It listens on 127.0.0.1 only.
//!
//! # Hosts
//!
//! Requests in path style go to `http://127.0.0.1:PORT/BUCKET/KEY`. A `Host` of `BUCKET.s3[...].amazonaws.com` is
//! understood too, for clients that come through a proxy which sends all of AWS's names here.

mod body;
mod clock;
mod connection;
mod damage;
mod digest;
mod errors;
mod exchange;
mod fake;
mod fault;
mod front;
mod handle;
mod iam;
mod kms;
mod log;
mod object;
mod policy;
mod s3;
mod server;
mod settings;
mod sigv4;
mod state;
mod sts;

pub use digest::ChecksumAlgorithm;
pub use fake::{Builder, StrictFake};
pub use fault::{Failure, Fault, FaultHandle};
pub use handle::Handle;
pub use iam::{Condition, Principal};
pub use kms::Kms;
pub use log::{KmsUse, LoggedRequest};
pub use object::{Attributes, Bucket, Checksum, Object, Raw, Sse};
pub use state::{EtagStyle, WrongRegion};

/// The account that things belong to unless told otherwise.
pub const DEFAULT_ACCOUNT: &str = "111122223333";

/// The region that things are in unless told otherwise.
pub const DEFAULT_REGION: &str = "us-east-1";

/// A certificate authority and a server's certificate for 127.0.0.1 and localhost, valid from 2020 to 2120: for
/// [`Builder::tls`] and for what has to trust it. The key is public, so trust it nowhere else.
pub mod test_tls {
    /// The certificate of the authority that a client has to trust.
    pub const CA: &str = include_str!("../tls/ca.pem");
    /// The server's certificate chain.
    pub const CHAIN: &str = include_str!("../tls/server.pem");
    /// The server's private key.
    pub const KEY: &str = include_str!("../tls/server.key");
}
