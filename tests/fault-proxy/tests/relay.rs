//! The relay carries everything, counts it, and makes the way as much longer as it was told.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fault_proxy::relay::{self, Carried};

/// A server that answers with what it was sent, as it comes.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            thread::spawn(move || std::io::copy(&mut connection.try_clone().unwrap(), &mut connection));
        }
    });
    address
}

fn relayed(round_trip: Duration) -> (TcpStream, mpsc::Receiver<Carried>) {
    let (sender, carried) = mpsc::channel();
    let tell = Arc::new(move |what| sender.send(what).unwrap());
    let address = relay::start(echo(), round_trip, tell).unwrap();
    (TcpStream::connect(address).unwrap(), carried)
}

#[test]
fn everything_arrives_and_is_counted() {
    let (mut connection, carried) = relayed(Duration::ZERO);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let (mut writer, bytes) = (connection.try_clone().unwrap(), sent.clone());
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    connection.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "other bytes came back");
    let (up, down) = (sent.len() as u64, sent.len() as u64);
    assert_eq!(carried.recv().unwrap(), Carried { up, down });
}

#[test]
fn a_connection_costs_a_round_trip_and_each_question_another() {
    let round_trip = Duration::from_millis(40);
    let begin = Instant::now();
    let (mut connection, _carried) = relayed(round_trip);
    for questions in 1..=3 {
        connection.write_all(b"question").unwrap();
        connection.read_exact(&mut [0; 8]).unwrap();
        // At least: how much more it is, is the machine's business.
        assert!(begin.elapsed() >= round_trip * (1 + questions));
    }
}
