//! The command line: commands and flags, without what they do.
//!
//! `cleanup` alone is `cleanup sweep`, and every flag of `sweep` works without the subcommand, because crontabs of the
//! scripts that this program replaces use them that way. A flag of `sweep` before another subcommand is an error.

mod values;

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cleanup_core::moment::Moment;
use cleanup_core::policy::MaxAge;
use cleanup_engine::At;

pub(crate) use self::values::PolicyAge;

/// Removes temporary files and idle sessions once they are old enough, and explains every decision.
#[derive(Debug, Parser)]
#[command(name = "cleanup", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(subcommand_help_heading = "Commands")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(flatten)]
    pub(crate) sweep: SweepFlags,

    /// Show statistics instead of sweeping, like `cleanup stats`
    #[arg(long, conflicts_with_all = ["include_archives", "age_hours", "temp_svg_age_hours", "max_age", "strict"])]
    #[arg(help_heading = "Sweep")]
    pub(crate) stats: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Without a command, cleanup sweeps all enabled policies once.

  cleanup --dry-run             preview the removals
  cleanup                       sweep
  cleanup explain FILE          why a file stays, and until when
  cleanup restore               restore the files that the last run quarantined
  cleanup init                  write a commented cleanup.toml here
  cleanup demo                  try it on a sample folder

Exit codes:
   0  done, or nothing to do            4  a safety brake held a policy back
   1  a policy could not run           69  a database is unreachable (--strict)
   2  invalid usage                    75  another sweep is running
   3  some items could not be removed  78  invalid configuration";

const CONFIG_HELP: &str = "\
Configuration file [default: $CLEANUP_CONFIG, ./cleanup.toml, ~/.config/cleanup/cleanup.toml, \
/etc/cleanup/cleanup.toml, built in]";

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    #[arg(short, long, global = true, value_name = "PATH", help = CONFIG_HELP)]
    pub(crate) config: Option<PathBuf>,

    /// Output format
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t, hide_default_value = true)]
    pub(crate) format: Format,

    /// Same as --format json
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only problems
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Print every path with its reason; give twice to add log lines
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// When to use colours [default: on a terminal]
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_default_value = true)]
    pub(crate) color: Color,

    /// Hide the progress display
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

impl Global {
    /// The format, from `--format` or `--json`.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// The format of stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people
    #[default]
    Text,
    // One document for programs
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    // On a terminal, unless $NO_COLOR is set
    #[default]
    Auto,
    // In files and pipes too
    Always,
    // Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Remove what is due, in all enabled policies or the named ones
    Sweep {
        /// Policies to sweep [default: all enabled]
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
        #[command(flatten)]
        flags: SweepFlags,
    },
    /// Show how much there is, how much is due, and when more will be
    Stats {
        /// Policies to show [default: all enabled]
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
    },
    /// List the files that policies match
    List(ListArgs),
    /// Write a plan of what a sweep would remove, for review and `apply`
    ///
    /// A plan contains only files: each session is judged again in the DELETE that removes it.
    Plan(PlanArgs),
    /// Remove exactly the files of a plan, if they are unchanged
    Apply {
        /// Plan to apply
        #[arg(value_name = "FILE")]
        plan: PathBuf,
        /// Workers for each policy, 1 to 64 [default: automatic]
        #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
        jobs: Option<NonZero<usize>>,
    },
    /// Explain whether a path will be removed, why, and when
    Explain {
        /// Files to explain, whether or not a policy matches them
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// Explain rows of this session policy instead; PATH is the value of its `id_column`
        #[arg(long, value_name = "POLICY")]
        session: Option<String>,
    },
    /// Restore the files of a run, or of paths, from quarantine
    Restore(RestoreArgs),
    /// List quarantined files and when they will be deleted
    Quarantine {
        /// Policies to show [default: all]
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
    },
    /// Keep paths for a time, whatever their age
    Hold(HoldArgs),
    /// Show past runs, one run in full, or what was removed and why
    History(HistoryArgs),
    /// Check, show or describe the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Render systemd units, cron files, container files, Kubernetes manifests and alert rules
    Units(UnitsArgs),
    /// Convert the settings of other cleaners into a cleanup.toml
    ///
    /// Reads tmpfiles.d, tmpreaper.conf, and crontabs that call find or tmpreaper. Every policy only observes. Lines
    /// that cannot be converted are reported on stderr and in comments.
    Import {
        /// Files to convert: tmpfiles.d, tmpreaper.conf, crontabs
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Write a commented cleanup.toml here
    Init(InitArgs),
    /// Sweep a sample folder, and show every step
    Demo,
    /// Print shell completions
    Completions {
        /// Shell
        shell: Shell,
    },
    /// Print the manual page in roff format
    Man {
        /// Command to document [default: cleanup itself]
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// Id of a run, or its first characters
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Show when and why this path was removed, and who asked
    ///
    /// A name without a folder is looked for in this folder, and then in all folders. A pattern, quoted, as in
    /// `include`: '*.step', '/srv/app/renders/**'.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Only runs or removals of this policy
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<String>,
    /// Only removals since then: `-2d`, a date, a date and a time
    #[arg(long, value_name = "WHEN", value_parser = values::since, allow_hyphen_values = true, requires = "path")]
    pub(crate) since: Option<Moment>,
    /// Number of entries to show
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Args, Debug, Default)]
pub(crate) struct InitArgs {
    /// Write policies for the session tables of the database whose URL this variable contains
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) from_env: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate the configuration, and check its folders and databases
    Check,
    /// Print the effective values and where each comes from
    Show,
    /// Print the JSON Schema of cleanup.toml, for editors
    Schema,
}

/// Flags of `sweep`, with or without the word.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sweep")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct SweepFlags {
    /// Show what would be removed; remove nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Judge archives by age like other files
    #[arg(long)]
    pub(crate) include_archives: bool,

    /// Override the maximum age of a policy, such as temp-svgs=30m (repeatable)
    #[arg(long, value_name = "POLICY=DURATION", value_parser = values::policy_age)]
    pub(crate) max_age: Vec<PolicyAge>,

    /// Override the maximum age of policy visualization-output, in hours: 24, 0.5
    #[arg(long, value_name = "HOURS", value_parser = values::hours, allow_negative_numbers = true)]
    pub(crate) age_hours: Option<MaxAge>,

    /// Override the maximum age of policy temp-svgs, in hours: 1, 0.5
    #[arg(long, value_name = "HOURS", value_parser = values::hours, allow_negative_numbers = true)]
    pub(crate) temp_svg_age_hours: Option<MaxAge>,

    /// Pretend that it is this time: +7d, 2026-12-24, 2026-12-24T18:00:00Z (dry run only)
    #[arg(long, value_name = "TIME", value_parser = values::at)]
    pub(crate) at: Option<At>,

    /// Override safety brakes for this run and trust the current clock
    #[arg(long)]
    pub(crate) force: bool,

    /// Workers for each policy, 1 to 64 [default: automatic]
    #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
    pub(crate) jobs: Option<NonZero<usize>>,

    /// Exit with code 69 if a database is unreachable
    #[arg(long)]
    pub(crate) strict: bool,

    /// Write metrics to this file, for the textfile collector of `node_exporter`
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,
}

impl SweepFlags {
    /// The first flag that was given, by its name on the command line.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        [
            (self.dry_run, "--dry-run"),
            (self.include_archives, "--include-archives"),
            (!self.max_age.is_empty(), "--max-age"),
            (self.age_hours.is_some(), "--age-hours"),
            (self.temp_svg_age_hours.is_some(), "--temp-svg-age-hours"),
            (self.at.is_some(), "--at"),
            (self.force, "--force"),
            (self.jobs.is_some(), "--jobs"),
            (self.strict, "--strict"),
            (self.textfile.is_some(), "--textfile"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }

    /// These flags and those given before the subcommand, so that `cleanup --dry-run sweep` never deletes.
    pub(crate) fn and(self, before: Self) -> Self {
        Self {
            dry_run: self.dry_run || before.dry_run,
            include_archives: self.include_archives || before.include_archives,
            max_age: before.max_age.into_iter().chain(self.max_age).collect(),
            age_hours: self.age_hours.or(before.age_hours),
            temp_svg_age_hours: self.temp_svg_age_hours.or(before.temp_svg_age_hours),
            at: self.at.or(before.at),
            force: self.force || before.force,
            jobs: self.jobs.or(before.jobs),
            strict: self.strict || before.strict,
            textfile: self.textfile.or(before.textfile),
        }
    }

    /// Every maximum age given, with its flag.
    pub(crate) fn ages(&self) -> Vec<(&'static str, PolicyAge)> {
        let kept = |flag, policy: &str, age: Option<MaxAge>| {
            age.map(|max_age| (flag, PolicyAge { policy: policy.to_owned(), max_age }))
        };
        let mut ages: Vec<_> = self.max_age.iter().map(|age| ("--max-age", age.clone())).collect();
        ages.extend(kept("--age-hours", "visualization-output", self.age_hours));
        ages.extend(kept("--temp-svg-age-hours", "temp-svgs", self.temp_svg_age_hours));
        ages
    }
}

#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    /// Policies to plan [default: all enabled file policies]
    #[arg(value_name = "POLICY")]
    pub(crate) policies: Vec<String>,

    /// Where to write the plan; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// How long the plan is valid
    #[arg(long, value_name = "DURATION", value_parser = values::validity, default_value = "24h")]
    pub(crate) valid_for: Duration,

    /// Exit with code 0 if the plan is empty and 2 if it is not
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,

    /// Judge archives by age like other files
    #[arg(long)]
    pub(crate) include_archives: bool,

    /// Override the maximum age of a policy, such as temp-svgs=30m (repeatable)
    #[arg(long, value_name = "POLICY=DURATION", value_parser = values::policy_age)]
    pub(crate) max_age: Vec<PolicyAge>,

    /// Workers for each policy, 1 to 64 [default: automatic]
    #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
    pub(crate) jobs: Option<NonZero<usize>>,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Policies to list [default: all enabled]
    #[arg(value_name = "POLICY")]
    pub(crate) policies: Vec<String>,

    /// List only files that a sweep would remove now
    #[arg(long)]
    pub(crate) due: bool,

    /// List only files larger than this: 10M (powers of 1000), 10MiB (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = cleanup_core::size::parse)]
    pub(crate) larger_than: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// Id of a run or its first characters, or files and folders [default: last run]
    #[arg(value_name = "RUN|PATH")]
    pub(crate) what: Vec<PathBuf>,

    /// How long to hold restored files: 7d, 12h; with 0s, the next sweep may remove them again
    #[arg(long, value_name = "DURATION", value_parser = values::hold, default_value = "7d")]
    pub(crate) hold: Duration,

    /// Show what would be restored; move nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct HoldArgs {
    /// Files, or folders with everything in them; they need not exist yet
    #[arg(value_name = "PATH", required_unless_present = "list")]
    pub(crate) paths: Vec<PathBuf>,

    /// How long to hold them: 2d, 12h, 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = values::span, group = "what")]
    pub(crate) span: Option<Duration>,

    /// Release the hold
    #[arg(long, group = "what")]
    pub(crate) release: bool,

    /// List holds
    #[arg(long, group = "what", conflicts_with = "paths")]
    pub(crate) list: bool,

    /// List only paths that contain this text
    #[arg(long, value_name = "TEXT", requires = "list", conflicts_with_all = ["paths", "span", "release"])]
    pub(crate) contains: Option<String>,

    /// List only holds that affect this policy
    #[arg(long, value_name = "POLICY", requires = "list", conflicts_with_all = ["paths", "span", "release"])]
    pub(crate) policy: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct UnitsArgs {
    /// Folder to write; files that this command did not write are left alone
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Path of the configuration on the target [default: its path here]
    #[arg(long, value_name = "PATH")]
    pub(crate) config_path: Option<PathBuf>,

    /// Folder of the programs on the target [default: the folder of this one]
    #[arg(long, value_name = "DIR")]
    pub(crate) prefix: Option<PathBuf>,

    /// User that owns the files and removes them
    #[arg(long, value_name = "NAME", default_value = "www-data")]
    pub(crate) user: String,

    /// Number of that user, for containers
    #[arg(long, value_name = "NUMBER", default_value_t = 33)]
    pub(crate) uid: u32,

    /// Name of the container image
    #[arg(long, value_name = "NAME", default_value = cleanup_units::IMAGE)]
    pub(crate) image: String,

    /// Write nothing; exit with code 1 if files are stale or missing
    #[arg(long)]
    pub(crate) check: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("cleanup").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_dry_run_asked_for_before_the_subcommand_is_not_forgotten() {
        let cli = parse("--dry-run sweep temp-svgs --strict").unwrap();
        let Some(Command::Sweep { flags, .. }) = cli.command else { panic!("not a sweep") };
        let flags = flags.and(cli.sweep);
        assert!(flags.dry_run && flags.strict && !flags.include_archives);
    }

    #[test]
    fn ages_that_would_take_everything_are_usage_errors() {
        for line in [
            "--age-hours -1",
            "--age-hours 0",
            "--age-hours nan",
            "--age-hours inf",
            "--age-hours 1e300",
            "--age-hours soon",
            "--temp-svg-age-hours=-0.5",
            "--max-age temp-svgs=0s",
            "--max-age temp-svgs=90",
            "--max-age temp-svgs",
            "--max-age =1h",
            "--stats --age-hours 1",
            "--jobs 0",
            "--jobs 65",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn both_spellings_of_json_are_one() {
        assert_eq!(parse("--json").unwrap().global.format(), Format::Json);
        assert_eq!(parse("list --format json").unwrap().global.format(), Format::Json);
        assert_eq!(parse("--format text").unwrap().global.format(), Format::Text);
    }

    #[test]
    fn global_flags_work_on_both_sides_of_the_command() {
        assert_eq!(parse("-c x.toml stats").unwrap().global.config, Some("x.toml".into()));
        assert_eq!(parse("stats -c x.toml -vv").unwrap().global.verbose, 2);
        assert!(parse("-q -v").is_err());
    }
}
