//! What README.md and docs/*.md show is what happens: every fenced `console` block is run.
//!
//! - A line that starts with `$ ` is a command for bash; lines that start with `> ` continue it.
//! - The lines after it are its whole output, both streams as they come. `...` stands for any number of lines, `[..]`
//!   for anything within one. A command without such lines claims nothing about its output.
//! - A command must succeed; one that is meant to fail says so: `cleanup sweep; echo "exit code $?"`.
//! - All blocks of a file share one temporary folder, which holds a copy of `deploy/` as a clone does. `cleanup`,
//!   `cleanup-server` and `cargo run -p cleanup-cli --` are the programs built from this tree.
//! - A block opened with `file=NAME` after its language is written to that file before the commands after it.
//! - A block opened with `console,no-run` is not run. Use it where the command would install or deploy something.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use snapbox::IntoData as _;

#[test]
fn documents_show_what_happens() {
    let mut failures = String::new();
    for document in documents() {
        let steps = steps(&std::fs::read_to_string(&document).unwrap());
        if steps.is_empty() {
            continue;
        }
        build_programs();
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&top().join("deploy"), &folder.path().join("deploy"));
        for step in steps {
            if let Err(what) = play(&step, folder.path()) {
                let name = document.strip_prefix(top()).unwrap().display();
                writeln!(failures, "{name}:{}: {what}", step.line).unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "the documents show something else than what happens\n\n{failures}");
}

/// Links between the documents, and to headings, lead somewhere.
#[test]
fn links_lead_to_a_page_and_a_heading() {
    let mut documents = documents();
    documents.push(top().join("CHANGELOG.md"));
    let headings: BTreeMap<PathBuf, BTreeSet<String>> =
        documents.iter().map(|page| (page.clone(), anchors(&prose(page)))).collect();
    let mut broken = String::new();
    for page in &documents {
        for link in links(&prose(page)).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { normal(&page.parent().unwrap().join(file)) };
            let has_anchor = anchor.is_empty() || headings.get(&target).is_some_and(|anchors| anchors.contains(anchor));
            if !target.exists() || !has_anchor {
                writeln!(broken, "{}: {link}", page.strip_prefix(top()).unwrap().display()).unwrap();
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{broken}");
}

/// A document without its fenced blocks.
fn prose(page: &Path) -> String {
    let text = std::fs::read_to_string(page).unwrap();
    let mut is_fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        let is_fence = line.trim_start().starts_with("```");
        if is_fence {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// One thing that a reader of the document would do.
#[derive(Debug, PartialEq)]
struct Step {
    /// Counted from 1.
    line: usize,
    what: Do,
}

#[derive(Debug, PartialEq)]
enum Do {
    Run { command: String, output: String },
    Write { file: String, content: String },
}

fn steps(document: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let block: Vec<(usize, &str)> = lines
            .by_ref()
            .map(|(index, line)| (index + 1, line.get(indent..).unwrap_or_default()))
            .take_while(|(_, line)| !line.starts_with("```"))
            .collect();
        if let Some((_, file)) = info.split_once("file=") {
            let content = block.iter().fold(String::new(), |all, (_, line)| all + line + "\n");
            steps.push(Step { line: index + 1, what: Do::Write { file: file.trim().to_owned(), content } });
        } else if info.trim() == "console" {
            steps.extend(commands(&block));
        }
    }
    steps
}

fn commands(block: &[(usize, &str)]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for &(number, line) in block {
        if let Some(start) = line.strip_prefix("$ ") {
            let what = Do::Run { command: start.to_owned(), output: String::new() };
            steps.push(Step { line: number, what });
            continue;
        }
        let Some(Step { what: Do::Run { command, output }, .. }) = steps.last_mut() else {
            panic!("line {number}: a console block begins with `$ `: {line}");
        };
        match line.strip_prefix("> ") {
            Some(more) if output.is_empty() => write!(command, "\n{more}").unwrap(),
            _ => writeln!(output, "{line}").unwrap(),
        }
    }
    steps
}

fn play(step: &Step, folder: &Path) -> Result<(), String> {
    match &step.what {
        Do::Write { file, content } => {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).map_err(|error| format!("cannot write {file}: {error}"))
        }
        Do::Run { command, output } => run(command, output, folder),
    }
}

fn run(command: &str, expected: &str, folder: &Path) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let script = format!("exec 2>&1\n{}", command.replace("cargo run -p cleanup-cli --", "cleanup"));
    let result = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", programs().display()))
        .env("HOME", folder)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start bash: {error}"))?;
    let printed = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        return Err(format!("`{command}` failed, {}:\n{printed}", result.status));
    }
    if expected.trim().is_empty() {
        return Ok(());
    }
    let (printed, expected) = (without_last_blanks(&printed), without_last_blanks(expected));
    snapbox::Assert::new()
        .try_eq(Some(&command), printed.into_data(), expected.into_data())
        .map_err(|difference| format!("`{command}` prints something else\n{difference}"))
}

fn without_last_blanks(text: &str) -> String {
    text.lines().fold(String::new(), |all, line| all + line.trim_end() + "\n").trim_end().to_owned()
}

/// Builds what a reader would have built. Within `cargo xtask test` that has just been done: the same command finds
/// nothing left to do, where `cargo build` would compile half of the workspace again with other features.
fn build_programs() {
    let built = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "--workspace", "--all-features", "--no-run"])
        .current_dir(top())
        .stdout(Stdio::null())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the programs do not build");
    assert!(
        programs().join("cleanup").is_file(),
        "cargo builds a program for the tests in its crate, and there are none"
    );
}

/// The folder that holds them: this test lies in `deps` below it.
fn programs() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

fn documents() -> Vec<PathBuf> {
    let pages = std::fs::read_dir(top().join("docs")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut documents: Vec<_> = pages
        .chain([top().join("README.md"), top().join("CONTRIBUTING.md")])
        .filter(|path| path.extension().is_some_and(|extension| extension == "md") && path.is_file())
        .collect();
    documents.sort();
    documents
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from).into_iter().filter_map(Result::ok) {
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(target).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

mod reading_a_document {
    use super::{Do, Step, steps};

    fn run(line: usize, command: &str, output: &str) -> Step {
        Step { line, what: Do::Run { command: command.into(), output: output.into() } }
    }

    #[test]
    fn commands_come_with_the_lines_after_them() {
        let document = "# T\n\n```console\n$ one\nsays\n  this\n$ two\n```\n";
        assert_eq!(steps(document), [run(4, "one", "says\n  this\n"), run(7, "two", "")]);
    }

    #[test]
    fn a_command_may_have_several_lines() {
        assert_eq!(steps("```console\n$ one \\\n>   two\nout\n```"), [run(2, "one \\\n  two", "out\n")]);
    }

    #[test]
    fn a_block_in_a_list_loses_its_indent() {
        assert_eq!(steps("- so:\n\n  ```console\n  $ one\n  out\n  ```\n"), [run(4, "one", "out\n")]);
    }

    #[test]
    fn blocks_of_other_kinds_are_not_run() {
        assert_eq!(steps("```console,no-run\n$ rm\n```\n```text\n$ rm\n```\n```sh\nrm\n```\n"), []);
    }

    #[test]
    fn a_block_may_be_a_file() {
        let file = Do::Write { file: "cleanup.toml".into(), content: "a = 1\n".into() };
        assert_eq!(steps("```toml file=cleanup.toml\na = 1\n```"), [Step { line: 1, what: file }]);
    }
}

mod playing_a_document {
    use super::run;

    #[test]
    fn wildcards_stand_for_lines_and_parts_of_lines() {
        let folder = tempfile::tempdir().unwrap();
        run("printf 'a 1 b\\nc\\nd\\ne\\n'", "a [..] b\n...\ne\n", folder.path()).unwrap();
        run("printf 'a 1 b\\nc\\n'", "a [..] c\nc\n", folder.path()).unwrap_err();
    }

    #[test]
    fn a_failing_command_fails_and_stderr_is_output_too() {
        let folder = tempfile::tempdir().unwrap();
        run("false", "", folder.path()).unwrap_err();
        run("echo oh >&2; (exit 3); echo \"exit code $?\"", "oh\nexit code 3\n", folder.path()).unwrap();
    }
}
