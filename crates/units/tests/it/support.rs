//! Two installations, and the programs that judge what is rendered for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cleanup_units::{RenderError, Rendered, Target, render};
use tempfile::TempDir;

/// The committed configuration.
pub(crate) const DEFAULT: &str = include_str!("../../../../deploy/cleanup.toml");

/// One with everything that is hard to write down.
pub(crate) const ODD: &str = include_str!("odd.toml");

/// Where xtask has put the programs that come from `PyPI`.
const TOOLS: &str = "CLEANUP_TEST_TOOLS";

pub(crate) fn target() -> Target<'static> {
    Target {
        config_path: Path::new("/srv/app/cleanup.toml"),
        prefix: Path::new("/usr/bin"),
        user: "www-data",
        uid: 33,
        image: cleanup_units::IMAGE,
    }
}

pub(crate) fn odd_target() -> Target<'static> {
    Target {
        config_path: Path::new("/home/ada/app 1/cleanup.toml"),
        prefix: Path::new("/opt/cleanup/bin"),
        user: "ada",
        uid: 1000,
        image: "registry.example.org/cleanup:1",
    }
}

/// An environment in which one variable is set, and a secret that must not be found anywhere.
pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "BESIDE" => Some("/srv/be side".to_owned()),
        "DATABASE_URL" => Some("postgresql://app:secret@db/app".to_owned()),
        _ => None,
    }
}

pub(crate) fn rendered(text: &str) -> Rendered {
    render(text, &target(), &|_| None).unwrap()
}

pub(crate) fn odd() -> Rendered {
    render(ODD, &odd_target(), &env).unwrap()
}

pub(crate) fn refused(text: &str, target: &Target<'_>) -> String {
    match render(text, target, &|_| None) {
        Err(error @ RenderError::Value { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// One policy for files with this schedule.
pub(crate) fn policy(name: &str, root: &str, schedule: &str) -> String {
    format!("[files.{name}]\nroot = \"{root}\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{schedule}\n")
}

pub(crate) fn texts(rendered: &Rendered) -> BTreeMap<&str, &str> {
    rendered.files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect()
}

/// The files in a folder that is gone at the end.
pub(crate) fn written(rendered: &Rendered) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in &rendered.files {
        let path = folder.path().join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.text).unwrap();
    }
    folder
}

/// A program that judges, or `None`, said aloud; in CI it must be there.
pub(crate) fn judge(program: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tools = std::env::var_os(TOOLS).map(PathBuf::from);
    let found = tools
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder: PathBuf| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        assert!(!in_ci, "{program} is missing; `cargo xtask test` installs it");
        eprintln!("SKIPPED: {program} is missing; `cargo xtask test` says how to install it");
    }
    found.map(|file| {
        let mut command = Command::new(file);
        command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        command
    })
}

/// What a program printed, both streams, and whether it was content.
pub(crate) fn verdict(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}
