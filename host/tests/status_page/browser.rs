//! A headless Chromium, spoken to over the DevTools protocol: messages of JSON ended by a zero byte, on
//! file descriptors 3 and 4 (`--remote-debugging-pipe`).

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Debian's, the smaller one first; WEIR_BROWSER names another.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium-shell", "chromium"];
/// A hang ends here, and fails the test.
const BOUND: Duration = Duration::from_secs(60);

/// One browser with one page; it ends with this.
pub(super) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    last: u64,
    /// What the page has complained of: exceptions, errors on its console, and what its policy forbade.
    pub(super) complaints: Vec<String>,
    _folder: tempfile::TempDir,
}

fn program() -> String {
    if let Ok(named) = std::env::var("WEIR_BROWSER") {
        return named;
    }
    let there = |name: &&&str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        found.is_ok_and(|it| it.success())
    };
    let found = PROGRAMS.iter().find(there);
    (*found
        .expect("a browser: apt-get install chromium-headless-shell, or name one in WEIR_BROWSER"))
    .to_owned()
}

impl Browser {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        let made = Command::new("mkfifo").args([&to, &from]).status().unwrap();
        assert!(made.success());
        // The sandbox of a browser needs what a container may lack; the page is our own.
        let script = r#"exec "$0" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
            --hide-scrollbars --remote-debugging-pipe --user-data-dir="$3" about:blank 3<"$1" 4>"$2""#;
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(program()).args([&to, &from]);
        command.arg(folder.path().join("profile")).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let to = OpenOptions::new().write(true).open(&to).unwrap();
        let from = BufReader::new(File::open(&from).unwrap());
        let complaints = Vec::new();
        let mut it = Self { child, to, from, session: None, last: 0, complaints, _folder: folder };
        let page = it.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = it.call("Target.attachToTarget", attach);
        it.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            it.call(&format!("{domain}.enable"), json!({}));
        }
        it
    }

    /// Calls a method and returns its result.
    pub(super) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method });
        message["params"] = params;
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut text = message.to_string().into_bytes();
        text.push(0);
        self.to.write_all(&text).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser ended: {method}");
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.hear(&answer);
        }
    }

    fn hear(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            _ => {}
        }
    }

    pub(super) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of an expression in the page.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let how = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", how);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is this.
    pub(super) fn until(&mut self, expression: &str, want: &Value) {
        let began = Instant::now();
        loop {
            let got = self.value(expression);
            if got == *want {
                return;
            }
            assert!(began.elapsed() < BOUND, "{expression}: {got}, not {want}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses and lets go of a key, as a keyboard does.
    pub(super) fn press(&mut self, key: &str, code: u32) {
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let mut down = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            down["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    pub(super) fn write(&mut self, text: &str) {
        text.chars().for_each(|key| self.press(&key.to_string(), key.to_ascii_uppercase() as u32));
    }

    /// What `prefers-color-scheme` says.
    pub(super) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// A picture of the whole page, so wide.
    pub(super) fn picture(&mut self, width: u32, to: &Path) {
        let size =
            json!({ "width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let how = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", how);
        let decoder = &base64::engine::general_purpose::STANDARD;
        let bytes = base64::Engine::decode(decoder, picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
