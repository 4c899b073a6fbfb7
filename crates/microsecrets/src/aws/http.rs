//! The one HTTP client: TLS by rustls and ring, made with the first request that needs it, and the last gate before the
//! network, where every request passes, the SDK's own for credentials included.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;

use super::transfer::{self, Progress, Unlimited};
use super::{AwsSettings, Client, Proxy, connect_timeout};
use crate::store::{ErrorKind, Operation, StoreError};

/// A request to an `http://` endpoint that is not loopback; nothing of it was sent.
#[derive(Debug, thiserror::Error)]
#[error("{host} would be reached without encryption")]
pub(super) struct Insecure {
    host: String,
}

/// Whom a client may talk to without encryption, besides this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// The metadata services of instances and containers, which have no TLS: the providers of credentials only.
    Metadata,
    /// Nobody.
    Services,
}

/// All connections, by what they need.
pub(super) struct Http(Arc<Shared>);

struct Shared {
    trust: TrustStore,
    proxy: ProxyConfig,
    insecure: bool,
    connect: Duration,
    read: Duration,
    connectors: Mutex<HashMap<Timeouts, Arc<Connectors>>>,
}

/// Time-outs are a connector's own, and the metadata service's are short.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Timeouts {
    connect: Duration,
    read: Option<Duration>,
}

/// Connectors with the same time-outs.
struct Connectors {
    settings: HttpConnectorSettings,
    secure: OnceLock<Connector>,
    plain: OnceLock<Connector>,
}

impl Http {
    pub(super) fn new(settings: &AwsSettings) -> Result<Self, StoreError> {
        let trust = match &settings.ca_bundle {
            Some(path) => bundle(path)?,
            None => TrustStore::default(),
        };
        let proxy = match &settings.proxy {
            Some(proxy) => tunnels(proxy)?,
            None => ProxyConfig::disabled(),
        };
        Ok(Self(Arc::new(Shared {
            trust,
            proxy,
            insecure: settings.insecure_endpoint,
            connect: connect_timeout(&settings.retry),
            read: settings.retry.timeout,
            connectors: Mutex::default(),
        })))
    }

    /// A client for the SDK.
    pub(super) fn client(&self, reach: Reach) -> Client {
        Client::new(Gate {
            shared: Arc::clone(&self.0),
            reach,
        })
    }
}

/// A client that lets nothing through in the clear.
struct Gate {
    shared: Arc<Shared>,
    reach: Reach,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl HttpClient for Gate {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect = settings.connect_timeout().unwrap_or(self.shared.connect);
        // The services' requests have the store's time-out. Those for credentials have none by themselves.
        let read = settings
            .read_timeout()
            .or_else(|| (self.reach == Reach::Metadata).then_some(self.shared.read));
        let mut held = self.shared.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let connectors = held.entry(Timeouts { connect, read }).or_insert_with(|| {
            let mut builder = HttpConnectorSettings::builder().connect_timeout(connect);
            builder.set_read_timeout(read);
            Arc::new(Connectors {
                settings: builder.build(),
                secure: OnceLock::new(),
                plain: OnceLock::new(),
            })
        });
        SharedHttpConnector::new(GatedConnector {
            shared: Arc::clone(&self.shared),
            connectors: Arc::clone(connectors),
            reach: self.reach,
        })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        None
    }
}

struct GatedConnector {
    shared: Arc<Shared>,
    connectors: Arc<Connectors>,
    reach: Reach,
}

impl fmt::Debug for GatedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedConnector")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for GatedConnector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let encrypted = match request.uri().parse::<Uri>() {
            Ok(uri) if uri.scheme_str() == Some("https") => true,
            Ok(uri) => {
                let host = uri.host().unwrap_or_default();
                let allowed =
                    self.shared.insecure || is_loopback(host) || (self.reach == Reach::Metadata && is_metadata(host));
                if !allowed {
                    let host = host.to_owned();
                    return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(Insecure { host }))));
                }
                false
            }
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(error)))),
        };
        let progress = request.extension::<Progress>().cloned();
        let unlimited = request.extension::<Unlimited>().is_some();
        if let Some(progress) = &progress {
            let body = request.take_body();
            *request.body_mut() = progress.count(body);
        }
        let answer = self.connector(encrypted).call(request);
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            if let Some(progress) = &progress {
                let body = response.take_body();
                *response.body_mut() = progress.count(body);
            }
            if !(unlimited && response.status().is_success()) {
                let body = response.take_body();
                *response.body_mut() = transfer::limit(body);
            }
            Ok(response)
        })
    }
}

impl GatedConnector {
    fn connector(&self, encrypted: bool) -> &Connector {
        let make = |trust: TrustStore, proxy: ProxyConfig| {
            let context = TlsContext::builder()
                .with_trust_store(trust)
                .build()
                .expect("the builder has no way to fail");
            Connector::builder()
                .connector_settings(self.connectors.settings.clone())
                .proxy_config(proxy)
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .tls_context(context)
                .build()
        };
        if encrypted {
            self.connectors
                .secure
                .get_or_init(|| make(self.shared.trust.clone(), self.shared.proxy.clone()))
        } else {
            // It never speaks TLS, so it does not parse a hundred and fifty certificates.
            self.connectors
                .plain
                .get_or_init(|| make(TrustStore::empty(), ProxyConfig::disabled()))
        }
    }
}

/// Checks an endpoint that somebody chose, before anything is done with it.
pub(super) fn check_endpoint(endpoint: &str, insecure: bool) -> Result<(), StoreError> {
    let unusable = || invalid("endpoint", "it is not https://HOST or https://HOST:PORT");
    let uri: Uri = endpoint.parse().map_err(|_| unusable())?;
    let authority = uri.authority().ok_or_else(unusable)?;
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host).ok_or_else(unusable)?;
    // What the client would leave out, or keep trying: a fragment, which the URI no longer has, or port 99999.
    let plain = !host.is_empty()
        && !authority.as_str().contains('@')
        && (port.is_empty() || authority.port_u16().is_some_and(|port| port != 0))
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
        && !endpoint.contains('#');
    if !plain {
        return Err(unusable());
    }
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if insecure || is_loopback(host) => Ok(()),
        Some("http") => Err(StoreError::new(Operation::Open, endpoint, ErrorKind::InsecureEndpoint)),
        _ => Err(unusable()),
    }
}

fn invalid(subject: &str, why: &str) -> StoreError {
    StoreError::new(Operation::Open, subject, ErrorKind::InvalidSetting(why.to_owned()))
}

/// Whether a host, as in a URI, is this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// Whether a host is where instances (IMDS) and containers (ECS, EKS) find their credentials.
fn is_metadata(host: &str) -> bool {
    const METADATA: [&str; 5] = [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
    ];
    METADATA.contains(&host)
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse().ok()
}

/// Tunnels through a proxy.
fn tunnels(proxy: &Proxy) -> Result<ProxyConfig, StoreError> {
    let config = ProxyConfig::https(proxy.url.as_str())
        .map_err(|_| invalid("proxy", "its URL is not http://HOST:PORT or https://HOST:PORT"))?;
    let exceptions = proxy.exceptions.as_deref().unwrap_or_default();
    // The client takes a star for names only, not for addresses.
    if exceptions.split(',').any(|exception| exception.trim() == "*") {
        return Ok(ProxyConfig::disabled());
    }
    Ok(config.no_proxy(exceptions))
}

/// The certificates of a bundle. Those that rustls does not take are left out, as it leaves out the system's; the HTTP
/// client would panic on them.
fn bundle(path: &Path) -> Result<TrustStore, StoreError> {
    let subject = path.display().to_string();
    let pem = std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| StoreError::new(Operation::Open, subject.as_str(), ErrorKind::Io).with_source(error))?;
    let mut trust = TrustStore::empty();
    let mut usable = false;
    for certificate in certificates(&pem) {
        if rustls::RootCertStore::empty()
            .add(certificate.as_slice().into())
            .is_ok()
        {
            let body = STANDARD.encode(&certificate);
            trust.add_pem_certificate(format!("{BEGIN}\n{body}\n{END}\n"));
            usable = true;
        }
    }
    if usable {
        Ok(trust)
    } else {
        Err(invalid(
            &subject,
            "the file of certificates to trust holds none that can be used",
        ))
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates in PEM, as far as they are Base64. Rustls has a reader of PEM that takes eight times as long, being
/// made for private keys.
fn certificates(pem: &str) -> impl Iterator<Item = Vec<u8>> {
    pem.split(BEGIN).skip(1).filter_map(|rest| {
        let (body, _) = rest.split_once(END)?;
        let body: String = body.lines().map(str::trim).collect();
        STANDARD.decode(body).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_encrypted_or_this_machine() {
        for good in [
            "https://s3.example.com",
            "https://10.0.0.1:9000",
            "http://127.0.0.1:9000",
            "http://127.9.9.9",
            "http://[::1]:9000",
            "http://localhost:9000/",
            "http://LOCALHOST",
        ] {
            assert!(check_endpoint(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://s3.example.com",
            "http://10.0.0.1:9000",
            "http://169.254.169.254",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://[::ffff:10.0.0.1]",
            "http://0x7f.1",
            "http://0.0.0.0",
        ] {
            let error = check_endpoint(bad, false).expect_err(bad);
            assert_eq!(error.kind, ErrorKind::InsecureEndpoint, "{bad}");
            assert!(check_endpoint(bad, true).is_ok(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_plain_url() {
        for bad in [
            "",
            "s3.example.com",
            "ftp://s3.example.com",
            "https://",
            "https://user:secret@host",
            "https://host:80@host:80",
            "/path",
            "127.0.0.1:1",
            "http://[::1",
            "http://[::1]x",
            "http://127.0.0.1:",
            "http://127.0.0.1:0",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:port",
            "http://127.0.0.1:1/path",
            "http://127.0.0.1:1//",
            "http://127.0.0.1:1?x=1",
            "http://127.0.0.1:1/#y",
            "https://host#y",
        ] {
            let error = check_endpoint(bad, true).expect_err(bad);
            assert!(matches!(error.kind, ErrorKind::InvalidSetting(_)), "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = bundle(file.path()).expect_err("no certificate");
        assert!(matches!(error.kind, ErrorKind::InvalidSetting(_)));
        let error = bundle(Path::new("/does/not/exist")).expect_err("no file");
        assert_eq!(error.kind, ErrorKind::Io);
    }
}
