use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::*;
use crate::fixture::{another_process, pass, role};

/// What was logged on this thread, a line an event.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<u8>>>);

impl Write for Book {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Book {
    fn open(directives: &str) -> (Self, DefaultGuard) {
        let book = Self::default();
        let writer = book.clone();
        let layer = tracing_subscriber::fmt::layer().without_time().with_target(false).with_ansi(false);
        let layer = layer.with_writer(move || writer.clone()).with_filter(EnvFilter::new(directives));
        (book, tracing_subscriber::registry().with(layer).set_default())
    }

    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.trim_start().to_owned()).collect()
    }
}

#[test]
fn the_words_are_those_of_the_service_before() {
    let minutes = |minutes| nothing_found(Duration::from_mins(minutes));
    assert_eq!(minutes(30), "Cleanup check: no files older than 30 minutes found");
    assert_eq!(minutes(1), "Cleanup check: no files older than 1 minute found");
    assert_eq!(minutes(1440), "Cleanup check: no files older than 1440 minutes found");
    assert_eq!(nothing_found(Duration::from_secs(90)), "Cleanup check: no files older than 1m30s found");
    assert_eq!(nothing_found(Duration::from_millis(500)), "Cleanup check: no files older than 500ms found");
}

#[test]
fn flags_win_over_the_variable_and_a_bad_variable_is_named() {
    let of = |verbose, quiet, variable: Option<&str>| {
        filter(Wanted { format: None, verbose, quiet }, variable.map(str::to_owned)).map(|filter| filter.to_string())
    };
    assert_eq!(of(0, false, None).unwrap(), "info");
    assert_eq!(of(0, false, Some("error")).unwrap(), "error");
    assert_eq!(of(0, false, Some("")).unwrap(), "info");
    assert_eq!(of(0, true, Some("trace")).unwrap(), "warn");
    assert_eq!(of(1, false, Some("error")).unwrap(), "cleanup=debug,info");
    assert_eq!(of(9, false, None).unwrap(), "cleanup=trace,debug");
    let error = of(0, false, Some("no=such=level")).unwrap_err().to_string();
    assert!(error.contains("$CLEANUP_LOG"), "{error}");
}

#[test]
fn our_own_debug_does_not_bring_everybody_elses() {
    let (book, _guard) = Book::open("info,cleanup=debug");
    tracing::debug!("ours");
    tracing::debug!(target: "hyper::proto", "theirs");
    assert_eq!(book.lines(), ["DEBUG ours"]);
}

#[test]
fn an_inherited_journal_stream_is_not_believed() {
    assert!(!leads_to_journal(None));
    for text in ["", "1", "x:y", "1:1"] {
        assert!(!leads_to_journal(Some(text)), "{text}");
    }
    let stderr = fstat(io::stderr()).unwrap();
    assert!(leads_to_journal(Some(&format!("{}:{}", stderr.st_dev, stderr.st_ino))));
}

#[test]
fn levels_have_the_numbers_of_syslog() {
    let numbers = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE].map(priority);
    assert_eq!(numbers, [3, 4, 6, 7, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_few_files_are_told_one_by_one_without_their_paths() {
    let (book, _guard) = Book::open("info");
    let summed = Summed::new(CLEANED_UP);
    for _ in 0..10 {
        summed.tell(b"secret.step");
    }
    assert_eq!(book.lines(), vec!["INFO Cleaned up old file"; 10]);
}

#[tokio::test(start_paused = true)]
async fn many_files_are_summed_once_a_second_and_the_lines_add_up() {
    let (book, _guard) = Book::open("info");
    let (summed, stop) = (Arc::new(Summed::new(CLEANED_UP)), CancellationToken::new());
    let (running, stopped) = (Arc::clone(&summed), stop.clone());
    let task = tokio::spawn(async move { running.run(stopped).await });
    pass(Duration::ZERO).await;
    for _ in 0..1244 {
        summed.tell(b"x");
    }
    pass(Duration::from_millis(900)).await;
    assert_eq!(book.lines().len(), 10, "the sum is not told before its second is over");
    summed.tell(b"x");
    pass(Duration::from_millis(200)).await;
    assert_eq!(book.lines(), ["INFO Cleaned up old file (1,235 files in the last second)"]);

    for _ in 0..11 {
        summed.tell(b"x");
    }
    stop.cancel();
    task.await.unwrap();
    assert_eq!(book.lines().last().unwrap(), "INFO Cleaned up old file (1 file in the last second)");
}

#[tokio::test(start_paused = true)]
async fn nothing_to_sum_means_no_line_and_a_new_second_begins_anew() {
    let (book, _guard) = Book::open("info");
    let summed = Summed::new(REGISTERED);
    for _ in 0..3 {
        for _ in 0..10 {
            summed.tell(b"x");
        }
        pass(Duration::from_millis(1001)).await;
    }
    summed.flush();
    assert_eq!(book.lines(), vec!["INFO Registered file for cleanup"; 30]);
}

#[tokio::test(start_paused = true)]
async fn paths_are_escaped_and_only_at_debug() {
    let (book, _guard) = Book::open("debug");
    Summed::new(REGISTERED).tell(b"a\x1b[31m\n\xff.step");
    assert_eq!(book.lines()[0], r"DEBUG Registered file for cleanup path=a\u{1b}[31m\u{a}\xff.step");
}

/// Logs a little in a process of its own, set up as its role says; answers the lines on its stderr.
fn lines_on_stderr(role: &str, setup: &str) -> Vec<String> {
    let test = concat!(module_path!(), "::each_form_has_its_lines");
    let output = another_process(test, role, &format!("{setup} exec \"$@\"")).output().unwrap();
    assert!(output.status.success(), "{role}");
    String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_form_has_its_lines() {
    let env = |name: &str| std::env::var(name).ok();
    let wanted = |format| Wanted { format: Some(format), ..Wanted::default() };
    match role().as_deref() {
        None => {}
        Some("prefixed") => tracing_subscriber::registry().with(prefixed()).init(),
        Some("json") => start(wanted(Format::Json), &env).unwrap(),
        Some(_) => start(wanted(Format::Text), &env).unwrap(),
    }
    if role().is_some() {
        tracing::info!(policy = "temp-models", "{INITIALIZED}");
        tracing::error!("a bad thing");
        return;
    }

    let text = lines_on_stderr("text", "");
    assert!(text[0].ends_with(" INFO Temp cleanup service initialized policy=\"temp-models\""), "{text:?}");
    assert!(!text[0].contains('\u{1b}'), "coloured off a terminal");
    let json = lines_on_stderr("json", "");
    let first: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!((&first["message"], &first["policy"]), (&INITIALIZED.into(), &"temp-models".into()));
    assert_eq!(first["level"], "INFO");
    let prefixed = lines_on_stderr("prefixed", "");
    assert_eq!(prefixed, ["<6>Temp cleanup service initialized policy=\"temp-models\"", "<3>a bad thing"]);
    assert_eq!(lines_on_stderr("text", "CLEANUP_LOG=error; export CLEANUP_LOG;").len(), 1);
    assert_eq!(lines_on_stderr("text", "exec 2>/dev/full;"), [""; 0], "a full disk is survived");
}
