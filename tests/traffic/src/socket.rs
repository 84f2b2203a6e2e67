//! Sockets of all three protocols, made the same way.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::answer::{Answer, LONGEST};
use crate::endpoint::Protocol;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

fn open(protocol: Protocol, address: SocketAddr) -> io::Result<Socket> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (Type::STREAM, socket2::Protocol::TCP),
        Protocol::Udp => (Type::DGRAM, socket2::Protocol::UDP),
        Protocol::Sctp => (Type::STREAM, socket2::Protocol::SCTP),
    };
    Socket::new(Domain::for_address(address), kind, Some(number))
}

/// A bound socket, listening where the protocol has connections.
///
/// # Errors
/// What the kernel says; `protocol-not-supported` where it has no SCTP.
pub fn listen(protocol: Protocol, address: SocketAddr) -> io::Result<Socket> {
    let socket = open(protocol, address)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if protocol != Protocol::Udp {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if protocol != Protocol::Udp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Where to.
    pub target: SocketAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// From which address; the kernel's choice where there is none.
    pub source: Option<IpAddr>,
    /// How long to wait for a connection, and for each read and write.
    pub timeout: Duration,
}

impl Dial {
    /// A new socket with a port of its own, connected. UDP takes answers of the target only.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect(&self) -> io::Result<Socket> {
        let socket = open(self.protocol, self.target)?;
        if let Some(source) = self.source {
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        match self.protocol {
            Protocol::Udp => socket.connect(&self.target.into())?,
            _ => socket.connect_timeout(&self.target.into(), self.timeout)?,
        }
        socket.set_read_timeout(Some(self.timeout))?;
        socket.set_write_timeout(Some(self.timeout))?;
        if self.protocol == Protocol::Tcp {
            socket.set_tcp_nodelay(true)?;
        }
        Ok(socket)
    }
}

/// Reads the next line, a byte at a time: nothing behind it is taken from the socket.
///
/// # Errors
/// What the kernel says, `UnexpectedEof` where the connection ends, `InvalidData` for what is no
/// line; `TimedOut` when it isn't whole by `deadline`.
pub fn read_line(mut socket: &Socket, deadline: Instant) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match socket.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) if line.len() < LONGEST => line.push(byte[0]),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "line too long")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    String::from_utf8(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads an answer from a connection.
///
/// # Errors
/// As [`read_line`].
pub fn read_answer(socket: &Socket, timeout: Duration) -> io::Result<Answer> {
    Answer::parse(&read_line(socket, Instant::now() + timeout)?)
}

/// Sends words in a datagram and waits for the answer to them; late answers to others are passed over.
///
/// # Errors
/// What the kernel says; `TimedOut` where no answer comes.
pub fn ask(mut socket: &Socket, words: &str, timeout: Duration) -> io::Result<Answer> {
    let deadline = Instant::now() + timeout;
    socket.send(words.as_bytes())?;
    let mut datagram = [0; LONGEST];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.read(&mut datagram) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let answer = Answer::parse(&String::from_utf8_lossy(&datagram[..length]))?;
        if answer.echo == words {
            return Ok(answer);
        }
    }
}
