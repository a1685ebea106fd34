//! All files of both installations, word for word.

use crate::support::{DEFAULT, env};
use crate::support::{odd, policy, rendered, target, texts};

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

#[test]
fn units_reach_those_who_are_told_and_hold_no_secret() {
    let policies = policy("out", "out", "every = \"1h\"");
    let env = |name: &str| (name == "HOOK").then(|| "https://hush.example.org/hush".to_owned());
    let rendered = |notify: &str| cleanup_units::render(&format!("{policies}{notify}\n"), &target(), &env).unwrap();
    let unit = |rendered: &cleanup_units::Rendered, name: &str| texts(rendered)[name].to_owned();
    let (sweep, server) = ("systemd/cleanup-sweep-out.service", "systemd/cleanup-server.service");
    assert!(unit(&rendered(""), sweep).contains("PrivateNetwork=yes"));
    for notify in [
        "[notify]\nwebhook = \"${HOOK}\"",
        "[notify]\nping = \"${HOOK}\"",
        "[notify]\nwebhook_file = \"url\"",
        "[notify]\nwebhook = \"https://example.org\"\nheaders = { Authorization = \"${HOOK}\" }",
        "[notify]\ncommand = [\"tell\", \"${HOOK}\"]",
        "[notify]\nafter = [\"purge\"]",
    ] {
        let rendered = rendered(notify);
        for name in [sweep, server] {
            let text = unit(&rendered, name);
            assert!(!text.contains("PrivateNetwork=yes") && !text.contains("IPAddressDeny"), "{notify}: {text}");
            assert_eq!(text.contains("EnvironmentFile=-/etc/cleanup/cleanup.env"), notify.contains("HOOK"), "{text}");
        }
        assert!(rendered.files.iter().all(|file| !file.text.contains("hush")), "{notify}");
        let has_program = notify.contains("command") || notify.contains("after");
        assert_eq!(rendered.notes.iter().any(|note| note.to_string().contains("[notify]")), has_program, "{notify}");
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
