//! The licence gate: every dependency has a licence that `deny.toml` allows, and comes from the public registry.
//!
//! `deny.toml` is written for cargo-deny, which is used where it is installed. Where it is not (compiling it takes
//! longer than all other checks together) the same list is applied here to what `cargo metadata` says.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

use crate::shell::{self, cargo, find, top};

/// The part of `deny.toml` that this gate reads.
#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    /// SPDX names; `A WITH B` allows just that exception.
    allow: Vec<String>,
}

/// Runs cargo-deny if it is there, else our own check.
pub(crate) fn check() -> Result<()> {
    if find("cargo-deny").is_some() {
        println!("by cargo-deny: licences, bans, sources");
        return shell::run(&mut cargo(&["deny", "--all-features", "check", "licenses", "bans", "sources"]));
    }
    let allowed = allowed(&top().join("deny.toml"))?;
    let metadata = MetadataCommand::new().current_dir(top()).exec().context("cannot read the dependencies")?;
    let complaints = complaints(&metadata, &allowed);
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    println!(
        "cargo-deny is not installed; by our own reading of deny.toml: {} packages, licences and sources",
        metadata.packages.len()
    );
    Ok(())
}

fn allowed(deny_toml: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(deny_toml).context("cannot read deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("deny.toml")?;
    Ok(deny.licenses.allow)
}

fn complaints(metadata: &Metadata, allowed: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in &metadata.packages {
        if let Some(what) = licence_complaint(package.license.as_deref(), allowed) {
            complaints.push(format!("{} {}: {what}", package.name, package.version));
        }
        if let Some(what) = source_complaint(package) {
            complaints.push(format!("{} {}: {what}", package.name, package.version));
        }
    }
    complaints
}

fn licence_complaint(licence: Option<&str>, allowed: &[String]) -> Option<String> {
    let Some(licence) = licence else { return Some("names no licence".into()) };
    // Old packages write `MIT/Apache-2.0`.
    match Expression::parse_mode(licence, ParseMode::LAX) {
        Err(error) => Some(format!("its licence `{licence}` cannot be read: {}", error.reason)),
        Ok(expression) if expression.evaluate(|one| allowed.contains(&one.to_string())) => None,
        Ok(_) => Some(format!("its licence `{licence}` is not allowed")),
    }
}

fn source_complaint(package: &Package) -> Option<String> {
    match &package.source {
        None => None,
        Some(source) if source.is_crates_io() => None,
        Some(source) => Some(format!("comes from {source}")),
    }
}

#[cfg(test)]
mod tests {
    use super::licence_complaint;

    fn check(licence: &str) -> bool {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(String::from);
        licence_complaint(Some(licence), &allowed).is_none()
    }

    #[test]
    fn one_allowed_licence_of_several_is_enough() {
        assert!(check("MIT OR LGPL-2.1-or-later"));
        assert!(check("Unlicense/MIT"));
    }

    #[test]
    fn licences_joined_by_and_must_all_be_allowed() {
        assert!(check("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!check("MIT AND GPL-3.0-only"));
    }

    #[test]
    fn an_exception_is_not_allowed_by_the_bare_licence() {
        assert!(!check("Apache-2.0 WITH LLVM-exception"));
    }

    #[test]
    fn no_licence_is_no_permission() {
        assert!(licence_complaint(None, &[]).is_some());
        assert!(!check("see LICENSE"));
    }
}
