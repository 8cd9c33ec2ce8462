//! A person at the pages: headless Chromium, told over ChromeDriver's W3C protocol what to press and type.
//!
//! Whatever is looked for is waited for, as a person waits; a find that never comes fails with what the page says instead.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::eventually;
use super::folder::Folder;

/// How long a person waits for something to come up.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the driver may take over one command; a page that imports a long file is one command.
const ANSWER: Duration = Duration::from_secs(120);
/// The key under which WebDriver speaks of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// A page longer than this is cut off in its picture.
const TALLEST: i64 = 6000;

/// The widths the pages are looked at in: a phone's and a desk's.
const SIZES: [(i64, i64); 2] = [(390, 844), (1440, 900)];
const THEMES: [&str; 2] = ["light", "dark"];

/// A browser with a profile of its own; it closes when this is dropped.
pub struct Browser {
    driver: Child,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    /// `http://127.0.0.1:PORT/session/ID`.
    session: String,
    folder: Folder,
    /// What was found wrong with pages that were looked at.
    findings: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(async { self.client.delete(&self.session).send().await });
        // What a broken browser leaves behind is in the driver's process group.
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// Starts one.
    pub fn start() -> Self {
        let mut driver = Command::new("/usr/bin/chromedriver")
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver cannot be started: {error}; run tests/run, which installs it"));
        let mut said = BufReader::new(driver.stdout.take().expect("its output is ours")).lines();
        let port = said.find_map(|line| Some(line.ok()?.split("started successfully on port ").nth(1)?.trim_end_matches('.').to_owned()));
        let port = port.expect("chromedriver says its port");
        std::thread::spawn(move || said.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = reqwest::Client::builder().timeout(ANSWER).no_proxy().build().expect("a client");
        let folder = Folder::new();
        let session = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self { driver, runtime, client, session, folder, findings: Vec::new() };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--user-data-dir={}", browser.folder.file("profile").display()),
        ];
        let downloads = browser.folder.file("downloads");
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": "/usr/bin/chromium",
                "args": arguments,
                "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = browser.send(reqwest::Method::POST, "", Some(&wanted)).unwrap_or_else(|error| panic!("no browser: {error}"));
        let id = made["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    /// Sends a command: its value, or the error in the driver's words.
    fn send(&self, method: reqwest::Method, command: &str, body: Option<&Value>) -> Result<Value, String> {
        let request = self.client.request(method, format!("{}{command}", self.session));
        let request = if let Some(body) = body { request.json(body) } else { request };
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|error| error.to_string())?;
            let fine = answer.status().is_success();
            let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
            if fine { Ok(answer["value"].take()) } else { Err(format!("{}: {}", answer["value"]["error"], answer["value"]["message"])) }
        })
    }

    fn post(&self, command: &str, body: &Value) -> Result<Value, String> {
        self.send(reqwest::Method::POST, command, Some(body))
    }

    /// Runs JavaScript in the page; `arguments` are its own.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &Value) -> Value {
        self.try_run(script, arguments).unwrap_or_else(|error| panic!("{error}\n{}", self.shown()))
    }

    fn try_run(&self, script: &str, arguments: &Value) -> Result<Value, String> {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let told = self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
        told.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Goes to an address.
    #[track_caller]
    pub fn goes_to(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The address it is at.
    pub fn address(&self) -> String {
        let address = self.send(reqwest::Method::GET, "/url", None);
        address.ok().and_then(|address| address.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// What the page says, as a person reads it.
    pub fn text(&self) -> String {
        let text = self.try_run("return document.body ? document.body.innerText : ''", &json!([]));
        text.ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn shown(&self) -> String {
        format!("---- the page at {}\n{}", self.address(), self.text())
    }

    /// Waits until the page says this.
    #[track_caller]
    pub fn sees(&self, words: &str) {
        let seen = eventually(PATIENCE, || self.text().to_lowercase().contains(&words.to_lowercase()).then_some(()));
        assert!(seen.is_some(), "“{words}” does not come up\n{}", self.shown());
    }

    /// Waits for what a script finds; the script gets `words` and `near`, and returns an element or null.
    #[track_caller]
    fn finds(&self, what: &str, script: &str, arguments: &Value) -> Element<'_> {
        let found = eventually(PATIENCE, || {
            let found = self.try_run(script, arguments).ok()?;
            found[ELEMENT].as_str().map(str::to_owned)
        });
        let id = found.unwrap_or_else(|| panic!("there is no {what}: {arguments}\n{}", self.shown()));
        Element { browser: self, id }
    }

    /// The field that a label with these words belongs to, or that is named so.
    #[track_caller]
    pub fn field(&self, label: &str) -> Element<'_> {
        self.finds("field", FIND_FIELD, &json!([label]))
    }

    /// The button or link with these words.
    #[track_caller]
    pub fn button(&self, words: &str) -> Element<'_> {
        self.finds("button or link", FIND_BUTTON, &json!([words]))
    }

    /// The first element that a CSS selector finds.
    #[track_caller]
    pub fn one(&self, selector: &str) -> Element<'_> {
        self.finds("element", "return document.querySelector(arguments[0])", &json!([selector]))
    }

    /// Presses a button or follows a link, and waits for where it leads: another page, or a question.
    #[track_caller]
    pub fn presses(&self, words: &str) {
        let button = self.button(words);
        let leads = self.run(LEADS, &json!([{ ELEMENT: button.id }]));
        button.click();
        self.arrives(words, leads.as_str().unwrap_or_default());
    }

    /// Presses a button that is asked about first, and says yes.
    #[track_caller]
    pub fn presses_and_confirms(&self, words: &str) {
        self.presses(words);
        let yes = self.one("dialog[open] button");
        self.run("window.here = true", &json!([]));
        yes.click();
        self.arrives(words, "page");
    }

    /// Presses a key of the keyboard, wherever the focus is, and waits for where it leads: `page`, `question` or nothing.
    #[track_caller]
    pub fn strikes(&self, key: &str, leads: &str) {
        self.run("window.here = true", &json!([]));
        let keys = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }] }] });
        self.post("/actions", &keys).unwrap_or_else(|error| panic!("{error}\n{}", self.shown()));
        self.arrives(key, leads);
    }

    /// Waits for another page, or a question on this one.
    #[track_caller]
    fn arrives(&self, words: &str, leads: &str) {
        let script = match leads {
            "page" => "return !window.here && document.readyState === 'complete'",
            "question" => "return !!document.querySelector('dialog[open]')",
            _ => return,
        };
        // A page may be the end of a long import.
        let there = eventually(ANSWER, || self.try_run(script, &json!([])).is_ok_and(|there| there == json!(true)).then_some(()));
        assert!(there.is_some(), "“{words}” leads to no {leads}\n{}", self.shown());
    }

    /// Presses what saves a file, and waits for it: what it is called and what it says.
    #[track_caller]
    pub fn downloads(&self, words: &str) -> (String, String) {
        let folder = self.folder.file("downloads");
        let files = || {
            let found = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
            found.filter(|path| !path.to_string_lossy().ends_with(".crdownload")).collect::<Vec<_>>()
        };
        let before = files();
        self.button(words).click();
        let file =
            eventually(PATIENCE, || files().into_iter().find(|file| !before.contains(file) && !file.to_string_lossy().contains(".org.")));
        let file = file.unwrap_or_else(|| panic!("“{words}” saves no file\n{}", self.shown()));
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
    }

    /// Types into a field, in place of what is there.
    #[track_caller]
    pub fn types(&self, label: &str, text: &str) {
        let field = self.field(label);
        field.clear();
        field.types(text);
    }

    /// Chooses from a list by the words of its option.
    #[track_caller]
    pub fn chooses(&self, label: &str, option: &str) {
        let list = self.field(label);
        let script = "const wanted = arguments[1].toLowerCase(); \
            for (const one of arguments[0].options) if (one.text.toLowerCase().includes(wanted) || one.value.toLowerCase() === wanted) { \
            one.selected = true; arguments[0].dispatchEvent(new Event('input', {bubbles: true})); \
            arguments[0].dispatchEvent(new Event('change', {bubbles: true})); return true } return false";
        let done = self.run(script, &json!([{ ELEMENT: list.id }, option]));
        assert_eq!(done, json!(true), "“{label}” has no option “{option}”\n{}", self.shown());
    }

    /// Chooses from a list that leads to another page by itself.
    #[track_caller]
    pub fn chooses_and_goes(&self, label: &str, option: &str) {
        self.run("window.here = true", &json!([]));
        self.chooses(label, option);
        self.arrives(option, "page");
    }

    /// Puts a file into a field.
    #[track_caller]
    pub fn uploads(&self, label: &str, file: &Path) {
        self.field(label).types(file.to_str().expect("a plain path"));
    }

    /// Fetches an address as a download of this page would, with its cookies: status, type and text.
    #[track_caller]
    pub fn fetches(&self, url: &str) -> (u16, String, String) {
        let cookies = self.send(reqwest::Method::GET, "/cookie", None).unwrap_or_default();
        let cookies = cookies.as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let cookies: Vec<_> = cookies.map(|one| format!("{}={}", text(&one["name"]), text(&one["value"]))).collect();
        self.runtime.block_on(async {
            let answer = self.client.get(url).header("Cookie", cookies.join("; ")).send().await;
            let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
            let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
            (answer.status().as_u16(), kind, answer.text().await.unwrap_or_else(|error| panic!("{url}: {error}")))
        })
    }

    /// Looks at the page closely: a picture in each size and theme, what an accessibility checker says of each, whether it fits
    /// a phone's width, and what the page complained of. Keeps what is wrong for [`Browser::has_seen_nothing_wrong`].
    pub fn looks_at(&mut self, name: &str) {
        let folder = pictures();
        for (width, height) in SIZES {
            let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
            self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
            for theme in THEMES {
                let features =
                    json!([{ "name": "prefers-color-scheme", "value": theme }, { "name": "prefers-reduced-motion", "value": "reduce" }]);
                self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
                self.checks(&format!("{name} at {width} px, {theme}"), theme != THEMES[0]);
                let layout = self.devtools("Page.getLayoutMetrics", &json!({}));
                let tall = layout["cssContentSize"]["height"].as_i64().unwrap_or(height).clamp(height, TALLEST);
                let clip = json!({ "x": 0, "y": 0, "width": width, "height": tall, "scale": 1 });
                let picture = json!({ "format": "png", "clip": clip, "captureBeyondViewport": true });
                let picture = self.devtools("Page.captureScreenshot", &picture);
                let bytes = decoded(picture["data"].as_str().unwrap_or_default());
                std::fs::write(folder.join(format!("{name}-{width}-{theme}.png")), bytes).expect("pictures can be kept");
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", &json!({}));
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [] }));
        let complaints = self.post("/se/log", &json!({ "type": "browser" })).unwrap_or_default();
        // A page that says no is no complaint.
        let no = format!("{} - Failed to load resource: the server responded with a status of 4", self.address());
        for complaint in complaints.as_array().into_iter().flatten().filter(|one| one["level"] == "SEVERE") {
            if complaint["message"].as_str().is_some_and(|message| message.starts_with(&no)) {
                continue;
            }
            self.findings.push(format!("{name}: the browser complains: {}", complaint["message"]));
        }
    }

    /// By another theme only colours differ, so only they are looked at again.
    fn checks(&mut self, place: &str, colours: bool) {
        const SAID: &str = "const done = arguments[1], only = arguments[0] ? { runOnly: ['color-contrast'] } : {}; \
            axe.run({ resultTypes: ['violations'], ...only }).then(result => done(result.violations \
            .filter(one => one.impact === 'serious' || one.impact === 'critical') \
            .map(one => one.id + ' (' + one.impact + '): ' + one.help + ' — ' \
            + one.nodes.slice(0, 3).map(node => node.target.join(' ') + ' ' + node.html.slice(0, 160)).join(' | '))), error => done([String(error)]))";
        if self.run("return typeof axe === 'undefined'", &json!([])) == json!(true) {
            self.run(&checker(), &json!([]));
        }
        let said = self.post("/execute/async", &json!({ "script": SAID, "args": [colours] })).unwrap_or_else(|error| json!([error]));
        for finding in said.as_array().into_iter().flatten() {
            self.findings.push(format!("{place}: {}", finding.as_str().unwrap_or_default()));
        }
        let over = self.run("const page = document.scrollingElement; return page.scrollWidth - page.clientWidth", &json!([]));
        if over.as_i64().is_some_and(|over| over > 0) {
            let who = self.run(WIDEST, &json!([]));
            self.findings.push(format!("{place}: the page is {over} px too wide for the screen: {who}"));
        }
    }

    /// Fails if anything was found on a page that was looked at.
    #[track_caller]
    pub fn has_seen_nothing_wrong(&self) {
        assert!(self.findings.is_empty(), "{} findings:\n{}", self.findings.len(), self.findings.join("\n"));
    }
}

/// Something on the page.
pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Element<'_> {
    #[track_caller]
    fn does(&self, command: &str, body: &Value) {
        let done = self.browser.post(&format!("/element/{}/{command}", self.id), body);
        if let Err(error) = done {
            panic!("{command}: {error}\n{}", self.browser.shown());
        }
    }

    /// Clicks it.
    #[track_caller]
    pub fn click(&self) {
        self.browser.run("arguments[0].scrollIntoView({ block: 'center' })", &json!([{ ELEMENT: self.id }]));
        self.does("click", &json!({}));
    }

    /// Clicks it and waits for where it leads.
    #[track_caller]
    pub fn follow(&self) {
        let leads = self.browser.run(LEADS, &json!([{ ELEMENT: self.id }]));
        self.click();
        self.browser.arrives("it", leads.as_str().unwrap_or_default());
    }

    /// Empties it.
    #[track_caller]
    pub fn clear(&self) {
        self.does("clear", &json!({}));
    }

    /// Types into it.
    #[track_caller]
    pub fn types(&self, text: &str) {
        self.does("value", &json!({ "text": text }));
    }

    /// What it says.
    pub fn text(&self) -> String {
        self.property("innerText")
    }

    fn property(&self, name: &str) -> String {
        let value = self.browser.run("return String(arguments[0][arguments[1]])", &json!([{ ELEMENT: self.id }, name]));
        value.as_str().unwrap_or_default().to_owned()
    }
}

/// Where a press leads: to another `page`, to a `question`, or nowhere.
const LEADS: &str = r"
window.here = true;
const pressed = arguments[0], form = pressed.form;
if (pressed.matches('a[href]') && !pressed.hasAttribute('download') && pressed.target !== '_blank') return 'page';
if (pressed.closest('dialog')) return pressed.matches('[data-no]') ? 'nothing' : 'page';
if (!form || pressed.type !== 'submit' || !form.checkValidity()) return 'nothing';
return form.dataset.confirm && !form.dataset.confirmed ? 'question' : 'page';";

/// A field by the words of its label; exact words win over a part.
const FIND_FIELD: &str = r"
const wanted = arguments[0].trim().toLowerCase();
const clean = text => (text || '').replace(/\s+/g, ' ').trim().toLowerCase();
const found = [];
for (const label of document.querySelectorAll('label')) {
  const control = label.control || (label.htmlFor && document.getElementById(label.htmlFor));
  if (control) found.push([clean(label.innerText || label.textContent), control]);
}
for (const control of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
  for (const name of [control.getAttribute('aria-label'), control.name, control.placeholder]) if (name) found.push([clean(name), control]);
}
const usable = found.filter(([, control]) => !control.disabled && (control.getClientRects().length || control.type === 'file'));
const hit = usable.find(([name]) => name === wanted) || usable.find(([name]) => name.startsWith(wanted)) || usable.find(([name]) => name.includes(wanted));
return hit ? hit[1] : null;";

/// A button or link by its words; exact words win over a part, what is in the main part of the page over what is beside it.
const FIND_BUTTON: &str = r"
const wanted = arguments[0].trim().toLowerCase();
const clean = text => (text || '').replace(/\s+/g, ' ').trim().toLowerCase();
const every = [...document.querySelectorAll('button, a[href], input[type=submit], summary, [role=button], [role=tab]')]
  .filter(one => !one.disabled && one.getClientRects().length);
const name = one => clean(one.getAttribute('aria-label') || one.value || one.innerText || one.textContent);
const main = document.querySelector('dialog[open]') || document.querySelector('main');
const order = [...every.filter(one => main && main.contains(one)), ...every.filter(one => !main || !main.contains(one))];
return order.find(one => name(one) === wanted) || order.find(one => name(one).startsWith(wanted)) || order.find(one => name(one).includes(wanted)) || null;";

/// What reaches out furthest to the right.
const WIDEST: &str = r"
let widest = null, right = 0;
for (const one of document.querySelectorAll('body *')) {
  const edge = one.getBoundingClientRect().right;
  let inside = false;
  for (let above = one.parentElement; above && above !== document.body; above = above.parentElement)
    if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(above).overflowX)) inside = true;
  if (!inside && edge > right) { right = edge; widest = one; }
}
return widest ? widest.outerHTML.slice(0, 160) : ''";

/// The accessibility checker, as tests/run fetches it.
fn checker() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-data/axe/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}; run tests/run, which fetches it", file.display()))
}

/// Where pictures go.
fn pictures() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("the driver speaks base64")
}
