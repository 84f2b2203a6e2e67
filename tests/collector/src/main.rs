//! `weir-collector ADDRESS:PORT`: prints where it listens, then a line for each span that comes, until it
//! is killed.

use std::io::{self, Write as _};
use std::time::Duration;

use weir_collector::{Collector, Span};

fn main() -> io::Result<()> {
    let on = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4318".to_owned());
    let on = on.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let collector = Collector::listen(on)?;
    writeln!(io::stdout(), "listening {}", collector.address())?;
    let mut printed = 0;
    for requests in 1.. {
        while !collector.is_asked(requests, Duration::from_secs(3600)) {}
        let spans = collector.spans();
        let mut out = io::stdout().lock();
        for span in &spans[printed..] {
            writeln!(out, "{}", line(span))?;
        }
        printed = spans.len();
    }
    Ok(())
}

/// `TRACE SPAN PARENT NAME key=value…`, the first three in hexadecimal, the parent of a root as `-`.
fn line(of: &Span) -> String {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parent = if of.parent.is_empty() { "-".to_owned() } else { hex(&of.parent) };
    let name = of.name.replace(' ', "-");
    let mut line = format!("{} {} {parent} {name}", hex(&of.trace), hex(&of.id));
    for (key, value) in of.resource.iter().chain(&of.attributes) {
        line.push_str(&format!(" {key}={value}"));
    }
    line
}
