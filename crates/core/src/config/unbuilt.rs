//! What the language has and this version does not do yet.
//!
//! A policy that asks for it is refused: to ignore a key that keeps files, or that says what becomes of them, would
//! delete what the user meant to keep. **Whoever builds an effect deletes its line here**, and moves its row in
//! `docs/configuration.md`.

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;

/// Keys without an effect yet: the kind of policy, the key, and which of its values is refused.
const NOT_BUILT: &[(&str, &str, Refused)] = &[
    ("files", "unit", Refused::Value("directory")),
    ("files", "dispose", Refused::Value("quarantine")),
    ("files", "quarantine_for", Refused::Any),
    ("files", "quarantine_max_size", Refused::Any),
    ("files", "skip_in_use", Refused::Value("true")),
    ("files", "honour_flock", Refused::Value("true")),
    ("files", "keep_referenced", Refused::Any),
];

/// Which values of a key are refused.
enum Refused {
    /// The key itself.
    Any,
    /// This value; the others say what happens anyway.
    Value(&'static str),
}

/// Adds an error for each key of a policy that asks for something this version does not do.
pub(super) fn refuse(tree: &DeTable<'_>, problems: &mut Vec<Diagnostic>) {
    for (kind, key, refused) in NOT_BUILT {
        let Some(DeValue::Table(policies)) = tree.get(*kind).map(Spanned::get_ref) else { continue };
        for policy in policies.values() {
            let DeValue::Table(policy) = policy.get_ref() else { continue };
            let Some((found, value)) = policy.get_key_value(*key) else { continue };
            match refused {
                Refused::Any => problems.push(
                    Diagnostic::new(&found.span(), format!("`{key}` is not supported by this version yet"))
                        .label("this key has no effect yet, so the policy is refused")
                        .help("remove the key, or use a version that supports it"),
                ),
                Refused::Value(unbuilt) if is(value.get_ref(), unbuilt) => problems.push(
                    Diagnostic::new(
                        &found.span(),
                        format!("`{key} = {}` is not supported by this version yet", literal(value.get_ref(), unbuilt)),
                    )
                    .label("this has no effect yet, so the policy is refused")
                    .help("remove the key, or use a version that supports it"),
                ),
                Refused::Value(_) => {}
            }
        }
    }
}

/// The kind of policy, the key, and a sentence that says what of it this version does not do.
pub(super) fn keys() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    NOT_BUILT.iter().map(|(kind, key, refused)| match refused {
        Refused::Any => (*kind, *key, "Not supported by this version yet.".to_owned()),
        Refused::Value(value) => (*kind, *key, format!("`{value}` is not supported by this version yet.")),
    })
}

fn is(value: &DeValue<'_>, text: &str) -> bool {
    match value {
        DeValue::String(own) => own == text,
        DeValue::Boolean(own) => *own == (text == "true"),
        _ => false,
    }
}

fn literal(value: &DeValue<'_>, text: &str) -> String {
    if matches!(value, DeValue::String(_)) { format!("\"{text}\"") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Source};

    /// A value that would be right, were the key built.
    fn value(key: &str, refused: &Refused) -> String {
        match refused {
            Refused::Value("true") => "true".to_owned(),
            Refused::Value(value) => format!("\"{value}\""),
            Refused::Any => match key {
                "quarantine_for" => "\"7d\"",
                "quarantine_max_size" => "\"10GiB\"",
                "keep_referenced" => "{ sessions = \"s\", query = \"select path from files\" }",
                _ => "5",
            }
            .to_owned(),
        }
    }

    #[test]
    fn the_documentation_lists_each_key_that_has_no_effect_yet() {
        let docs = include_str!("../../../../docs/configuration.md");
        let (_, list) = docs.split_once("## Not supported yet").unwrap();
        for (_, key, _) in NOT_BUILT {
            assert!(list.contains(&format!("`{key}`")), "{key}");
        }
        let known = |key: &str| NOT_BUILT.iter().any(|(_, known, _)| *known == key);
        for row in list.lines().filter(|line| line.starts_with("| `")) {
            let keys = row.split('|').nth(1).unwrap();
            assert!(keys.split('`').skip(1).step_by(2).all(known), "{row}");
        }
    }

    #[test]
    fn a_policy_is_refused_for_each_key_that_has_no_effect_yet() {
        for (kind, key, refused) in NOT_BUILT {
            let line = format!("{key} = {}\n", value(key, refused));
            let only = |wanted: &str| if *kind == wanted { line.as_str() } else { "" };
            let text = format!(
                "[files.f]\nroot = \"f\"\ninclude = [\"*\"]\nmax_age = \"1h\"\n{}[sessions.s]\nurl = \"${{DB}}\"\n\
                 table = \"t\"\nid_column = \"i\"\nactivity_column = \"a\"\nmax_idle = \"2h\"\n{}",
                only("files"),
                only("sessions"),
            );
            let source = Source { name: "cleanup.toml", text: &text, folder: Path::new("/srv") };
            let error = Config::load(&source, &|_| None).unwrap_err();
            let titles = error.diagnostics().iter().map(Diagnostic::title);
            let unbuilt: Vec<_> = titles.filter(|title| title.ends_with("not supported by this version yet")).collect();
            assert!(unbuilt.len() == 1 && unbuilt[0].contains(key), "{error}");
        }
    }
}
