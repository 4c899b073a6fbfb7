//! The thread that serves: a listener on the loopback interface, TLS when asked for, one task a connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::connection::{ResetSwitch, Socket};
use crate::front::Front;

/// A serving thread. It stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves from now on; connections are accepted when this returns.
    pub(crate) fn start(front: Front, port: u16, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("strict-fake".into()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(front, listener, tls) => {}
                }
            });
            // Whoever still waits for an answer (a stalled one, say) loses the connection now.
            runtime.shutdown_timeout(Duration::ZERO);
        })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ended = self.stop.take().map(|stop| stop.send(()));
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(front: Front, listener: StdListener, tls: Option<TlsAcceptor>) {
    let listener = TcpListener::from_std(listener).expect("the runtime takes a non-blocking listener");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(front.clone(), stream, tls.clone()));
            }
            // Too many open files: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(front: Front, stream: TcpStream, tls: Option<TlsAcceptor>) {
    // Small answers must not wait for Nagle.
    let _slower = stream.set_nodelay(true);
    let switch = ResetSwitch::default();
    let socket = Socket::new(stream, switch.clone());
    match tls {
        None => speak(front, socket, switch).await,
        Some(tls) => {
            // A client that doesn't like the certificate hangs up here.
            if let Ok(socket) = tls.accept(socket).await {
                speak(front, socket, switch).await;
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin>(front: Front, socket: S, switch: ResetSwitch) {
    let service = service_fn(|request| front.clone().serve(request, switch.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).auto_date_header(false).half_close(true);
    // Errors are how connections end when a test orders it, or when a client gives up.
    let _ended = http.serve_connection(TokioIo::new(socket), service).await;
}

/// TLS with this chain and key, HTTP/1.1 only.
pub(crate) fn tls(chain_pem: &str, key_pem: &str) -> TlsAcceptor {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("the certificate chain is PEM");
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("the private key is PEM");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the private key is the certificate's");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
