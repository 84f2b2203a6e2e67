//! The program: what it tells of itself, and how it refuses.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A hang ends here, and fails the test.
const BOUND: Duration = Duration::from_secs(60);

fn start(folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_weir-apiserver"))
        .args(["--listen", "127.0.0.1:0", "--manifests"])
        .arg(folder.join("manifests"))
        .arg("--kubeconfig")
        .arg(folder.join("kubeconfig"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program that was just built")
}

#[test]
fn it_tells_how_it_is_reached_once_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("manifests")).unwrap();
    let object = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    std::fs::write(folder.path().join("manifests/shop.yaml"), object).unwrap();
    let mut program = start(folder.path());
    let (file, began) = (folder.path().join("kubeconfig"), Instant::now());
    while !file.exists() {
        assert_eq!(program.try_wait().unwrap(), None, "it ended");
        assert!(began.elapsed() < BOUND, "no kubeconfig came");
        std::thread::sleep(Duration::from_millis(20));
    }
    let kubeconfig: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let cluster = &kubeconfig["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().unwrap();
    let address: std::net::SocketAddr = server.strip_prefix("https://").unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok(), "{server}");
    let ca = std::fs::read_to_string(cluster["certificate-authority"].as_str().unwrap()).unwrap();
    assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"), "{ca}");
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn a_folder_that_isnt_there_ends_it_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let ended = start(folder.path()).wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && words.contains("read the folder"), "{words}");
}
