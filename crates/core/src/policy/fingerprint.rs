//! The rule of a file policy as one run remembers it for the next, so that whoever changes it by mistake is asked first.
//!
//! [`FilePolicy::fingerprint`] takes the policy apart field by field and leaves none out: a new key does not compile
//! until somebody has decided here whether it belongs to the rule, and whether it protects. What is at its default is
//! not written down. So a key that a later version brings is no change where nobody has set it, and an upgrade alone
//! holds nothing back.
//!
//! The text has a version. Version 1 had no version line: it held the keys of [`FIRST_KEYS`] as the configuration wrote
//! them, and is still read. What it did not hold is not compared with it.

use std::fmt;
use std::time::Duration;

use toml::{Table, Value};

use super::{
    AgeClock, Archives, Depth, EmptyDirs, FilePolicy, InUse, Limits, Marks, MaxAge, MinFree, Partitions, Policy,
    References, Room, RootLock, RowStamp, Scalar, SessionPolicy, StampKind, Test, Unit,
};
use crate::duration::{self, Human};
use crate::pattern::Dotfiles;

/// The key that says how the rest is to be read.
const VERSION_KEY: &str = "version";
const VERSION: i64 = 2;

/// What version 1 held.
const FIRST_KEYS: [&str; 18] = [
    "root",
    "unit",
    "include",
    "exclude",
    "archives",
    "include_archives",
    "max_age",
    "min_age",
    "stamp",
    "age_clock",
    "recursive",
    "max_depth",
    "remove_empty_dirs",
    "keep_newest",
    "max_files",
    "max_total_size",
    "min_free",
    "weight",
];

/// The keys of a policy that decide what goes. `Display` is the text to remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint(Vec<Fact>);

/// What was changed in a rule, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys that protected more before than they do now.
    pub loosened: Vec<String>,
    /// The others.
    pub others: Vec<String>,
}

/// One key of the rule.
#[derive(Clone, Debug, PartialEq)]
struct Fact {
    /// As in the configuration.
    key: &'static str,
    /// In one form, however it was written; `None` is the default.
    value: Option<Value>,
    role: Role,
}

/// What a key has to do with what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It says what goes.
    Decides,
    /// It keeps something from going, the more so the more it is.
    Protects(Measure),
    /// It lets something go that would be kept without it.
    Permits,
}

/// How it is told whether a key protects less than it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// A pattern is missing.
    Patterns,
    /// A number is smaller.
    Number,
    /// A time is shorter.
    Span,
    /// Nobody can tell: anything else may protect less.
    Whole,
}

impl FilePolicy {
    /// The rule: every key that has a say in what goes. `others` are the policies of the configuration, or at least those
    /// with a deeper root: what they name is kept from this one, so that a policy that is removed or names less there
    /// counts as a protection that was loosened here.
    pub fn fingerprint<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Fingerprint {
        let Self {
            // It is what the rule is remembered by.
            rule: Policy { name: _, max_age, min_age, archives },
            root,
            // Where there is no root nothing goes.
            root_may_be_missing: _,
            patterns,
            unit,
            stamp,
            depth,
            empty_dirs,
            age_clock,
            limits: Limits { keep_newest, max_files, max_total_size, min_free },
            // What becomes of what is due is another question than what is.
            dispose: _,
            in_use,
            root_lock,
            // Decides nothing: what it passes by is looked at later.
            indexing: _,
            references,
            // They limit the damage of a rule, and are no part of it.
            brakes: _,
            // Whoever has observed long enough and lets the rule act has changed nothing about it.
            effect: _,
            // When it runs, and whether.
            track: _,
            schedule: _,
            enabled: _,
        } = self;
        let [include, exclude, archived] = patterns.texts();
        let weight = min_free.map(|free| free.weight).filter(|weight| (weight - 1.0).abs() > f64::EPSILON);
        let is_recursive = *depth != Depth::FLAT;
        let max_depth = (is_recursive && *depth != Depth::UNLIMITED).then_some(u64::from(depth.0));
        let (decides, permits) = (Role::Decides, Role::Permits);
        let (fewer, smaller) = (Role::Protects(Measure::Patterns), Role::Protects(Measure::Number));
        let (shorter, other) = (Role::Protects(Measure::Span), Role::Protects(Measure::Whole));
        let facts = [
            ("root", Some(Value::String(root.to_string_lossy().into_owned())), decides),
            ("unit", word(unit_name(*unit)), decides),
            ("include", list(include), decides),
            ("exclude", list(exclude), fewer),
            ("archives", list(archived), fewer),
            ("include_archives", switch(judges_archives(*archives)), permits),
            ("dotfiles", switch(matches_dotfiles(patterns.dotfiles())), permits),
            ("max_age", max_age.map(|age| span(MaxAge::get(age))), decides),
            ("min_age", Some(*min_age).filter(|age| !age.is_zero()).map(span), shorter),
            ("stamp", word(stamp_name(*stamp)), decides),
            ("age_clock", word(age_clock_name(*age_clock)), decides),
            ("recursive", switch(is_recursive), decides),
            ("max_depth", max_depth.map(number), decides),
            ("remove_empty_dirs", switch(removes_empty_dirs(*empty_dirs)), decides),
            ("keep_newest", keep_newest.map(number), smaller),
            ("max_files", max_files.map(number), decides),
            ("max_total_size", max_total_size.map(number), decides),
            ("min_free", min_free.as_ref().map(marks), decides),
            ("weight", weight.map(Value::Float), decides),
            ("skip_in_use", switch(skips_in_use(*in_use)), other),
            ("honour_flock", switch(honours_flock(*root_lock)), other),
            ("keep_referenced", references.as_ref().map(referenced), other),
            ("deeper_policies", list(&self.named_deeper(others)), fewer),
        ];
        Fingerprint(facts.map(|(key, value, role)| Fact { key, value, role }).into())
    }
}

impl FilePolicy {
    /// What policies with a deeper root name, a root and a pattern each. Roots are compared as they are written.
    fn named_deeper<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let deeper = others.into_iter().filter_map(|other| {
            let below = other.root.strip_prefix(&self.root).ok()?;
            (!below.as_os_str().is_empty()).then_some((below, other))
        });
        let named = deeper.flat_map(|(below, other)| {
            let below = below.display();
            // A line more for what reaches further: so less reach is a line that is missing.
            let is_deep = other.depth > Depth::FLAT || other.unit == Unit::Directory;
            let has_dotfiles = other.patterns.dotfiles() == Dotfiles::Match;
            other.patterns.texts().iter().flatten().flat_map(move |pattern| {
                let flat = Some(format!("{below}: {pattern}"));
                let deep = is_deep.then(|| format!("{below}/**: {pattern}"));
                let hidden = has_dotfiles.then(|| format!("{below}: {pattern}, dotfiles too"));
                [flat, deep, hidden].into_iter().flatten()
            })
        });
        named.collect()
    }
}

impl SessionPolicy {
    /// The rule for rows: every key that has a say in which of them go.
    pub fn fingerprint(&self) -> Fingerprint {
        let Self {
            // It is what the rule is remembered by. The other two have no key for rows.
            rule: Policy { name: _, max_age, min_age: _, archives: _ },
            // Another database is another place for the same rule: a password that changes must not hold anything back,
            // and nothing of a URL may be written down.
            database: _,
            table,
            // It names a session where one is explained, and decides nothing.
            id_column: _,
            stamp,
            conditions,
            activity_time_zone,
            time_format,
            // How fast it goes.
            batch_size: _,
            lock_timeout: _,
            statement_timeout: _,
            pace: _,
            // What becomes of what is due is another question than what is.
            archive_table: _,
            partitions,
            // They limit the damage of a rule, and are no part of it.
            brakes: _,
            // Whoever has observed long enough and lets the rule act has changed nothing about it.
            effect: _,
            // When it runs, and whether.
            schedule: _,
            enabled: _,
        } = self;
        let (activity, expires, grace) = match stamp {
            RowStamp::Activity(columns) => (list(columns), None, None),
            RowStamp::Expiry { column, grace } => {
                (None, Some(Value::String(column.clone())), Some(*grace).filter(|grace| !grace.is_zero()))
            }
        };
        // In the order of names: what is asked of a row has none.
        let asked = conditions.iter().map(|condition| (condition.column.clone(), asked(&condition.test)));
        let asked: Table = asked.collect();
        let decides = Role::Decides;
        let facts = [
            ("table", Some(Value::String(table.clone())), decides),
            // Which of several comes first has a meaning, and a list has none.
            ("activity_column", activity.map(|columns| Value::String(columns.to_string())), decides),
            ("expires_column", expires, decides),
            ("max_idle", max_age.map(|age| span(MaxAge::get(age))), decides),
            ("grace", grace.map(span), Role::Protects(Measure::Span)),
            ("where", (!asked.is_empty()).then_some(Value::Table(asked)), Role::Protects(Measure::Whole)),
            ("activity_time_zone", activity_time_zone.clone().map(Value::String), decides),
            ("time_format", time_format.map(|format| Value::String(format.key().to_owned())), decides),
            ("partitions", word(partitions_name(*partitions)), decides),
        ];
        Fingerprint(facts.map(|(key, value, role)| Fact { key, value, role }).into())
    }
}

/// A dropped partition sets off no trigger and no foreign key, so it is another rule than deleting the same rows.
fn partitions_name(partitions: Partitions) -> Option<&'static str> {
    match partitions {
        Partitions::Delete => None,
        Partitions::Drop => Some("drop"),
    }
}

/// What is asked of a column.
fn asked(asked: &Test) -> Value {
    let values = |values: &[Scalar]| {
        let value = |value: &Scalar| match value {
            Scalar::Text(text) => Value::String(text.clone()),
            Scalar::Integer(number) => Value::Integer(*number),
            Scalar::Boolean(is_true) => Value::Boolean(*is_true),
        };
        Value::Array(values.iter().map(value).collect())
    };
    let table = |key: &str, value| Value::Table(std::iter::once((key.to_owned(), value)).collect());
    match asked {
        Test::OneOf(list) => values(list),
        Test::NoneOf(list) => table("not", values(list)),
        Test::Null(is_null) => table("null", Value::Boolean(*is_null)),
    }
}

impl Fingerprint {
    /// What was changed since an earlier run wrote its fingerprint down; `None` when nothing was.
    pub fn changes_since(&self, before: &str) -> Option<Changes> {
        let Some(before) = Remembered::read(before) else {
            return Some(Changes {
                others: vec!["the rule was changed in unknown ways".to_owned()],
                ..Changes::default()
            });
        };
        let mut changes = Changes::default();
        for Fact { key, value, role } in self.0.iter().filter(|fact| before.knows(fact.key)) {
            let (old, new) = (before.keys.get(*key), value.as_ref());
            if is_same(old, new) {
                continue;
            }
            let words = match (old, new) {
                (Some(old), Some(new)) => format!("{key} was changed from {old} to {new}"),
                (Some(old), None) => format!("{key} was removed (it was {old})"),
                (None, Some(new)) => format!("{key} was set to {new}"),
                (None, None) => continue,
            };
            let kind = if role.is_loosened(old, new) { &mut changes.loosened } else { &mut changes.others };
            kind.push(words);
        }
        (changes != Changes::default()).then_some(changes)
    }

    fn table(&self) -> Table {
        self.0.iter().filter_map(|fact| Some((fact.key.to_owned(), fact.value.clone()?))).collect()
    }
}

/// The text to remember: TOML, with a version.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{VERSION_KEY} = {VERSION}")?;
        // A line each: a table within the table would need a heading.
        self.table().iter().try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
    }
}

impl Changes {
    /// Whether a key protects less than it did.
    pub fn has_loosened(&self) -> bool {
        !self.loosened.is_empty()
    }
}

/// All of them in a row.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<&str> = self.loosened.iter().chain(&self.others).map(String::as_str).collect();
        f.write_str(&all.join(" and "))
    }
}

/// A fingerprint that an earlier run has written.
struct Remembered {
    keys: Table,
    /// Whether it has the keys of version 1 alone.
    is_first: bool,
}

impl Remembered {
    /// `None` for a text that no version of ours has written.
    fn read(text: &str) -> Option<Self> {
        let mut keys: Table = text.parse().ok()?;
        match keys.remove(VERSION_KEY) {
            Some(Value::Integer(VERSION)) => Some(Self { keys, is_first: false }),
            Some(_) => None,
            // As the configuration wrote it: read as that, and written down as we do.
            None => Some(Self { keys: crate::config::file_policy(text)?.fingerprint(&[]).table(), is_first: true }),
        }
    }

    fn knows(&self, key: &str) -> bool {
        !self.is_first || FIRST_KEYS.contains(&key)
    }
}

impl Role {
    /// Whether less is protected by this value than by that before it.
    fn is_loosened(self, old: Option<&Value>, new: Option<&Value>) -> bool {
        let measure = match self {
            Self::Decides => return false,
            Self::Permits => return old.is_none(),
            Self::Protects(measure) => measure,
        };
        match (old, new) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(old), Some(new)) => measure.is_less(old, new),
        }
    }
}

impl Measure {
    fn is_less(self, old: &Value, new: &Value) -> bool {
        let parsed = |value: &Value| value.as_str().and_then(|text| duration::parse(text).ok());
        match self {
            Self::Patterns => items(old).iter().any(|pattern| !items(new).contains(pattern)),
            Self::Number => new.as_integer() < old.as_integer(),
            Self::Span => parsed(new) < parsed(old),
            Self::Whole => true,
        }
    }
}

/// The order of patterns has no meaning.
fn is_same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(old @ Value::Array(_)), Some(new @ Value::Array(_))) => items(old) == items(new),
        _ => old == new,
    }
}

fn items(list: &Value) -> std::collections::BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn list(patterns: &[String]) -> Option<Value> {
    let items = || patterns.iter().cloned().map(Value::String).collect();
    (!patterns.is_empty()).then(|| Value::Array(items()))
}

fn switch(is_on: bool) -> Option<Value> {
    is_on.then_some(Value::Boolean(true))
}

fn word(word: Option<&str>) -> Option<Value> {
    Some(Value::String(word?.to_owned()))
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// As people write it, where that loses nothing.
fn span(span: Duration) -> Value {
    let shown = Human(span).to_string();
    let is_exact = duration::parse(&shown) == Ok(span);
    Value::String(if is_exact { shown } else { format!("{}s{}ns", span.as_secs(), span.subsec_nanos()) })
}

// As the configuration writes it; nothing where it is the default. A new value of a key is asked for here: it cannot pass
// for another one.

fn unit_name(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::File => None,
        Unit::Directory => Some("directory"),
    }
}

fn stamp_name(stamp: StampKind) -> Option<&'static str> {
    match stamp {
        StampKind::Modified => None,
        StampKind::Changed => Some("ctime"),
        StampKind::Accessed => Some("atime"),
        StampKind::Born => Some("btime"),
        StampKind::Newest => Some("newest"),
    }
}

fn age_clock_name(clock: AgeClock) -> Option<&'static str> {
    match clock {
        AgeClock::Wall => None,
        AgeClock::Running => Some("running"),
    }
}

fn judges_archives(archives: Archives) -> bool {
    match archives {
        Archives::Keep => false,
        Archives::Judge => true,
    }
}

fn matches_dotfiles(dotfiles: Dotfiles) -> bool {
    match dotfiles {
        Dotfiles::Leave => false,
        Dotfiles::Match => true,
    }
}

fn removes_empty_dirs(dirs: EmptyDirs) -> bool {
    match dirs {
        EmptyDirs::Keep => false,
        EmptyDirs::Judge => true,
    }
}

fn skips_in_use(in_use: InUse) -> bool {
    match in_use {
        InUse::Ignore => false,
        InUse::Skip => true,
    }
}

fn honours_flock(lock: RootLock) -> bool {
    match lock {
        RootLock::Ignore => false,
        RootLock::Honour => true,
    }
}

fn marks(MinFree { space, inodes, weight: _ }: &MinFree) -> Value {
    let room = |room: Room| match room {
        Room::Percent(percent) => Value::String(format!("{percent}%")),
        Room::Amount(amount) => number(amount),
    };
    let high = |Marks { low, high }: Marks| (high != low).then(|| room(high));
    let keys = [
        ("low", space.map(|marks| room(marks.low))),
        ("high", space.and_then(high)),
        ("inodes", inodes.map(|marks| room(marks.low))),
    ];
    Value::Table(keys.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
}

fn referenced(References { sessions, query }: &References) -> Value {
    let keys = [("sessions", sessions), ("query", query)];
    Value::Table(keys.map(|(key, text)| (key.to_owned(), Value::String(text.clone()))).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Source};

    fn rule(keys: &str) -> Fingerprint {
        let text = format!(
            "[files.f]\nroot = \"/r\"\ninclude = [\"*\"]\nmax_age = \"1d\"\n{keys}\n[sessions.s]\nurl = \"sqlite:////s\"\n\
             table = \"t\"\nid_column = \"i\"\nactivity_column = \"a\"\nmax_idle = \"1h\"\n"
        );
        let source = Source { name: "", text: &text, folder: Path::new("/") };
        let files = Config::load(&source, &|_| None).unwrap_or_else(|error| panic!("{error}")).files;
        files[0].fingerprint(&files)
    }

    fn changes(before: &str, now: &str) -> Option<Changes> {
        rule(now).changes_since(&rule(before).to_string())
    }

    const QUERY: &str = "keep_referenced = { sessions = \"s\", query = \"select 1\" }";

    #[test]
    fn a_protection_that_was_loosened_is_told_from_one_that_was_tightened() {
        let other_query = QUERY.replace('1', "2");
        for (looser, tighter) in [
            ("", "exclude = [\"a\"]"),
            ("exclude = [\"a\"]", "exclude = [\"b\", \"a\"]"),
            ("", "archives = [\"a\"]"),
            ("archives = [\"a\"]", "archives = [\"a\", \"b\"]"),
            ("include_archives = true", ""),
            ("dotfiles = true", ""),
            ("", "min_age = \"10m\""),
            ("min_age = \"10m\"", "min_age = \"1h\""),
            ("min_age = \"1500ms\"", "min_age = \"1501ms\""),
            ("", "keep_newest = 1"),
            ("keep_newest = 9", "keep_newest = 10"),
            ("", "skip_in_use = true"),
            ("", "honour_flock = true"),
            ("", QUERY),
            ("", "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\""),
            (
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\"",
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nexclude = [\"b\"]\nmax_age = \"9d\"",
            ),
            (
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\"",
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\"\nrecursive = true",
            ),
            (
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\"",
                "[files.deep]\nroot = \"/r/deep\"\ninclude = [\"a\"]\nmax_age = \"9d\"\ndotfiles = true",
            ),
        ] {
            let loosened = changes(tighter, looser).unwrap_or_else(|| panic!("{looser}"));
            assert_eq!((loosened.loosened.len(), loosened.others.len()), (1, 0), "{tighter} → {looser}");
            let tightened = changes(looser, tighter).unwrap_or_else(|| panic!("{tighter}"));
            assert_eq!((tightened.loosened.len(), tightened.others.len()), (0, 1), "{looser} → {tighter}");
            assert_eq!((changes(looser, looser), changes(tighter, tighter)), (None, None));
        }
        for (before, now) in [(QUERY, other_query.as_str()), ("exclude = [\"a\"]", "exclude = [\"b\", \"c\"]")] {
            assert!(changes(before, now).is_some_and(|changes| changes.has_loosened()), "{before} → {now}");
        }
    }

    #[test]
    fn the_other_keys_of_the_rule_are_changes_and_no_loosened_protection() {
        for key in [
            "unit = \"directory\"",
            "stamp = \"newest\"",
            "age_clock = \"running\"",
            "recursive = true",
            "recursive = true\nremove_empty_dirs = true",
            "max_files = 3",
            "max_total_size = \"1MB\"",
            "min_free = \"10%\"",
            "min_free = { low = \"1GB\", high = \"2GB\", inodes = \"5%\" }\nweight = 2.5",
        ] {
            for (before, now) in [("", key), (key, "")] {
                let changes = changes(before, now).unwrap_or_else(|| panic!("{key}"));
                assert!(!changes.has_loosened() && !changes.others.is_empty(), "{changes}");
            }
            assert_eq!(changes(key, key), None);
        }
        assert!(changes("recursive = true\nmax_depth = 3", "recursive = true\nmax_depth = 4").is_some());
    }

    #[test]
    fn what_does_not_decide_what_goes_and_what_means_the_same_is_no_change() {
        for (before, now) in [
            ("", "every = \"1h\"\ntrack = true\nindex = false\nroot_may_be_missing = true\nmode = \"observe\""),
            ("", "dispose = \"quarantine\"\nmax_removals = 3\nmax_runtime = \"1h\"\nenabled = false"),
            ("", "exclude = []\nmin_age = \"0s\"\nstamp = \"mtime\"\nskip_in_use = false\nrecursive = false"),
            ("min_age = \"60m\"", "min_age = \"1h\""),
            ("exclude = [\"a\", \"b\"]", "exclude = [\"b\", \"a\"]"),
            ("max_total_size = \"1MB\"", "max_total_size = 1000000"),
            ("", "recursive = true\nmax_depth = 1"),
        ] {
            assert_eq!(changes(before, now), None, "{before} → {now}");
        }
    }

    #[test]
    fn the_first_version_is_still_compared_where_it_had_the_key() {
        let first = "root = \"/r\"\nunit = \"file\"\ninclude = [\"*\"]\nexclude = [\"keep\"]\narchives = []\n\
                     include_archives = false\nmax_age = \"24h\"\nmin_age = \"0s\"\nstamp = \"mtime\"\n\
                     age_clock = \"wall\"\nrecursive = false\nremove_empty_dirs = false\n\
                     min_free = { low = \"10%\", high = \"15%\" }\nweight = 2";
        let same = "exclude = [\"keep\"]\nmin_free = { low = \"10%\", high = \"15%\" }\nweight = 2";
        assert_eq!(rule(same).changes_since(first), None);
        let unknown = format!("{same}\n{QUERY}\nskip_in_use = true\nhonour_flock = true");
        assert_eq!(rule(&unknown).changes_since(first), None, "it did not say");
        let changes = rule("min_free = { low = \"10%\", high = \"15%\" }").changes_since(first).unwrap();
        assert_eq!(changes.loosened, ["exclude was removed (it was [\"keep\"])"]);
        assert_eq!(changes.others, ["weight was removed (it was 2.0)"]);
        let shorter = first.replace("24h", "2d");
        let changes = rule(same).changes_since(&shorter).unwrap();
        assert_eq!(changes.to_string(), "max_age was changed from \"2d\" to \"24h\"");
    }

    /// With all keys set that have a place in it.
    const ALL_KEYS: &str = "exclude = [\"keep-*\", \"a\"]\narchives = [\"old-*\"]\ninclude_archives = true\ndotfiles = true\n\
                            min_age = \"90s\"\nstamp = \"newest\"\nage_clock = \"running\"\nrecursive = true\nmax_depth = 3\n\
                            remove_empty_dirs = true\nkeep_newest = 5\nmax_files = 1000\nmax_total_size = \"5GB\"\n\
                            min_free = { low = \"10%\", high = \"15%\", inodes = \"5%\" }\nweight = 2.5\nskip_in_use = true\n\
                            honour_flock = true\nkeep_referenced = { sessions = \"s\", query = \"select 1\" }\n\
                            [files.deep]\nroot = \"/r/deep\"\ninclude = [\"*.log\"]\nmax_age = \"9d\"\nrecursive = true";

    /// What version 0.1 writes for [`ALL_KEYS`]: never edited, for it lies in folders that cannot be asked.
    const REMEMBERED: &str = r#"version = 2
age_clock = "running"
archives = ["old-*"]
deeper_policies = ["deep: *.log", "deep/**: *.log"]
dotfiles = true
exclude = ["keep-*", "a"]
honour_flock = true
include = ["*"]
include_archives = true
keep_newest = 5
keep_referenced = { query = "select 1", sessions = "s" }
max_age = "24h"
max_depth = 3
max_files = 1000
max_total_size = 5000000000
min_age = "1m30s"
min_free = { high = "15%", inodes = "5%", low = "10%" }
recursive = true
remove_empty_dirs = true
root = "/r"
skip_in_use = true
stamp = "newest"
weight = 2.5
"#;

    /// The same for whole directories.
    const REMEMBERED_DIRECTORIES: &str =
        "version = 2\ninclude = [\"*\"]\nmax_age = \"24h\"\nroot = \"/r\"\nunit = \"directory\"\n";

    #[test]
    fn what_this_version_remembers_is_no_change_for_any_later_one() {
        assert_eq!(rule(ALL_KEYS).changes_since(REMEMBERED), None);
        assert_eq!(rule("unit = \"directory\"").changes_since(REMEMBERED_DIRECTORIES), None);
        let remembered: Table = REMEMBERED.parse().unwrap();
        for Fact { key, .. } in rule(ALL_KEYS).0.iter().filter(|fact| fact.key != "unit") {
            let changed = REMEMBERED.lines().filter(|line| !line.starts_with(&format!("{key} ="))).collect::<Vec<_>>();
            let is_old = remembered.contains_key(*key);
            assert_eq!(rule(ALL_KEYS).changes_since(&changed.join("\n")).is_some(), is_old, "{key} is compared");
        }
    }

    #[test]
    fn a_text_that_is_none_of_ours_is_a_change_that_nobody_can_tell() {
        for text in ["", "version = 3\n", "root = \"/r\"\ninclude = [\"[\"]", "nonsense"] {
            let changes = rule("").changes_since(text).unwrap();
            assert!(!changes.has_loosened() && changes.to_string().contains("in unknown ways"), "{text}");
        }
    }

    /// A key is in the fingerprint, or excused in it: this list is what the destructuring leaves out.
    #[test]
    fn every_key_of_a_file_policy_is_in_the_rule_or_is_excused() {
        let excused = [
            "dispose",
            "enabled",
            "cron",
            "every",
            "index",
            "max_consecutive_errors",
            "max_removal_percent",
            "max_removals",
            "max_runtime",
            "mode",
            "quarantine_for",
            "quarantine_max_size",
            "root_may_be_missing",
            "track",
        ];
        let schema = crate::config::schema();
        let keys = schema["$defs"]["FilePolicy"]["properties"].as_object().unwrap();
        let facts = rule("").0;
        for key in keys.keys() {
            let is_in = facts.iter().any(|fact| fact.key == key);
            assert!(is_in != excused.contains(&key.as_str()), "{key}");
        }
    }

    fn rows(keys: &str) -> SessionPolicy {
        let text = format!("[sessions.s]\nurl = \"postgresql://h/d\"\ntable = \"t\"\nid_column = \"i\"\n{keys}\n");
        let source = Source { name: "", text: &text, folder: Path::new("/") };
        Config::load(&source, &|_| None).unwrap_or_else(|error| panic!("{error}")).sessions.remove(0)
    }

    #[test]
    fn every_key_of_a_session_policy_is_in_the_rule_or_is_excused() {
        let excused = [
            "archive_table",
            "batch_size",
            "cron",
            "enabled",
            "every",
            "id_column",
            "lock_timeout",
            "max_removal_percent",
            "max_removals",
            "max_runtime",
            "mode",
            "pace",
            "statement_timeout",
            "url",
        ];
        let schema = crate::config::schema();
        let keys = schema["$defs"]["SessionPolicy"]["properties"].as_object().unwrap();
        let facts = rows("activity_column = \"a\"\nmax_idle = \"1h\"").fingerprint().0;
        for key in keys.keys() {
            let is_in = facts.iter().any(|fact| fact.key == key);
            assert!(is_in != excused.contains(&key.as_str()), "{key}");
        }
    }

    #[test]
    fn a_rule_for_rows_is_remembered_and_compared() {
        let idle = "activity_column = \"a\"\nmax_idle = \"1h\"";
        let asked =
            format!("{idle}\nwhere = {{ s = [\"x\", 1, true], k = {{ not = \"keep\" }}, u = {{ null = true }} }}");
        let changes = |before: &str, after: &str| {
            let remembered = rows(before).fingerprint().to_string();
            let changes = rows(after).fingerprint().changes_since(&remembered);
            changes.map(|changes| (changes.loosened.len(), changes.others.len()))
        };
        for same in [idle, &asked, "expires_column = \"e\"", "expires_column = \"e\"\ngrace = \"90s\""] {
            assert_eq!(changes(same, same), None, "{same}");
        }
        assert_eq!(changes(idle, &format!("{idle}\nmax_removals = 7\npace = \"strict\"")), None);
        assert_eq!(changes(idle, &idle.replace("1h", "2h")), Some((0, 1)));
        assert_eq!(changes(idle, &idle.replace("\"a\"", "[\"a\", \"b\"]")), Some((0, 1)));
        assert_eq!(
            changes(&idle.replace("\"a\"", "[\"b\", \"a\"]"), &idle.replace("\"a\"", "[\"a\", \"b\"]")),
            Some((0, 1)),
            "which comes first has a meaning"
        );
        assert_eq!(changes(idle, "expires_column = \"a\""), Some((0, 3)));
        assert_eq!(changes(idle, &format!("{idle}\ntime_format = \"julian\"")), Some((0, 1)));
        assert_eq!(changes(idle, &format!("{idle}\npartitions = \"delete\"")), None);
        assert_eq!(changes(idle, &format!("{idle}\npartitions = \"drop\"")), Some((0, 1)));
        assert_eq!(changes(idle, &asked), Some((0, 1)), "what is about fewer rows loosens nothing");
        assert_eq!(changes(&asked, idle), Some((1, 0)), "what was kept by it is not any more");
        assert_eq!(changes(&asked, &asked.replace("keep", "kept")), Some((1, 0)));
    }
}
