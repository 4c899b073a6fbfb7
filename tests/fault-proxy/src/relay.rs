//! A longer way: every byte arrives half a round trip after it was sent, and opening a connection costs a round trip.
//!
//! The relay does not look into what it carries. Bandwidth is not limited: what is on its way waits in a queue with the
//! moment at which it is due, so that many small writes cost no more than one large one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What is read at once.
const CHUNK: usize = 64 << 10;

/// Chunks that may be on their way at once, so that a sender who is faster than the receiver waits.
const ON_THE_WAY: usize = 256;

/// Bytes of one connection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// From the client to the server.
    pub up: u64,
    /// From the server to the client.
    pub down: u64,
}

/// Told of each connection that has ended.
pub type Tell = dyn Fn(Carried) + Send + Sync;

/// Carries everything that comes to `listener` to `upstream`, for ever.
///
/// # Errors
/// When the listener fails.
pub async fn run(listener: TcpListener, upstream: SocketAddr, round_trip: Duration, tell: Arc<Tell>) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        let tell = Arc::clone(&tell);
        tokio::spawn(async move {
            if let Ok(carried) = connection(client, upstream, round_trip).await {
                tell(carried);
            }
        });
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, round_trip: Duration) -> io::Result<Carried> {
    // The client's own connection was made at once: it is the first bytes that pay for the handshake.
    let opened = Instant::now() + round_trip;
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let one_way = round_trip / 2;
    let (up, down) = tokio::join!(
        carry(from_client, to_server, opened, one_way),
        carry(from_server, to_client, opened, one_way),
    );
    Ok(Carried { up, down })
}

/// Carries one direction to its end, and tells how many bytes there were. An error on either side is its end.
async fn carry(from: OwnedReadHalf, to: OwnedWriteHalf, opened: Instant, one_way: Duration) -> u64 {
    let (sender, receiver) = mpsc::channel(ON_THE_WAY);
    let (carried, ()) = tokio::join!(depart(from, sender, opened, one_way), arrive(to, receiver));
    carried
}

async fn depart(
    mut from: OwnedReadHalf,
    on_the_way: mpsc::Sender<(Instant, Vec<u8>)>,
    opened: Instant,
    one_way: Duration,
) -> u64 {
    let mut carried = 0;
    let mut buffer = vec![0; CHUNK];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        carried += length as u64;
        let due = Instant::now().max(opened) + one_way;
        if on_the_way.send((due, buffer[..length].to_vec())).await.is_err() {
            break;
        }
    }
    carried
}

async fn arrive(mut to: OwnedWriteHalf, mut on_the_way: mpsc::Receiver<(Instant, Vec<u8>)>) {
    while let Some((due, bytes)) = on_the_way.recv().await {
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The other side learns that this one has nothing more to say; when it has gone, there is nobody to tell.
    to.shutdown().await.ok();
}

/// A relay on a free port of loopback, on a thread of its own that ends with the process.
///
/// # Errors
/// When nobody can listen there.
pub fn start(upstream: SocketAddr, round_trip: Duration, tell: Arc<Tell>) -> io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || runtime.block_on(run(listener, upstream, round_trip, tell)));
    Ok(address)
}
