//! One page: opened, looked at, worked with, judged.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::browser::{PATIENCE, text};
use crate::{AXE, Browser, Error};

/// How long a look at a condition may take: the page may be left meanwhile, and then nobody answers.
const GLANCE: Duration = Duration::from_millis(500);

/// A page of its own.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    session: String,
    seen: RefCell<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    errors: Vec<String>,
    requests: Vec<String>,
}

/// Which colours the reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl<'a> Page<'a> {
    pub(crate) fn new(browser: &'a Browser, session: String) -> Result<Self, Error> {
        let page = Self { browser, session, seen: RefCell::default() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(page)
    }

    /// A window so wide and high, in CSS pixels.
    pub fn size(&self, width: u32, height: u32) -> Result<(), Error> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Asks for these colours, and for no motion.
    pub fn scheme(&self, scheme: Scheme) -> Result<(), Error> {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": value },
            { "name": "prefers-reduced-motion", "value": "reduce" }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// Whether scripts of pages run from the next page on.
    pub fn without_script(&self) -> Result<(), Error> {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true })).map(drop)
    }

    /// Goes to an address, and waits until everything is loaded.
    pub fn open(&self, url: &str) -> Result<(), Error> {
        let gone = self.call("Page.navigate", &json!({ "url": url }))?;
        if let Some(why) = gone.get("errorText") {
            return Err(Error::Refused { method: format!("to open {url}"), why: text(why) });
        }
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
    }

    /// The value of an expression in the page; a promise is waited for.
    pub fn eval(&self, expression: &str) -> Result<Value, Error> {
        self.eval_within(PATIENCE, expression)
    }

    fn eval_within(&self, patience: Duration, expression: &str) -> Result<Value, Error> {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let done = self.browser.call_within(patience, Some(&self.session), "Runtime.evaluate", &asked)?;
        match done.get("exceptionDetails") {
            Some(details) => Err(Error::Script(details.to_string())),
            None => Ok(done["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true in the page, also over the pages that follow it.
    pub fn wait_for(&self, condition: &str) -> Result<(), Error> {
        let begun = Instant::now();
        // A page that is being left has no answer.
        let look = format!("Boolean({condition})");
        while begun.elapsed() < PATIENCE {
            if matches!(self.eval_within(GLANCE, &look), Ok(Value::Bool(true))) {
                return Ok(());
            }
            self.browser.wait_for_news();
        }
        let page = self.eval("location.href + '\\n' + document.body.innerText").map(|page| text(&page));
        Err(Error::NeverSo { condition: condition.to_owned(), page: page.unwrap_or_default() })
    }

    /// Presses what a selector finds, as a person would.
    pub fn click(&self, selector: &str) -> Result<(), Error> {
        let selector = Value::from(selector);
        self.eval(&format!("document.querySelector({selector}).click()")).map(drop)
    }

    /// Presses a key with this name: `Tab`, `Enter`.
    pub fn press(&self, key: &str) -> Result<(), Error> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        let event =
            |kind: &str| json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
        self.call("Input.dispatchKeyEvent", &event(if text.is_empty() { "rawKeyDown" } else { "keyDown" }))?;
        self.call("Input.dispatchKeyEvent", &event("keyUp")).map(drop)
    }

    /// Types into what has the focus.
    pub fn type_text(&self, text: &str) -> Result<(), Error> {
        self.call("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// A picture of the page as PNG, so high at most, in CSS pixels.
    pub fn screenshot(&self, highest: u32) -> Result<Vec<u8>, Error> {
        let size = self.eval("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")?;
        let height = size[1].as_u64().unwrap_or_default().min(u64::from(highest));
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": height, "scale": 1 });
        let picture = self.call(
            "Page.captureScreenshot",
            &json!({ "format": "png", "captureBeyondViewport": true, "clip": clip, "optimizeForSpeed": false }),
        )?;
        let data = text(&picture["data"]);
        base64::engine::general_purpose::STANDARD.decode(data).map_err(|error| Error::Script(error.to_string()))
    }

    /// What the page complained about so far: errors in scripts, and whatever the browser logged as an error.
    pub fn errors(&self) -> Vec<String> {
        self.gather();
        self.seen.borrow().errors.clone()
    }

    /// The addresses that were asked for so far.
    pub fn requests(&self) -> Vec<String> {
        self.gather();
        self.seen.borrow().requests.clone()
    }

    /// The serious faults that axe finds in the page, a line each.
    pub fn faults(&self) -> Result<Vec<String>, Error> {
        self.eval(&format!("{AXE};0"))?;
        let found = self.eval(
            "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations \
             .filter((one) => one.impact === 'serious' || one.impact === 'critical') \
             .map((one) => one.id + ': ' + one.help + ': ' + one.nodes.map((node) => node.html).join(' | ')))",
        )?;
        Ok(found.as_array().into_iter().flatten().map(text).collect())
    }

    fn gather(&self) {
        let mut seen = self.seen.borrow_mut();
        for event in self.browser.events(&self.session) {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => seen.requests.push(text(&parameters["request"]["url"])),
                "Runtime.exceptionThrown" => seen.errors.push(text(&parameters["exceptionDetails"])),
                "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                    seen.errors.push(text(&parameters["entry"]["text"]));
                }
                "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
                    seen.errors.push(parameters["args"].to_string());
                }
                _ => {}
            }
        }
    }

    fn call(&self, method: &str, parameters: &Value) -> Result<Value, Error> {
        self.browser.call(Some(&self.session), method, parameters)
    }
}
