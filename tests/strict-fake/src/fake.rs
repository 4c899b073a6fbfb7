//! Starting and stopping a fake.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::front::Front;
use crate::handle::Handle;
use crate::object::Bucket;
use crate::server::{self, Server};
use crate::state::{EtagStyle, Settings, Shared, WrongRegion};
use crate::{DEFAULT_ACCOUNT, DEFAULT_REGION, s3};

/// Says what a fake is like before it starts. See [`StrictFake::builder`].
pub struct Builder {
    settings: Settings,
    buckets: Vec<(String, Bucket)>,
    tls: Option<(String, String)>,
    port: u16,
}

impl Default for Builder {
    fn default() -> Self {
        let settings = Settings {
            region: DEFAULT_REGION.into(),
            account: DEFAULT_ACCOUNT.into(),
            delay: Duration::ZERO,
            etags: EtagStyle::default(),
            wrong_region: WrongRegion::default(),
            spill_over: 16 * 1024 * 1024,
            tls: false,
        };
        Self {
            settings,
            buckets: Vec::new(),
            tls: None,
            port: 0,
        }
    }
}

impl Builder {
    /// A bucket that is there from the start.
    #[must_use]
    pub fn bucket(mut self, name: &str, bucket: Bucket) -> Self {
        self.buckets.push((name.to_owned(), bucket));
        self
    }

    /// The account and region that [`Handle::kms`] works in.
    #[must_use]
    pub fn home(mut self, account: &str, region: &str) -> Self {
        self.settings.account = account.to_owned();
        self.settings.region = region.to_owned();
        self
    }

    /// Speaks TLS with this certificate chain and key instead of plain HTTP.
    #[must_use]
    pub fn tls(mut self, chain_pem: &str, key_pem: &str) -> Self {
        self.tls = Some((chain_pem.to_owned(), key_pem.to_owned()));
        self.settings.tls = true;
        self
    }

    /// Waits this long before answering each request.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.settings.delay = delay;
        self
    }

    /// What ETags are made of.
    #[must_use]
    pub fn etags(mut self, style: EtagStyle) -> Self {
        self.settings.etags = style;
        self
    }

    /// How requests that are signed for another region are answered.
    #[must_use]
    pub fn wrong_region(mut self, answer: WrongRegion) -> Self {
        self.settings.wrong_region = answer;
        self
    }

    /// Bodies longer than this are kept in an unlinked temporary file instead of memory (16 MiB unless told).
    #[must_use]
    pub fn spill_over(mut self, bytes: u64) -> Self {
        self.settings.spill_over = bytes;
        self
    }

    /// The port on 127.0.0.1; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When the port is taken, or the certificate or key can't be used.
    pub fn start(self) -> StrictFake {
        self.try_start().expect("the port is free and threads can be made")
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the port is taken, or the system has no more threads.
    ///
    /// # Panics
    /// When the certificate or key can't be used.
    pub fn try_start(self) -> io::Result<StrictFake> {
        let tls = self.tls.map(|(chain, key)| server::tls(&chain, &key));
        let shared = Arc::new(Shared::new(self.settings));
        let front = Front {
            shared: Arc::clone(&shared),
            s3: s3::service(&shared),
        };
        let server = Server::start(front, self.port, tls)?;
        let fake = StrictFake {
            handle: Handle { shared },
            server,
        };
        for (name, bucket) in self.buckets {
            fake.add_bucket(&name, bucket);
        }
        Ok(fake)
    }
}

/// A running fake. It stops when dropped.
pub struct StrictFake {
    handle: Handle,
    server: Server,
}

impl Deref for StrictFake {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl StrictFake {
    /// Begins to describe a fake.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// `http://127.0.0.1:PORT`, or `https://`: the endpoint of S3, KMS and STS alike.
    pub fn endpoint(&self) -> String {
        let scheme = if self.shared.settings.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.server.address)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.server.address.port()
    }
}

impl std::fmt::Debug for StrictFake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrictFake")
            .field("endpoint", &self.endpoint())
            .finish_non_exhaustive()
    }
}
