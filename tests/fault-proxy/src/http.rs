//! A proxy that lets one thing go wrong: at the n-th request, so many times, and counts that it did.
//!
//! Heads go through as they came, so signatures over `Host` hold. What is between a client and the proxy is never
//! between two clients: a [`Proxy`] belongs to one test at a time.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::fault::{Counts, Fault, Plan, Seen};
use crate::message::Message;

/// What an endless body's length is said to be, and is.
const ENDLESS: u64 = 10 << 30;

/// A proxy on a free port of loopback. Its threads end with their connections, and with the process.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    /// Whether it doesn't look into what it carries, because it can't.
    tls: bool,
    state: Mutex<(Option<Plan>, Seen)>,
}

impl Shared {
    /// Counts what came by; answers what is to happen to it.
    fn due(&self, counts: Counts) -> Option<Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (plan, seen) = &mut *state;
        seen.count(counts);
        let plan = plan.as_ref().filter(|plan| plan.fault.counts() == counts)?;
        let nth = seen.of(counts);
        if nth < plan.nth || nth - plan.nth >= plan.times {
            return None;
        }
        seen.fired += 1;
        Some(plan.fault.clone())
    }
}

impl Proxy {
    /// A proxy in front of a server that speaks HTTP.
    ///
    /// # Errors
    /// When nobody can listen.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_as(upstream, false)
    }

    /// A proxy in front of a server that speaks TLS: it knows of [`Fault::ResetHandshake`] only.
    ///
    /// # Errors
    /// When nobody can listen.
    pub fn start_tls(upstream: SocketAddr) -> io::Result<Self> {
        Self::start_as(upstream, true)
    }

    fn start_as(upstream: SocketAddr, tls: bool) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            tls,
            state: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // Whatever breaks is for the client to see.
                thread::spawn(move || serve(&client, &shared).ok());
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets this go wrong from now on, or nothing, and counts from the beginning.
    pub fn plan(&self, plan: Option<Plan>) {
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner) = (plan, Seen::default());
    }

    /// What came by since the plan.
    pub fn seen(&self) -> Seen {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

fn serve(client: &TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    if shared.due(Counts::Connections).is_some() {
        if shared.tls {
            // The client has said hello once its first record is here.
            (&mut &*client).read_exact(&mut [0; 64])?;
        }
        return reset(client);
    }
    if shared.tls {
        return carry(client, shared.upstream);
    }
    let mut from = BufReader::new(client);
    while let Some(request) = Message::read(&mut from, false, |head| go_on(head, client))? {
        if !answer(&request, client, shared)? {
            break;
        }
    }
    client.shutdown(Shutdown::Both)
}

/// A client that waits for leave to send its body gets it.
fn go_on(head: &Message, mut client: &TcpStream) -> io::Result<()> {
    match head.header("expect") {
        Some(_) => client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n"),
        None => Ok(()),
    }
}

/// Carries bytes both ways until both have ended.
fn carry(client: &TcpStream, upstream: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            io::copy(&mut &*client, &mut &server).ok();
            server.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut &server, &mut &*client).ok();
        client.shutdown(Shutdown::Write).ok();
    });
    Ok(())
}

/// Closes so that the other side sees a reset: without waiting for what was sent.
fn reset(client: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}

/// Asks the server.
fn ask(request: &Message, upstream: SocketAddr) -> io::Result<Message> {
    let mut server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    server.write_all(&[&request.head_bytes(), &request.body[..]].concat())?;
    let bodiless = request.head[0].starts_with("HEAD ");
    let mut from = BufReader::new(server);
    loop {
        let answer = Message::read(&mut from, bodiless, |_| Ok(()))?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        // The leave to send the body, which was not waited for.
        if answer.status() != Some(100) {
            return Ok(answer);
        }
    }
}

/// Answers a request; says whether the connection can be used for another.
fn answer(request: &Message, client: &TcpStream, shared: &Shared) -> io::Result<bool> {
    let fault = shared.due(Counts::Requests);
    match fault {
        Some(Fault::Close) => return Ok(false),
        Some(Fault::Reset) => return reset(client).map(|()| false),
        Some(Fault::Delay(time)) => thread::sleep(time),
        Some(Fault::Answer(status, code)) => return say(client, request, status, code).map(|()| true),
        _ => (),
    }
    let answer = ask(request, shared.upstream)?;
    match fault {
        Some(Fault::LoseAnswer) => return Ok(false),
        Some(Fault::CutHead) => {
            let head = answer.head_bytes();
            (&mut &*client).write_all(&head[..head.len() / 2])?;
            return Ok(false);
        }
        _ => (),
    }
    let damage = if answer.body.is_empty() {
        None
    } else {
        shared.due(Counts::Bodies)
    };
    match damage {
        Some(fault) => damaged(answer, &fault, client).map(|()| false),
        None => send(client, &answer.head_bytes(), &answer.body).map(|()| true),
    }
}

fn send(mut client: &TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    client.write_all(&[head, body].concat())
}

/// An error in the words of the service that was asked.
fn say(client: &TcpStream, request: &Message, status: u16, code: &str) -> io::Result<()> {
    let is_kms = request.header("x-amz-target").is_some();
    let is_sts = request.header("content-type") == Some("application/x-www-form-urlencoded");
    let error = format!("<Error><Code>{code}</Code><Message>on purpose</Message></Error>");
    let (kind, body) = match (is_kms, is_sts) {
        (true, _) => (
            "application/x-amz-json-1.1",
            format!("{{\"__type\": \"{code}\", \"message\": \"on purpose\"}}"),
        ),
        (_, true) => ("text/xml", format!("<ErrorResponse>{error}</ErrorResponse>")),
        _ => ("application/xml", format!("<?xml version=\"1.0\"?>\n{error}")),
    };
    let body = if request.head[0].starts_with("HEAD ") {
        String::new()
    } else {
        body
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} On Purpose\r\ncontent-type: {kind}\r\nx-amz-request-id: 0123456789ABCDEF\r\n\
         content-length: {length}\r\n\r\n"
    );
    send(client, head.as_bytes(), body.as_bytes())
}

/// Sends an answer whose body something is wrong with; the connection ends with it.
fn damaged(mut answer: Message, fault: &Fault, client: &TcpStream) -> io::Result<()> {
    let length = answer.body.len();
    answer.say_length(length as u64);
    match fault {
        Fault::ResetInBody => {
            send(client, &answer.head_bytes(), &answer.body[..length / 2])?;
            // What has arrived is read before the reset is seen.
            thread::sleep(Duration::from_millis(5));
            return reset(client);
        }
        Fault::Truncate => answer.body.truncate(length / 2),
        Fault::TruncateFitting => {
            answer.body.truncate(length / 2);
            answer.say_length(length as u64 / 2);
            unprove(&mut answer);
        }
        Fault::Corrupt => {
            let start = (length / 2).saturating_sub(8);
            answer
                .body
                .iter_mut()
                .skip(start)
                .take(16)
                .for_each(|byte| *byte = !*byte);
            unprove(&mut answer);
        }
        Fault::Length(more) => answer.say_length((length as u64).saturating_add_signed(*more)),
        Fault::LengthZero => answer.say_length(0),
        Fault::LengthTwice => answer.head.push(format!("content-length: {}", length + 1)),
        Fault::Drip(pause) => return drip(client, &answer, *pause),
        Fault::Endless => return endless(client, answer),
        _ => (),
    }
    send(client, &answer.head_bytes(), &answer.body)
}

/// Takes away every header from which somebody could tell that the body is another one.
fn unprove(answer: &mut Message) {
    answer.without(|name| name.starts_with("x-amz-checksum-") || name == "etag" || name == "content-md5");
}

fn drip(mut client: &TcpStream, answer: &Message, pause: Duration) -> io::Result<()> {
    client.write_all(&answer.head_bytes())?;
    for byte in &answer.body {
        client.write_all(&[*byte])?;
        thread::sleep(pause);
    }
    Ok(())
}

fn endless(mut client: &TcpStream, mut answer: Message) -> io::Result<()> {
    answer.say_length(ENDLESS);
    client.write_all(&answer.head_bytes())?;
    client.write_all(&answer.body)?;
    let block = vec![b' '; 64 << 10];
    let mut left = ENDLESS - answer.body.len() as u64;
    while left > 0 {
        let length = left.min(block.len() as u64);
        client.write_all(&block[..length as usize])?;
        left -= length;
    }
    Ok(())
}
