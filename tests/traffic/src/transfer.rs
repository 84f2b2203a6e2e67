//! One long download whose contents are known beforehand.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest, Sha256};
use socket2::Socket;

use crate::answer::Answer;
use crate::failure;
use crate::socket::{Dial, read_answer};
use crate::stream::{Stream, hexadecimal};

/// What to download.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Where and how to connect; not by UDP.
    pub dial: Dial,
    /// How much, in bytes.
    pub bytes: u64,
    /// Which stream; where there are more, each next one has the next seed.
    pub seed: u64,
    /// At most this many bytes a second; 0 is no limit.
    pub rate: u64,
    /// Go on with more streams of as many bytes, on the same connection, until this file is there.
    pub until: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether every byte came and was right.
    pub ok: bool,
    /// Who sent it.
    pub server: Option<String>,
    /// The client's address as the server saw it.
    pub source: Option<String>,
    /// The bytes that came.
    pub bytes: u64,
    /// Of those.
    pub sha256: String,
    /// Of all as it should be.
    pub expected_sha256: String,
    /// From the connection to the last byte.
    pub seconds: f64,
    /// The longest that no byte came, in milliseconds.
    pub longest_pause_ms: u64,
    /// What broke it off.
    pub error: Option<String>,
}

impl Transfer {
    /// Downloads. What goes wrong is in the report.
    #[must_use]
    pub fn run(&self) -> Report {
        let start = Instant::now();
        let mut report = Report::default();
        let (mut hash, mut expected) = (Sha256::new(), Sha256::new());
        if let Err(error) = self.download(&mut report, &mut hash, &mut expected) {
            report.error = Some(failure::name(&error));
        }
        (report.sha256, report.expected_sha256) = (hexadecimal(hash), hexadecimal(expected));
        report.seconds = start.elapsed().as_secs_f64();
        report.ok = report.error.is_none() && report.sha256 == report.expected_sha256;
        report
    }

    fn download(
        &self,
        report: &mut Report,
        hash: &mut Sha256,
        expected: &mut Sha256,
    ) -> io::Result<()> {
        let socket = &self.dial.connect()?;
        let Answer { name, peer, .. } = read_answer(socket, self.dial.timeout)?;
        (report.server, report.source) = (Some(name), Some(peer.ip().to_string()));
        for seed in self.seed.. {
            Stream::new(seed, self.bytes).hash(expected);
            self.fetch(seed, socket, report, hash)?;
            if self.until.as_ref().is_none_or(|file| file.exists()) {
                break;
            }
        }
        Ok(())
    }

    fn fetch(
        &self,
        seed: u64,
        mut socket: &Socket,
        report: &mut Report,
        hash: &mut Sha256,
    ) -> io::Result<()> {
        let request = format!("transfer {} {seed} {}\n", self.bytes, self.rate);
        socket.write_all(request.as_bytes())?;
        let mut buffer = [0; 64 << 10];
        let mut last = Instant::now();
        let end = report.bytes + self.bytes;
        while report.bytes < end {
            let length = read_some(socket, &mut buffer)?;
            let pause = last.elapsed();
            last = Instant::now();
            report.longest_pause_ms = report.longest_pause_ms.max(milliseconds(pause));
            report.bytes += length as u64;
            hash.update(&buffer[..length]);
        }
        Ok(())
    }
}

fn read_some(mut socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A time in whole milliseconds.
#[must_use]
pub fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
