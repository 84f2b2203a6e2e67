//! The program: what it prints of a request, and how it answers one that is none.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

/// Ended with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, and then the test has failed by that.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

/// The status line of the answer.
fn post(to: &str, body: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    let length = body.len();
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_span_is_a_line_and_nonsense_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-collector"));
    command.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let mut lines = BufReader::new(program.0.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap();
    let address = address.strip_prefix("listening ").unwrap();
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "take in".to_owned(),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let request = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    assert_eq!(post(address, &[0xff; 9]).unwrap(), "HTTP/1.1 400 Bad Request");
    assert_eq!(post(address, &request).unwrap(), "HTTP/1.1 200 OK");
    let line = lines.next().unwrap().unwrap();
    assert_eq!(line, format!("{} {} - take-in", "01".repeat(16), "02".repeat(8)));
}
