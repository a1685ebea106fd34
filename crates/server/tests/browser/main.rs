//! The dashboard in a real browser: what only a browser can tell.
//!
//! Nothing is skipped: where no Chromium is installed the tests say what to install, and fail. Nothing sleeps: whoever
//! waits, waits for something in the page.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use cleanup_test_browser::{Browser, Page, Scheme};

use crate::world::World;

const TOKEN: &str = "correct-horse-battery-staple";

/// Demands that the page asked nobody else for anything, and complained about nothing.
#[track_caller]
fn is_clean(page: &Page<'_>, world: &World) {
    let strangers: Vec<_> = page
        .requests()
        .into_iter()
        .filter(|url| !url.starts_with(&world.url("/")) && !url.starts_with("data:"))
        .collect();
    assert_eq!((page.errors(), strangers), (Vec::<String>::new(), Vec::new()));
}

/// A text in the page, as a script would ask for it.
fn shows(text: &str) -> String {
    format!("document.body.innerText.includes({})", serde_json::Value::from(text))
}

/// A phone, a tablet, a desktop.
const WIDTHS: [u32; 3] = [390, 768, 1440];

/// Demands that axe finds nothing serious, that the page does not scroll sideways, and that no text is cut, at every
/// width in both schemes.
#[track_caller]
fn is_sound(page: &Page<'_>, name: &str) {
    for width in WIDTHS {
        page.size(width, 900).unwrap();
        for scheme in [Scheme::Light, Scheme::Dark] {
            page.scheme(scheme).unwrap();
            assert_eq!(page.faults().unwrap(), Vec::<String>::new(), "{name} at {width}, {scheme:?}");
        }
        let wide = page.eval("document.documentElement.scrollWidth").unwrap();
        assert!(wide.as_u64().unwrap() <= u64::from(width), "{name}: {wide} at {width}");
        assert_eq!(page.eval(CUT).unwrap(), serde_json::json!([]), "{name} at {width}");
        if width < 640 {
            assert_eq!(page.eval(UNLABELLED).unwrap(), serde_json::json!([]), "{name} at {width}");
        }
    }
}

/// What shows less than it holds, but for what is there for screen readers only.
const CUT: &str = "[...document.querySelectorAll('main *')].filter((one) => {
    const style = getComputedStyle(one);
    return style.overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1 && !one.closest('.far, select, input, svg, thead');
}).map((one) => one.outerHTML.slice(0, 200))";

/// Cells of tables that became cards, and do not say what they are.
const UNLABELLED: &str = "[...document.querySelectorAll('table.rows td')]
    .filter((cell) => !cell.dataset.label || getComputedStyle(cell, '::before').content === 'none')
    .map((cell) => cell.outerHTML.slice(0, 200))";

#[test]
fn every_page_is_sound_at_every_width_in_both_schemes() {
    let limited = "[files.limited]\nroot = \"limited\"\ninclude = [\"*\"]\narchives = [\"keep-*\"]\nmax_files = 1\n\
                   max_total_size = \"1MiB\"\n";
    let world = World::new("max_age = \"1h\"", limited);
    world.file("part.step");
    world.file(format!("{}.step", "long-name-".repeat(24)));
    world.old_file("others/old.svg");
    world.old_file("kept/old.tmp");
    std::fs::create_dir(world.path("limited")).unwrap();
    for name in ["keep-a", "keep-b", "c"] {
        world.old_file(format!("limited/{name}"));
    }
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/files?contains=part")).unwrap();
    page.wait_for(&shows("part.step")).unwrap();
    let file = page.eval("document.querySelector('#files tbody a').getAttribute('href')").unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("form[action='/dry-run'] button").unwrap();
    page.wait_for("location.pathname.startsWith('/runs/')").unwrap();
    let dry_run = page.eval("location.pathname").unwrap();
    page.click("#sweep").unwrap();
    page.wait_for(&shows("items removed")).unwrap();
    let run = page.eval("location.pathname").unwrap();
    for path in [
        "/",
        "/policies/models",
        "/policies/limited",
        "/policies/kept",
        "/runs",
        dry_run.as_str().unwrap(),
        run.as_str().unwrap(),
        "/files?sort=largest",
        file.as_str().unwrap(),
        "/quarantine",
        "/removals",
        "/explain?policy=models&path=part.step",
        "/login",
        "/runs/no",
        "/nowhere",
    ] {
        page.open(&world.url(path)).unwrap();
        is_sound(&page, path);
    }
    // The pages that are not there are meant to be none.
    let errors: Vec<_> = page.errors().into_iter().filter(|error| !error.contains("404")).collect();
    assert_eq!(errors, Vec::<String>::new());
    assert!(page.requests().iter().all(|url| url.starts_with(&world.url("/"))), "{:?}", page.requests());
}

#[test]
fn a_chart_says_its_values_to_the_pointer_and_to_the_keyboard() {
    let world = World::new("max_age = \"1h\"", "");
    world.file("a.step");
    world.old_file("others/old.svg");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/?show=files")).unwrap();
    page.click("#dry-others").unwrap();
    page.wait_for(&shows("1 item would be removed")).unwrap();
    page.click("#sweep").unwrap();
    page.wait_for(&shows("1 item removed")).unwrap();
    for width in WIDTHS {
        page.size(width, 900).unwrap();
        page.open(&world.url("/?show=files")).unwrap();
        page.wait_for("document.querySelector('#past .hit') !== null").unwrap();
        // `Tab` leads to one place of each chart, and what it says has a unit.
        page.eval("document.querySelector('#forecast .hit[tabindex=\"0\"]').focus()").unwrap();
        let hint = "getComputedStyle(document.activeElement, '::after').content";
        let said = page.eval(hint).unwrap();
        assert!(said.as_str().unwrap().contains("1 file"), "{said}");
        let stops = page.eval("document.querySelectorAll('#past .hits .hit[tabindex=\"0\"]').length").unwrap();
        assert_eq!(stops, page.eval("document.querySelectorAll('#past .hits:has(.hit)').length").unwrap());
        page.press("Tab").unwrap();
        assert_ne!(page.eval("document.activeElement.closest('#forecast .hits')").unwrap(), serde_json::json!({}));
        // The arrow keys lead from one value to the next, and every hint is within the window.
        let walked =
            "[...document.querySelectorAll('.hits')].filter((all) => all.querySelector('.hit')).every((all) => {
            const hits = [...all.querySelectorAll('.hit')];
            hits[0].focus();
            for (const hit of hits) {
                if (document.activeElement !== hit) return false;
                if (document.documentElement.scrollWidth > innerWidth) return false;
                hit.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
            }
            return hits.length > 0;
        })";
        assert_eq!(page.eval(walked).unwrap(), true, "at {width}");
    }
    is_clean(&page, &world);
}

#[test]
fn a_policy_has_a_page_that_leads_on() {
    let world = World::new("max_age = \"1h\"", "");
    world.file("a.step");
    world.old_file("others/old.svg");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.size(390, 900).unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("#policy-others h3 a").unwrap();
    page.wait_for("location.pathname === '/policies/others'").unwrap();
    page.wait_for(&shows("No runs yet")).unwrap();
    page.click("#dry").unwrap();
    page.wait_for(&shows("1 item would be removed")).unwrap();
    page.click("#sweep").unwrap();
    page.wait_for(&shows("1 item removed")).unwrap();
    page.click("h2 a").unwrap();
    page.wait_for("location.pathname === '/policies/others'").unwrap();
    page.wait_for(&shows("1 file removed")).unwrap();
    page.open(&world.url("/policies/models")).unwrap();
    page.wait_for("document.querySelector('#next').innerText.includes('a.step')").unwrap();
    is_clean(&page, &world);
}

#[test]
fn a_file_appears_by_itself_and_goes_at_its_deadline() {
    let world = World::new("max_age = \"3s\"", "");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.eval("window.before = true").unwrap();
    page.wait_for(&shows("No tracked file has a deadline")).unwrap();
    page.wait_for(&shows("Live")).unwrap();
    world.file("fresh.step");
    page.wait_for("document.querySelector('#next').innerText.includes('fresh.step')").unwrap();
    page.wait_for("document.querySelector('#past').innerText.includes('fresh.step')").unwrap();
    page.wait_for("!document.querySelector('#next').innerText.includes('fresh.step')").unwrap();
    assert!(!world.path("models/fresh.step").exists());
    assert_eq!(page.eval("window.before").unwrap(), true, "it is still the same page");
    is_clean(&page, &world);
}

#[test]
fn a_dry_run_shows_its_plan_and_the_sweep_follows_from_there() {
    let world = World::new("max_age = \"1h\"", "");
    world.old_file("others/old.svg");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("#dry-others").unwrap();
    page.wait_for(&shows("1 item would be removed")).unwrap();
    assert_eq!(page.eval(&shows("old.svg")).unwrap(), true);
    assert!(world.path("others/old.svg").exists(), "nothing went yet");
    page.click("#sweep").unwrap();
    page.wait_for(&shows("1 item removed")).unwrap();
    assert!(!world.path("others/old.svg").exists());
    is_clean(&page, &world);
}

#[test]
fn what_a_brake_holds_back_goes_by_the_plan_that_was_read() {
    let braked = "[files.braked]\nroot = \"braked\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nmax_removal_percent = 50\n";
    let world = World::new("max_age = \"1h\"", braked);
    std::fs::create_dir(world.path("braked")).unwrap();
    for number in 0..120 {
        world.old_file(format!("braked/{number}.tmp"));
    }
    let left = || std::fs::read_dir(world.path("braked")).unwrap().count();
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("#dry-braked").unwrap();
    page.wait_for(&shows("Held back: 120 items due, none would be removed")).unwrap();
    assert_eq!(page.eval(&shows("Nothing would be removed")).unwrap(), false);
    assert_eq!(page.eval("document.querySelector('#sweep') === null").unwrap(), true);
    page.click("#plan").unwrap();
    page.wait_for("location.pathname.startsWith('/plans/')").unwrap();
    page.wait_for(&shows("120 items would be removed")).unwrap();
    assert_eq!((page.eval(&shows("119.tmp")).unwrap(), left()), (true.into(), 120), "all of it is named, and is there");
    page.click("#apply").unwrap();
    page.wait_for(&shows("120 items removed")).unwrap();
    assert_eq!(left(), 0);
    is_clean(&page, &world);
}

/// Searches on the page for what is gone.
fn search(page: &Page<'_>, text: &str) {
    page.eval("document.querySelector('input[name=path]').focus()").unwrap();
    page.eval("document.querySelector('input[name=path]').select()").unwrap();
    page.type_text(text).unwrap();
    page.press("Enter").unwrap();
    let text = serde_json::Value::from(text);
    let there = "location.pathname === '/removals' && document.readyState === 'complete'";
    page.wait_for(&format!("{there} && new URLSearchParams(location.search).get('path') === {text}")).unwrap();
}

#[test]
fn a_stranger_finds_out_on_a_phone_why_a_file_is_gone_and_who_asked() {
    let world = World::new("max_age = \"1s\"", "[server.tokens]\nops = \"token\"");
    world.old_file("others/x.svg");
    world.old_file("others/y.svg");
    world.old_file("kept/<b>x.svg");
    world.file("x.step");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.size(390, 900).unwrap();
    page.open(&world.url("/")).unwrap();
    let sweep = format!(
        "fetch('/api/v1/sweeps?wait=true', {{ method: 'POST', body: '{{}}', headers: {{ 'Content-Type': 'application/json',
            Authorization: 'Bearer {TOKEN}' }} }}).then((answer) => answer.json()).then((report) => report.run_id)"
    );
    let run = page.eval(&sweep).unwrap();
    page.wait_for("document.querySelector('#past').innerText.includes('x.step')").unwrap();

    search(&page, "x.svg");
    page.wait_for(&shows("others/x.svg")).unwrap();
    let card = "[...document.querySelectorAll('#found tbody tr')].find((row) => row.innerText.includes('others/x.svg')).innerText";
    let card = page.eval(card).unwrap();
    for words in ["removed", "ago", "older than", "\nops\n", "others", "4.1 kB"] {
        assert!(card.as_str().unwrap().contains(words), "{words}: {card}");
    }
    assert_eq!(page.eval(&shows("y.svg")).unwrap(), false);
    assert_eq!(page.eval(&shows("<b>x.svg")).unwrap(), true);
    is_sound(&page, "the search");
    page.size(390, 900).unwrap();
    page.click("#found tbody td[data-label=Run] a").unwrap();
    page.wait_for(&format!("location.pathname === '/runs/{}'", run.as_str().unwrap())).unwrap();
    page.wait_for(&shows("others/y.svg")).unwrap();
    is_sound(&page, "the run");

    page.open(&world.url("/removals")).unwrap();
    search(&page, "x.step");
    page.wait_for(&shows("its deadline")).unwrap();
    search(&page, &world.path("others/x.svg").display().to_string());
    page.wait_for(&shows("older than")).unwrap();
    search(&page, "never-there");
    page.wait_for(&shows("No removal matches")).unwrap();
    page.open(&world.url("/explain?policy=others&path=x.svg")).unwrap();
    page.wait_for(&shows("Earlier removals of this path")).unwrap();
    is_sound(&page, "the explanation");
    is_clean(&page, &world);
}

#[test]
fn a_sweep_that_was_held_back_leads_to_its_plan_from_every_page_that_tells_of_it() {
    let braked = "[files.braked]\nroot = \"braked\"\ninclude = [\"*\"]\nmax_age = \"1h\"\nmax_removal_percent = 50\n";
    let world = World::new("max_age = \"1h\"", braked);
    std::fs::create_dir(world.path("braked")).unwrap();
    for number in 0..120 {
        world.old_file(format!("braked/{number}.tmp"));
    }
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    let sweep = "fetch('/api/v1/sweeps?wait=true', { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: '{\"policies\": [\"braked\"]}' }).then((answer) => answer.json()).then((report) => report.run_id)";
    let run = page.eval(sweep).unwrap();
    let run = format!("/runs/{}", run.as_str().unwrap());
    for (path, button) in [("/", "#plan-braked"), ("/policies/braked", "#plan"), (&run, "#plan-braked")] {
        page.open(&world.url(path)).unwrap();
        page.click(button).unwrap();
        page.wait_for("location.pathname.startsWith('/plans/')").unwrap();
        page.wait_for(&shows("120 items would be removed")).unwrap();
    }
    is_sound(&page, "the plan");
    page.click("#apply").unwrap();
    page.wait_for(&shows("120 items removed")).unwrap();
    assert_eq!(std::fs::read_dir(world.path("braked")).unwrap().count(), 0);
    page.open(&world.url("/policies/braked")).unwrap();
    assert_eq!(page.eval("document.querySelector('#plan')").unwrap(), serde_json::Value::Null);
    is_clean(&page, &world);
}

#[test]
fn a_page_whose_service_is_gone_turns_grey_and_says_since_when() {
    let mut world = World::new("max_age = \"1h\"", "");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.wait_for(&shows("Live")).unwrap();
    assert_eq!(page.eval("document.documentElement.classList.contains('away')").unwrap(), false);
    world.kill();
    page.wait_for("document.documentElement.classList.contains('away')").unwrap();
    page.wait_for(&shows("has not answered since")).unwrap();
    page.wait_for("document.title.startsWith('Disconnected')").unwrap();
    let grey = "getComputedStyle(document.querySelector('main')).filter";
    assert_eq!(page.eval(grey).unwrap(), "grayscale(1)");
}

#[test]
fn what_lies_in_quarantine_comes_back_after_its_plan_was_shown() {
    let world = World::new("max_age = \"1h\"", "");
    let hostile = "<img src=x onerror='window.hacked=1'>\u{202e}gpj.svg";
    world.old_file(format!("kept/{hostile}"));
    world.old_file("kept/other.svg");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("#dry-kept").unwrap();
    page.wait_for(&shows("2 items would be removed")).unwrap();
    page.click("#sweep").unwrap();
    page.wait_for(&shows("2 items removed")).unwrap();
    page.wait_for("document.querySelector('#undo') !== null").unwrap();
    assert_eq!(visible(&world), 0);

    page.open(&world.url("/quarantine")).unwrap();
    page.wait_for(&shows("2 items in quarantine")).unwrap();
    page.wait_for(&shows("<img src=x onerror='window.hacked=1'>\\u{202e}gpj.svg")).unwrap();
    let sound = "window.hacked === undefined && !document.body.innerText.includes('\u{202e}')";
    assert_eq!(page.eval(sound).unwrap(), true);
    assert_eq!(page.faults().unwrap(), Vec::<String>::new());

    // One by its hostile name, the other with the run.
    page.eval("[...document.querySelectorAll('#files tr')].find((row) => row.innerText.includes('onerror')).querySelector('td:last-child a').id = 'one'").unwrap();
    page.click("#one").unwrap();
    page.wait_for(&shows("1 item would be restored")).unwrap();
    assert_eq!((page.eval(sound).unwrap(), visible(&world)), (true.into(), 0), "a plan changes nothing");
    is_sound(&page, "the plan");
    page.click("#restore").unwrap();
    page.wait_for(&shows("1 item restored")).unwrap();
    assert_eq!(page.eval(&shows("Held for 7 days, until")).unwrap(), true);
    assert_eq!(page.faults().unwrap(), Vec::<String>::new());
    assert!(world.path("kept").join(hostile).exists());

    page.open(&world.url("/quarantine")).unwrap();
    page.wait_for(&shows("1 item in quarantine")).unwrap();
    is_sound(&page, "the quarantine");
    page.click("[id^=undo-]").unwrap();
    page.wait_for(&shows("1 item would be restored")).unwrap();
    page.click("#restore").unwrap();
    page.wait_for(&shows("1 item restored")).unwrap();
    assert_eq!(visible(&world), 2);
    is_clean(&page, &world);
}

/// How many files lie where they can be seen.
fn visible(world: &World) -> usize {
    let names = std::fs::read_dir(world.path("kept")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| !name.as_bytes().starts_with(b".")).count()
}

#[test]
fn acting_asks_for_the_token_and_a_wrong_one_is_refused() {
    let world = World::new("max_age = \"1h\"", "token_file = \"token\"");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.click("#dry-others").unwrap();
    page.wait_for(&shows("Enter the access token")).unwrap();
    for (token, then) in [("wrong", "Wrong token"), (TOKEN, "Sign out")] {
        page.click("input[type=password]").unwrap();
        page.eval("document.querySelector('input[type=password]').focus()").unwrap();
        page.type_text(token).unwrap();
        page.press("Enter").unwrap();
        page.wait_for(&shows(then)).unwrap();
    }
    assert_eq!(page.eval("document.cookie").unwrap(), "", "no script reads the cookie");
    page.click("#dry-others").unwrap();
    page.wait_for(&shows("Nothing would be removed")).unwrap();
    page.click(".side button").unwrap();
    page.wait_for(&shows("Sign in")).unwrap();
}

#[test]
fn hostile_names_are_shown_as_text() {
    let world = World::new("max_age = \"1h\"", "");
    let long = format!("{}.step", "x".repeat(250));
    let names: [&[u8]; 4] = [
        b"<img src=x onerror='window.hacked=1'>.step",
        "\u{202e}gpj.step".as_bytes(),
        b"\xff\xfe.step",
        long.as_bytes(),
    ];
    for name in names {
        world.file(Path::new(std::ffi::OsStr::from_bytes(name)));
    }
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.size(390, 800).unwrap();
    for path in ["/files", "/"] {
        page.open(&world.url(path)).unwrap();
        for text in ["<img src=x onerror='window.hacked=1'>.step", "\\u{202e}gpj.step", "\\xff\\xfe.step", &long] {
            page.wait_for(&shows(text)).unwrap();
        }
        let images = page.eval("[...document.images].map((image) => new URL(image.src).pathname)").unwrap();
        let ours = |image: &serde_json::Value| image.as_str().unwrap().starts_with("/assets/icon.");
        assert!(images.as_array().unwrap().iter().all(ours), "{images}");
        assert_eq!(
            page.eval("window.hacked === undefined && !document.body.innerText.includes('\u{202e}')").unwrap(),
            true
        );
        let wide = page.eval("document.documentElement.scrollWidth").unwrap();
        assert_eq!(wide, 390, "a long name breaks");
    }
    // Each of them has a page.
    page.open(&world.url("/files")).unwrap();
    let links = page.eval("[...document.querySelectorAll('#files tbody th a')].map((link) => link.href)").unwrap();
    for link in links.as_array().unwrap() {
        page.open(link.as_str().unwrap()).unwrap();
        page.wait_for(&shows("kept")).unwrap();
    }
    is_clean(&page, &world);
}

#[test]
fn everything_works_by_keyboard_and_without_script() {
    let world = World::new("max_age = \"1h\"", "");
    world.old_file("others/old.svg");
    let browser = Browser::start().unwrap();
    let page = browser.page().unwrap();
    page.open(&world.url("/")).unwrap();
    page.press("Tab").unwrap();
    assert_eq!(
        page.eval("document.activeElement.className").unwrap(),
        "skip",
        "the first stop leads past the navigation"
    );
    let names = "[...document.querySelectorAll('a, button, input:not([type=hidden]), select')]\
                 .filter((one) => one.tabIndex < 0).length";
    assert_eq!(page.eval(names).unwrap(), 0, "every control can be reached");

    page.without_script().unwrap();
    page.open(&world.url("/")).unwrap();
    assert_eq!(page.eval("document.documentElement.className").unwrap(), "", "no script of ours ran");
    page.eval("document.querySelector('#dry-others').focus()").unwrap();
    page.press("Enter").unwrap();
    page.wait_for(&shows("1 item would be removed")).unwrap();
    is_clean(&page, &world);
}
