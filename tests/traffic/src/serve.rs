//! The servers: a thread for each listener, one more for each connection.
//!
//! A connection is greeted with an [`Answer`] at once. Then it may ask, a line at a time:
//! `ping WORDS` is answered with the words; `transfer BYTES SEED RATE` with that many bytes of
//! the [`Stream`], at most RATE bytes a second (0: as fast as it goes). A datagram is answered
//! with its own words; its answer comes from the address that the kernel chooses, so a UDP server
//! on a host with several addresses should name the one that it listens on.

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::answer::{Answer, LONGEST};
use crate::endpoint::Protocol;
use crate::netns;
use crate::socket::{listen, read_line};
use crate::stream::Stream;

/// A connection needs little: thousands of threads fit.
const STACK: usize = 256 << 10;
/// How much is sent at once; SCTP takes no message larger than its send buffer.
const PIECE: usize = 16 << 10;
/// A connection that asks nothing for so long is closed.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
/// How long to wait where a connection can't be accepted for now (no descriptors).
const BREATHER: Duration = Duration::from_millis(10);

/// One server on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it calls itself.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it listens; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// The network namespace that it listens in; else that of its starter.
    pub netns: Option<String>,
}

impl Server {
    /// Starts to listen, and serves on a thread of its own until the process ends.
    ///
    /// # Errors
    /// Where the address can't be listened on, or the namespace can't be entered. Not of single
    /// connections: a client sees those.
    pub fn start(self) -> io::Result<SocketAddr> {
        let thread = thread::Builder::new().stack_size(STACK);
        // The namespace belongs to the thread: the socket must be made on it.
        let (said, hear) = std::sync::mpsc::channel();
        thread.spawn(move || match self.open() {
            Ok((socket, address)) => {
                drop(said.send(Ok(address)));
                match self.protocol {
                    Protocol::Udp => self.answer_datagrams(&socket.into()),
                    Protocol::Tcp | Protocol::Sctp => self.accept(&socket),
                }
            }
            Err(error) => drop(said.send(Err(error))),
        })?;
        hear.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
    }

    fn open(&self) -> io::Result<(Socket, SocketAddr)> {
        if let Some(netns) = &self.netns {
            netns::enter(netns)?;
        }
        let socket = listen(self.protocol, self.address)?;
        let address = socket.local_addr()?.as_socket();
        Ok((socket, address.ok_or(io::ErrorKind::Unsupported)?))
    }

    fn accept(&self, socket: &Socket) {
        loop {
            let Ok((connection, peer)) = socket.accept() else {
                thread::sleep(BREATHER);
                continue;
            };
            let Some(peer) = peer.as_socket() else { continue };
            let name = self.name.clone();
            let serve = move || drop(converse(&connection, &name, peer));
            // Without a thread the connection is closed, which the client counts.
            drop(thread::Builder::new().stack_size(STACK).spawn(serve));
        }
    }

    fn answer_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; LONGEST];
        loop {
            // An error here is news of an earlier answer that nobody wanted.
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let echo = String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned();
            let line = Answer { name: self.name.clone(), peer, echo }.line();
            // An answer that can't be sent is one that the client misses and counts.
            drop(socket.send_to(line.as_bytes(), peer));
        }
    }
}

/// Serves one connection until it ends.
fn converse(mut socket: &Socket, name: &str, peer: SocketAddr) -> io::Result<()> {
    let answer = |echo: &str| {
        let line = Answer { name: name.to_owned(), peer, echo: echo.to_owned() }.line();
        line.into_bytes()
    };
    socket.write_all(&answer(""))?;
    loop {
        let line = read_line(socket, Instant::now() + LONGEST_SILENCE)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ping", ..] => socket.write_all(&answer(line["ping".len()..].trim()))?,
            ["transfer", bytes, seed, rate] => {
                let number = |text: &str| {
                    text.parse::<u64>().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
                };
                send(socket, Stream::new(number(seed)?, number(bytes)?), number(rate)?)?;
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, line)),
        }
    }
}

/// Sends a stream, never further ahead than `rate` bytes a second allow; 0 is no limit.
fn send(mut socket: &Socket, mut stream: Stream, rate: u64) -> io::Result<()> {
    let start = Instant::now();
    let mut buffer = [0; PIECE];
    let mut sent = 0_u64;
    loop {
        let length = match stream.fill(&mut buffer) {
            0 => return Ok(()),
            length => length,
        };
        socket.write_all(&buffer[..length])?;
        sent += length as u64;
        if let Some(due) = sent.saturating_mul(1000).checked_div(rate) {
            let due = start + Duration::from_millis(due);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}
