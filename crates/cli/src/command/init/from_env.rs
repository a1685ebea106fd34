//! `cleanup init --from-env VARIABLE`: looks at a database's tables and writes the policies of those that hold sessions.
//!
//! The URL is read from the environment and stays there: the file names the variable. What was written is read back
//! before it is kept, and every new policy counts what it would take, so that nobody meets a surprise later.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use cleanup_core::candidate::Escaped;
use cleanup_core::config::{Config, Source};
use cleanup_core::words::Number;
use cleanup_engine::Engine;
use cleanup_engine::discover::{Discovery, Proposal, session_tables};
use cleanup_engine::responses::{PolicyStats, SessionStats};
use toml::Value;

use super::{is_there, shown, write};
use crate::args::Global;
use crate::console::{Console, Verbosity};
use crate::exit::Fault;
use crate::failure::Failure;
use crate::policy_name::free_name;

/// How many tables are named where none is recognised.
const NAMED_TABLES: usize = 30;

/// Laravel's own variable, and how its policy says the same.
const LARAVEL_LIFETIME: &str = "SESSION_LIFETIME";

pub(super) fn run(global: &Global, path: &Path, variable: &str, console: &mut Console) -> Result<Vec<Fault>, Failure> {
    if !is_name(variable) {
        return Err(Failure::Usage(
            "--from-env takes the name of a variable, such as DATABASE_URL; everyone can read a URL on a command line"
                .to_owned(),
        ));
    }
    if path.symlink_metadata().is_ok() {
        return Err(is_there(path).into());
    }
    let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| anyhow!("{variable} is not set"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let discovery = session_tables(&url, folder).map_err(|error| anyhow!("{variable}: {error}"))?;
    if discovery.found.is_empty() {
        return Err(anyhow!(nothing_found(&discovery, variable)).into());
    }
    let text = text(&discovery, variable);
    let source = Source { name: "cleanup.toml", text: &text, folder };
    Config::load(&source, &|name| std::env::var(name).ok()).map_err(|error| anyhow!("{error}"))?;
    write(path, &text)?;
    if console.verbosity == Verbosity::Problems {
        return Ok(Vec::new());
    }
    say_what_was_written(global, path, &discovery, console)
}

/// As variables are named in `cleanup.toml`.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn say_what_was_written(
    global: &Global,
    path: &Path,
    discovery: &Discovery,
    console: &mut Console,
) -> Result<Vec<Fault>, Failure> {
    let engine = Engine::open(Some(path))?;
    let stats = engine.stats(&[])?;
    let theme = console.out.theme;
    let (name, detail, warning) = (theme.name, theme.detail, theme.warning);
    let mut said = format!("Wrote {name}{}{name:#}:\n", shown(path));
    for (proposal, policy) in discovery.found.iter().zip(&stats.policies) {
        let framework = proposal.framework.unwrap_or_default();
        let table = Escaped(proposal.table().as_bytes()).to_string();
        let _ = write!(said, "  {name}{}{name:#}  {framework}, table {table}: ", policy.name);
        let _ = match policy {
            PolicyStats { sessions: Some(SessionStats { total_rows, expired_rows, estimated, .. }), .. } => {
                let about = if *estimated { "about " } else { "" };
                writeln!(said, "{about}{}, {expired_rows} would be removed now", Number(*total_rows, "row"))
            }
            PolicyStats { message, .. } => {
                writeln!(said, "{warning}{}{warning:#}", message.as_deref().unwrap_or("could not be counted"))
            }
        };
    }
    for why in &discovery.refused {
        let _ = writeln!(said, "{warning}Left out{warning:#}: {}", Escaped(why.as_bytes()));
    }
    if !discovery.likely.is_empty() {
        let _ = writeln!(said, "Commented out: {}", tables(&discovery.likely));
    }
    let option = if global.config.is_some() { format!(" -c {}", shown(path)) } else { String::new() };
    let _ = write!(
        said,
        "{detail}Then:{detail:#}\n  {name}cleanup{option} config check{name:#}   validate it\n  {name}cleanup{option} \
         --dry-run{name:#}      preview the removals\n  {name}cleanup{option}{name:#}                sweep\n"
    );
    console.out.write(said);
    Ok(Vec::new())
}

fn tables(proposals: &[Proposal]) -> String {
    let tables = proposals.iter().map(|proposal| Escaped(proposal.table().as_bytes()).to_string());
    tables.collect::<Vec<_>>().join(", ")
}

/// What was looked at, and how to go on by hand.
fn nothing_found(discovery: &Discovery, variable: &str) -> String {
    let Discovery { found: _, likely, refused, tables } = discovery;
    let mut said = match &tables[..] {
        [] => format!("the database of {variable} has no table that its role may read; nothing was written"),
        tables => {
            let named: Vec<String> =
                tables.iter().take(NAMED_TABLES).map(|table| Escaped(table.as_bytes()).to_string()).collect();
            let more = match tables.len().saturating_sub(NAMED_TABLES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!(
                "none of the {} is a known session table, so nothing was written; checked {}{more}",
                Number(tables.len() as u64, "table"),
                named.join(", ")
            )
        }
    };
    for why in refused {
        let _ = write!(said, "\n{}", Escaped(why.as_bytes()));
    }
    let example = match &likely[..] {
        [] => "[sessions.NAME]\nurl             = \"${VARIABLE}\"\ntable           = \"TABLE\"\nid_column       = \"ID\"\n\
               activity_column = \"LAST_ACTIVITY\"\nmax_idle        = \"30d\"\n"
            .replace("VARIABLE", variable),
        likely => sections(likely, variable, &mut BTreeSet::new()).trim_start().to_owned(),
    };
    let _ = write!(said, "\nIf one of them contains sessions, add it to cleanup.toml:\n\n{}", example.trim_end());
    said
}

/// The configuration.
fn text(discovery: &Discovery, variable: &str) -> String {
    let mut taken = BTreeSet::new();
    let mut text = format!(
        "#:schema ./cleanup.toml.schema.json\n\
         # The session tables of the database in {variable}. For editors: cleanup config schema > cleanup.toml.schema.json\n"
    );
    text.push_str(&sections(&discovery.found, variable, &mut taken));
    if !discovery.likely.is_empty() {
        text.push_str("\n# These look like session tables too. Set how long rows are kept, and remove the `#`.\n");
        let examples = sections(&discovery.likely, variable, &mut taken);
        for line in examples.lines() {
            text.push_str(if line.is_empty() { "#" } else { "# " });
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn sections(proposals: &[Proposal], variable: &str, taken: &mut BTreeSet<String>) -> String {
    let mut text = String::new();
    for proposal in proposals {
        let Proposal { framework, keys, remarks } = proposal;
        let about: Vec<String> = framework.iter().map(|framework| format!("{framework}.")).collect();
        let about: Vec<&str> = about.iter().map(String::as_str).chain(remarks.iter().copied()).collect();
        text.push('\n');
        if !about.is_empty() {
            let _ = writeln!(text, "# {}", about.join(" "));
        }
        let name = free_name(proposal.table(), "sessions", taken);
        let _ = writeln!(text, "[sessions.{name}]");
        let url = ("url", format!("${{{variable}}}"));
        let keys: Vec<_> = std::iter::once(&url).chain(keys).collect();
        let width = keys.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        for (key, value) in keys {
            let value = match (*key, *framework) {
                ("max_idle", Some("Laravel")) => laravel_lifetime().unwrap_or_else(|| value.clone()),
                // A name may hold what would be a variable.
                ("url", _) => value.clone(),
                _ => value.replace("${", "$${"),
            };
            let _ = writeln!(text, "{key:width$} = {}", Value::String(value));
        }
        taken.insert(name);
    }
    text
}

/// What the application's own environment says, where it is loaded.
fn laravel_lifetime() -> Option<String> {
    let minutes: u32 = std::env::var(LARAVEL_LIFETIME).ok()?.trim().parse().ok()?;
    (minutes > 0).then(|| format!("{minutes}m"))
}
