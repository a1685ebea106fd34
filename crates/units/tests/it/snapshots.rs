//! All files of both installations, word for word.

use crate::support::{DEFAULT, env};
use crate::support::{odd, rendered, target, texts};

#[test]
fn the_committed_files_are_those_of_the_committed_configuration() {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    for file in rendered(DEFAULT).files {
        let committed = std::fs::read_to_string(deploy.join(&file.path)).unwrap_or_default();
        assert!(committed == file.text, "{} is stale: cargo xtask deploy-units", file.path);
    }
}

#[test]
fn every_file_of_the_default_configuration() {
    snapshots("default", &rendered(DEFAULT));
}

#[test]
fn every_file_of_an_odd_configuration() {
    let odd = odd();
    snapshots("odd", &odd);
    let notes: Vec<String> = odd.notes.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("odd-notes", notes.join("\n"));
}

#[test]
fn no_file_knows_where_or_when_it_was_made_or_what_the_database_is() {
    let here = cleanup_units::render(DEFAULT, &target(), &env).unwrap();
    assert_eq!(here, rendered(DEFAULT), "what DATABASE_URL holds here must not matter");
    for file in odd().files.iter().chain(&here.files) {
        assert!(file.text.starts_with(cleanup_units::MARK), "{}", file.path);
        assert!(!file.text.contains("secret@") && !file.text.contains(env!("CARGO_MANIFEST_DIR")), "{}", file.path);
    }
}

fn snapshots(name: &str, rendered: &cleanup_units::Rendered) {
    let texts = texts(rendered);
    let mut folders: Vec<&str> = texts.keys().map(|path| path.split('/').next().unwrap()).collect();
    folders.dedup();
    for folder in folders {
        let files = texts.iter().filter(|(path, _)| path.starts_with(folder));
        let all: String = files.map(|(path, text)| format!("──── {path}\n{text}\n")).collect();
        insta::assert_snapshot!(format!("{name}-{folder}"), all);
    }
}
