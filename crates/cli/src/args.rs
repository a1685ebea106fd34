//! What can be asked for: commands and flags, and nothing about what they do.
//!
//! `cleanup` alone is `cleanup sweep`, and every flag of `sweep` works without the subcommand, as the crontabs of the
//! scripts that this replaces have them. A flag of `sweep` before another subcommand is refused, never ignored.

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

/// Removes what is temporary once it is old enough, and says why about every file.
#[derive(Debug, Parser)]
#[command(name = "cleanup", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(subcommand_help_heading = "Commands")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(flatten)]
    pub(crate) sweep: SweepFlags,

    /// Show what is there instead of sweeping, as `cleanup stats` does
    #[arg(long, conflicts_with_all = ["include_archives", "age_hours", "temp_svg_age_hours", "max_age", "strict"])]
    #[arg(help_heading = "Sweep")]
    pub(crate) stats: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Without a command: one sweep of all enabled policies.

  cleanup --dry-run             what would go
  cleanup                       sweep
  cleanup explain FILE          why a file stays, and until when
  cleanup restore               bring back what the last run moved into quarantine
  cleanup init                  write a commented cleanup.toml here
  cleanup demo                  see it work on a made-up folder

Exit codes:
   0  done, or nothing to do            4  a safety brake held a policy back
   1  a policy could not run           69  a database is away (--strict)
   2  usage                            75  another sweep is running
   3  some items could not be removed  78  configuration";

const CONFIG_HELP: &str = "\
Configuration file [default: $CLEANUP_CONFIG, ./cleanup.toml, ~/.config/cleanup/cleanup.toml, \
/etc/cleanup/cleanup.toml, built in]";

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    #[arg(short, long, global = true, value_name = "PATH", help = CONFIG_HELP)]
    pub(crate) config: Option<PathBuf>,

    /// What to print on stdout
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t, hide_default_value = true)]
    pub(crate) format: Format,

    /// Short for --format json
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print problems only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Print every path with its reason; twice: log what is done
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Colours; by default on a terminal
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_default_value = true)]
    pub(crate) color: Color,

    /// Show no progress on a terminal
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

impl Global {
    /// Text or JSON, whichever way it was asked for.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// What stdout holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For people
    #[default]
    Text,
    // One document, for programs
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    // On a terminal, unless $NO_COLOR is set
    #[default]
    Auto,
    // Also into files and pipes
    Always,
    // Not at all
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Remove what is due: one sweep of all enabled policies, or of those named
    Sweep {
        /// Policies to sweep; all enabled ones by default
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
        #[command(flatten)]
        flags: SweepFlags,
    },
    /// Show what is there, how much of it is due, the oldest, and what comes due next
    Stats {
        /// Policies to look at; all enabled ones by default
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
    },
    /// List the files that the policies mean
    List(ListArgs),
    /// Write down what a sweep would remove, for `apply`
    ///
    /// Sessions are in no plan: each is judged again in the DELETE that removes it.
    Plan(PlanArgs),
    /// Remove exactly what a plan names, each only if it is still the same file
    Apply {
        /// The plan
        #[arg(value_name = "FILE")]
        plan: PathBuf,
        /// Workers for each policy, 1 to 64 [default: as many as there is use for]
        #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
        jobs: Option<NonZero<usize>>,
    },
    /// Say what becomes of a path, why, and when
    Explain {
        /// Files, whether or not a policy names them
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
        /// Explain rows of this session policy instead, by the values of its `id_column`
        #[arg(long, value_name = "POLICY")]
        session: Option<String>,
    },
    /// Bring back from quarantine what a run removed, or what lay at some paths
    Restore(RestoreArgs),
    /// List what lies in quarantine, and until when it can come back
    Quarantine {
        /// Policies to look at; all by default
        #[arg(value_name = "POLICY")]
        policies: Vec<String>,
    },
    /// Keep paths for a while, whatever their age
    Hold(HoldArgs),
    /// Show past runs, one of them, or what was removed and why
    History(HistoryArgs),
    /// Check, show or describe the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Try whether those who are to be told of findings can be reached
    Notify {
        /// Send a test message to each target of `[notify]`, and a ping
        #[arg(long, required = true)]
        test: bool,
    },
    /// Write the files that run it: systemd, cron, container, Kubernetes, alerts
    Units(UnitsArgs),
    /// Print a cleanup.toml made from settings of other cleaners
    ///
    /// Understands tmpfiles.d, tmpreaper.conf, and crontabs with find or tmpreaper. Every policy only observes; what
    /// could not be carried over is said on stderr and in comments.
    Import {
        /// Files of tmpfiles.d, tmpreaper.conf, crontabs
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Write a commented cleanup.toml here
    Init(InitArgs),
    /// Build a small tree in a temporary folder, sweep it, and show every step
    Demo,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, as roff
    Man {
        /// The page of this command
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// The beginning of a run's id
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
    /// How many to show
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Args, Debug, Default)]
pub(crate) struct InitArgs {
    /// Look at the database whose URL this variable holds, and write the policies of its session tables
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) from_env: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Validate the configuration and look at the places it names
    Check,
    /// Print the effective values and where each came from
    Show,
    /// Print the JSON Schema of cleanup.toml, for editors
    Schema,
}

/// Flags of `sweep`, with or without the word.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sweep")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct SweepFlags {
    /// Say what would go; delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Judge archives by age like everything else
    #[arg(long)]
    pub(crate) include_archives: bool,

    /// Maximum age in one policy, for this sweep: temp-svgs=30m (repeatable)
    #[arg(long, value_name = "POLICY=DURATION", value_parser = values::policy_age)]
    pub(crate) max_age: Vec<PolicyAge>,

    /// Maximum age in policy visualization-output, in hours: 24, 0.5
    #[arg(long, value_name = "HOURS", value_parser = values::hours, allow_negative_numbers = true)]
    pub(crate) age_hours: Option<MaxAge>,

    /// Maximum age in policy temp-svgs, in hours: 1, 0.5
    #[arg(long, value_name = "HOURS", value_parser = values::hours, allow_negative_numbers = true)]
    pub(crate) temp_svg_age_hours: Option<MaxAge>,

    /// As if it were another time: +7d, 2026-12-24, 2026-12-24T18:00:00Z (dry run only)
    #[arg(long, value_name = "TIME", value_parser = values::at)]
    pub(crate) at: Option<At>,

    /// Go past a safety brake, and take the clock for right
    #[arg(long)]
    pub(crate) force: bool,

    /// Workers for each policy, 1 to 64 [default: as many as there is use for]
    #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
    pub(crate) jobs: Option<NonZero<usize>>,

    /// Exit 69 when a database is away
    #[arg(long)]
    pub(crate) strict: bool,

    /// Write metrics for the textfile collector of `node_exporter`
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

    /// These and those given before the subcommand, so that `cleanup --dry-run sweep` never deletes.
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

    /// Every age that was asked for, with the flag that asked.
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
    /// Policies to plan for; all enabled file policies by default
    #[arg(value_name = "POLICY")]
    pub(crate) policies: Vec<String>,

    /// Where to write it; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// How long it counts
    #[arg(long, value_name = "DURATION", value_parser = values::validity, default_value = "24h")]
    pub(crate) valid_for: Duration,

    /// Exit 0 when nothing would go, 2 when something would
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,

    /// Judge archives by age like everything else
    #[arg(long)]
    pub(crate) include_archives: bool,

    /// Maximum age in one policy, for this plan: temp-svgs=30m (repeatable)
    #[arg(long, value_name = "POLICY=DURATION", value_parser = values::policy_age)]
    pub(crate) max_age: Vec<PolicyAge>,

    /// Workers for each policy, 1 to 64 [default: as many as there is use for]
    #[arg(long, value_name = "NUMBER", value_parser = values::jobs)]
    pub(crate) jobs: Option<NonZero<usize>>,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Policies to list; all enabled ones by default
    #[arg(value_name = "POLICY")]
    pub(crate) policies: Vec<String>,

    /// Only those that a sweep would remove now
    #[arg(long)]
    pub(crate) due: bool,

    /// Only those that take more space than this: 10M (powers of 1000), 10MiB (powers of 1024)
    #[arg(long, value_name = "SIZE", value_parser = cleanup_core::size::parse)]
    pub(crate) larger_than: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The beginning of a run's id, or files and folders; the last run by default
    #[arg(value_name = "RUN|PATH")]
    pub(crate) what: Vec<PathBuf>,

    /// How long it is kept then, whatever its age: 7d, 12h; with 0s the next sweep may take it again
    #[arg(long, value_name = "DURATION", value_parser = values::hold, default_value = "7d")]
    pub(crate) hold: Duration,

    /// Say what would come back; move nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct HoldArgs {
    /// Files or folders; a folder holds everything in it. They need not exist yet
    #[arg(value_name = "PATH", required_unless_present = "list")]
    pub(crate) paths: Vec<PathBuf>,

    /// How long: 2d, 12h, 30m
    #[arg(long = "for", value_name = "DURATION", value_parser = values::span, group = "what")]
    pub(crate) span: Option<Duration>,

    /// Take the hold back
    #[arg(long, group = "what")]
    pub(crate) release: bool,

    /// Show what is held
    #[arg(long, group = "what", conflicts_with = "paths")]
    pub(crate) list: bool,

    /// Of what is held, only paths with this text in them
    #[arg(long, value_name = "TEXT", requires = "list", conflicts_with_all = ["paths", "span", "release"])]
    pub(crate) contains: Option<String>,

    /// Of what is held, only what keeps something of this policy
    #[arg(long, value_name = "POLICY", requires = "list", conflicts_with_all = ["paths", "span", "release"])]
    pub(crate) policy: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct UnitsArgs {
    /// Where to write them; files that were not written by this are left alone
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// Where the configuration will lie on the target [default: where it lies here]
    #[arg(long, value_name = "PATH")]
    pub(crate) config_path: Option<PathBuf>,

    /// The folder of the programs on the target [default: where this one lies]
    #[arg(long, value_name = "DIR")]
    pub(crate) prefix: Option<PathBuf>,

    /// The user that owns the files and removes them
    #[arg(long, value_name = "NAME", default_value = "www-data")]
    pub(crate) user: String,

    /// That user's number, for containers
    #[arg(long, value_name = "NUMBER", default_value_t = 33)]
    pub(crate) uid: u32,

    /// The name under which containers find the image
    #[arg(long, value_name = "NAME", default_value = cleanup_units::IMAGE)]
    pub(crate) image: String,

    /// Write nothing; exit 1 when the files there are not those of the configuration
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
