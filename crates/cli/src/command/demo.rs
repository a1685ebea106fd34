//! `cleanup demo`: a folder as two applications leave it behind, swept by the real engine, every step shown.
//!
//! Uses nothing that the other commands do not use. The text is the same at every run: names are fixed, ages are
//! fixed before now, and paths are shown below the temporary folder, which is gone at the end.

mod tree;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cleanup_core::duration::Human;
use cleanup_core::sweep::Mode;
use cleanup_engine::Engine;

use self::tree::{ENTRIES, SESSIONS};
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::render::explain::Explained;
use crate::render::place::Places;

pub(super) fn run(console: &mut Console) -> Result<Vec<Fault>, Failure> {
    let folder = tempfile::Builder::new().prefix("cleanup-demo-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let here = std::path::absolute(folder.path()).context("cannot find the temporary folder")?;
    let config = tree::build(&here)?;
    let engine = Engine::open(Some(&config))?;
    let places = Places::new(engine.config(), here.clone());

    step(console, "A folder as two applications leave it behind", None);
    show_tree(console);

    step(console, "What would go?", Some("cleanup --dry-run"));
    tree::age(&here)?;
    super::sweep::show(&engine, Mode::Plan, Verbosity::Blocks, &places, console)?;

    step(console, "Let it go.", Some("cleanup"));
    super::sweep::show(&engine, Mode::Apply, Verbosity::LastLine, &places, console)?;

    let [archive, young] = tree::LEFT;
    step(console, "Why are these still here?", Some("cleanup explain FILE…"));
    tree::age(&here)?;
    explain(&engine, &[&here.join(archive), &here.join(young)], &places, console);

    folder.close().context("cannot remove the temporary folder")?;
    let detail = console.out.theme.detail;
    console.out.print(format_args!("\n{detail}The folder is gone again. For one of your own:{detail:#} cleanup init"));
    Ok(Vec::new())
}

fn step(console: &mut Console, title: &str, command: Option<&str>) {
    let theme = console.out.theme;
    let (name, detail) = (theme.name, theme.detail);
    let before = if command.is_some() { "\n" } else { "" };
    console.out.write(format_args!("{before}{name}{title}{name:#}"));
    console.out.print(command.map(|command| format!("  {detail}$ {command}{detail:#}")).unwrap_or_default());
}

fn show_tree(console: &mut Console) {
    let detail = console.out.theme.detail;
    let mut current = None;
    for entry in ENTRIES {
        if current.replace(entry.folder) != Some(entry.folder) {
            console.out.print(format_args!("  {}", if entry.folder.is_empty() { "." } else { entry.folder }));
        }
        let remark = entry.remark.map(|remark| format!("  ({remark})")).unwrap_or_default();
        let (age, shown) = (entry.age().to_string(), entry.shown());
        console.out.print(format_args!("  {detail}{age:>7}{detail:#}  {shown}{detail}{remark}{detail:#}"));
    }
    console.out.print("  sessions.db, table tutor_sessions");
    for (id, minutes) in SESSIONS {
        let idle = Human(Duration::from_secs(minutes * 60)).to_string();
        console.out.print(format_args!("  {detail}{idle:>7}{detail:#}  {id}"));
    }
}

fn explain(engine: &Engine, paths: &[&Path], places: &Places<'_>, console: &mut Console) {
    let (now, theme) = (cleanup_engine::now(), console.out.theme);
    for path in paths {
        let explanation = engine.explain(path);
        // Without dates: they would differ at every run.
        console.out.write(Explained {
            explanation: &explanation,
            places,
            now,
            zone: None,
            unrecorded: None,
            theme: &theme,
        });
    }
}
