//! A headless Chromium, driven over WebDriver; and where there is none.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Connection, Request};
use super::server::wait_for;

/// The name under which WebDriver tells the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The key Tab.
pub const TAB: &str = "\u{e004}";
/// The key Enter.
pub const ENTER: &str = "\u{e007}";

/// Programs, the first of which that is there is taken.
const DRIVERS: [&str; 3] = ["chromedriver", "/usr/lib/chromium/chromedriver", "/usr/lib/chromium-browser/chromedriver"];
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// The driver and the browser of this machine.
pub struct Found {
    driver: PathBuf,
    browser: PathBuf,
}

impl Found {
    /// Looks for both; without one of them a word says that the test is skipped.
    pub fn or_skip(test: &str) -> Option<Self> {
        let driver = program("PROBITY_CHROMEDRIVER", &DRIVERS);
        let browser = program("PROBITY_CHROMIUM", &BROWSERS);
        match (driver, browser) {
            (Some(driver), Some(browser)) => Some(Self { driver, browser }),
            (driver, browser) => {
                let missing = match (driver.is_some(), browser.is_some()) {
                    (true, _) => "chromium is",
                    (_, true) => "chromedriver is",
                    _ => "chromium and chromedriver are",
                };
                eprintln!("skipped {test}: {missing} missing; `apt-get install chromium chromium-driver`");
                None
            }
        }
    }
}

fn program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = names.iter().flat_map(|name| match name.starts_with('/') {
        true => vec![PathBuf::from(name)],
        false => folders.iter().map(|folder| folder.join(name)).collect(),
    });
    places.into_iter().find(|path| path.is_file())
}

/// A window of a browser of its own.
pub struct Browser {
    driver: Child,
    connection: Connection,
    session: String,
    // Whatever the browser keeps goes with it.
    profile: TempDir,
}

impl Browser {
    /// Opens a window.
    pub fn open(found: &Found) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // A free port may be taken for one of the two families of addresses; then the driver ends, and is started anew.
        let started = (0..5).find_map(|_| start(&found.driver, profile.path()));
        let (driver, mut out, port) = started.expect("chromedriver ended five times before it listened");
        // The driver goes on talking, and must not wait for a reader.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let mut browser = Self {
            driver,
            connection: Connection::open(&format!("127.0.0.1:{port}")).unwrap(),
            session: String::new(),
            profile,
        };
        let folder = format!("--user-data-dir={}", browser.profile.path().join("user").display());
        let args = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
        let args: Vec<&str> = args.into_iter().chain([folder.as_str()]).collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": found.browser, "args": args},
        }}});
        let session = browser.command("POST", "/session", Some(wanted));
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    /// Goes to an address, and waits until the page is there.
    pub fn go(&mut self, url: &str) {
        self.ask("POST", "url", Some(json!({"url": url})));
    }

    /// Where it is.
    pub fn url(&mut self) -> String {
        self.ask("GET", "url", None).as_str().unwrap().to_owned()
    }

    /// The markup of the page.
    pub fn source(&mut self) -> String {
        self.ask("GET", "source", None).as_str().unwrap().to_owned()
    }

    /// What a person reads on the page.
    pub fn text(&mut self) -> String {
        self.script("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// What a function body returns, given nothing.
    pub fn script(&mut self, body: &str) -> Value {
        self.ask("POST", "execute/sync", Some(json!({"script": body, "args": []})))
    }

    /// How many elements a selector picks.
    pub fn count(&mut self, selector: &str) -> usize {
        self.elements(selector).len()
    }

    /// The text of the first element.
    pub fn text_of(&mut self, selector: &str) -> String {
        let element = self.element(selector);
        self.ask("GET", &format!("element/{element}/text"), None).as_str().unwrap().to_owned()
    }

    /// An attribute of the first element.
    pub fn attribute(&mut self, selector: &str, name: &str) -> String {
        let element = self.element(selector);
        let value = self.ask("GET", &format!("element/{element}/attribute/{name}"), None);
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the first element.
    pub fn click(&mut self, selector: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("element/{element}/click"), Some(json!({})));
    }

    /// Clicks on the button of a form and waits for the page that answers: its words may stand on this one, too.
    pub fn submit(&mut self, selector: &str) {
        self.script("document.documentElement.dataset.sent = 'from here'; return 0");
        self.click(selector);
        wait_for(&format!("the page behind {selector}"), || {
            let is_new = "return document.readyState === 'complete' && !document.documentElement.dataset.sent";
            (self.script(is_new) == true).then_some(())
        });
    }

    /// Types into the first element, in the place of what was there.
    pub fn fill(&mut self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.ask("POST", &format!("element/{element}/clear"), Some(json!({})));
        self.ask("POST", &format!("element/{element}/value"), Some(json!({"text": text})));
    }

    /// Chooses an option of a list by its value.
    pub fn choose(&mut self, selector: &str, value: &str) {
        self.click(&format!("{selector} option[value='{value}']"));
    }

    /// Presses keys where the focus is, as a person without a mouse does.
    pub fn press(&mut self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask("POST", "actions", Some(actions));
    }

    /// Presses Tab until the focus is on an element that the selector picks; panics when it never is.
    pub fn tab_to(&mut self, selector: &str) {
        let is_there = format!("return document.activeElement.matches({})", json!(selector));
        for _ in 0..200 {
            if self.script(&is_there) == true {
                return;
            }
            self.press(TAB);
        }
        panic!("by the keyboard nobody comes to {selector} on {}", self.url());
    }

    /// Waits until the page holds such an element.
    pub fn wait_for(&mut self, selector: &str) {
        let looked = format!("{selector} on a page");
        wait_for(&looked, || (!self.elements(selector).is_empty()).then_some(()));
    }

    /// Waits until what a person reads has these words.
    pub fn wait_for_text(&mut self, words: &str) -> String {
        // A page that is being replaced has no body for a moment.
        let read = "return document.body ? document.body.innerText : ''";
        let mut last = String::new();
        let start = std::time::Instant::now();
        while start.elapsed() < super::server::DEADLINE {
            last = self.script(read).as_str().unwrap_or_default().to_owned();
            if last.to_lowercase().contains(&words.to_lowercase()) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("`{words}` never stood on {}:\n{last}", self.url());
    }

    /// A screen of a telephone, 360 pixels wide, or that of a desk.
    pub fn screen(&mut self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", screen);
    }

    /// The colours that the person prefers: `light` or `dark`.
    pub fn colours(&mut self, scheme: &str) {
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", media);
    }

    /// Writes a picture of all of the page.
    pub fn picture(&mut self, file: &Path) {
        let taken = self.devtools("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": true}));
        std::fs::write(file, STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// What the console was told since the last look: errors of scripts, and whatever the page's policy refused.
    pub fn complaints(&mut self) -> Vec<String> {
        let entries = self.ask("POST", "se/log", Some(json!({"type": "browser"})));
        let is_complaint = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let complaints = entries.as_array().unwrap().iter().filter(is_complaint);
        complaints.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn devtools(&mut self, command: &str, params: Value) -> Value {
        self.ask("POST", "goog/cdp/execute", Some(json!({"cmd": command, "params": params})))
    }

    fn element(&mut self, selector: &str) -> String {
        let found = self.elements(selector).into_iter().next();
        found.unwrap_or_else(|| panic!("{selector} is not on {}:\n{}", self.url(), self.text()))
    }

    fn elements(&mut self, selector: &str) -> Vec<String> {
        let found = self.ask("POST", "elements", Some(json!({"using": "css selector", "value": selector})));
        found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect()
    }

    fn ask(&mut self, method: &str, command: &str, body: Option<Value>) -> Value {
        let target = format!("/session/{}/{command}", self.session);
        self.command(method, &target, body)
    }

    fn command(&mut self, method: &str, target: &str, body: Option<Value>) -> Value {
        let request = match &body {
            Some(body) => Request::json(target, body),
            None => Request::new(method, target),
        };
        let answer = self.connection.ask(&request).unwrap_or_else(|e| panic!("{method} {target}: {e}"));
        let document = answer.json();
        assert!(answer.status == 200, "{method} {target} {body:?}: {}", document["value"]["message"]);
        document["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Otherwise the browser would stay behind when its driver goes.
        let target = format!("/session/{}", self.session);
        let _ = self.connection.ask(&Request::new("DELETE", &target));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The driver, what it says, and the port that it says it listens at; none when it ended before.
fn start(driver: &Path, folder: &Path) -> Option<(Child, BufReader<ChildStdout>, u16)> {
    let mut command = Command::new(driver);
    command.arg("--port=0").env("TMPDIR", folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().unwrap();
    let mut out = BufReader::new(driver.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        let port = line.split("on port ").nth(1).and_then(|rest| rest.trim().trim_end_matches('.').parse().ok());
        if let Some(port) = port.filter(|port| *port > 0) {
            return Some((driver, out, port));
        }
        line.clear();
    }
    let _ = driver.wait();
    None
}
