//! JSON documents that are the command line's own; the others are the engine's answers as they are.
//!
//! Every document has a schema in `docs/schemas`, made from these types. Keys are added, never renamed or lost.

use cleanup_core::config::{Origin, Setting};
use cleanup_core::report::Report;
use cleanup_engine::plan::PlanSummary;
use cleanup_engine::responses::{Explanation, Restored, RestoredFile, SessionExplanation, TestedTarget};
use serde::Serialize;

use crate::import::{ImportedPolicy, Note};

/// What `explain --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Explanations {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// One for each path, in the order of the command line.
    pub(crate) paths: Vec<Explanation>,
    /// With `--session`: one for each key, in the order of the command line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<SessionExplanation>,
}

/// What `plan --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Planned {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// The plan in short.
    pub(crate) plan: PlanSummary,
    /// What a sweep would do, as `sweep --dry-run --json` says it.
    pub(crate) report: Report,
}

/// What `restore --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RestoreDocument {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// The sums.
    #[serde(flatten)]
    pub(crate) restored: Restored,
    /// Every file that was asked for.
    pub(crate) files: Vec<RestoredFile>,
}

/// What `config show --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Show {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// Where the configuration came from.
    pub(crate) config: String,
    /// Every effective value, in the order of the file.
    pub(crate) settings: Vec<EffectiveValue>,
}

/// What `notify --test --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct NotifyTest {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// One for each target; none where nobody is to be told.
    pub(crate) targets: Vec<TestedTarget>,
}

/// What `import --json` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Import {
    /// The version of the shape.
    pub(crate) format_version: u32,
    /// The whole `cleanup.toml`, as it is printed without `--json`; empty when there is no policy.
    pub(crate) config: String,
    /// The policies in it.
    pub(crate) policies: Vec<ImportedPolicy>,
    /// What was not carried over, or not exactly.
    pub(crate) notes: Vec<Note>,
}

/// One effective value.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EffectiveValue {
    /// Where it stands: `files.temp-svgs.max_age`.
    pub(crate) key: String,
    /// The value as TOML would write it; credentials in URLs are hidden.
    pub(crate) value: String,
    /// Who set it.
    pub(crate) origin: ValueOrigin,
    /// The line of the file, counted from 1; `null` when the file does not say.
    pub(crate) line: Option<usize>,
    /// The environment variables that the line names.
    pub(crate) variables: Vec<String>,
}

/// Who set a value.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValueOrigin {
    /// A line of the file alone.
    File,
    /// A line of the file that names environment variables.
    Variable,
    /// Nobody.
    Default,
}

impl From<&Setting> for EffectiveValue {
    fn from(setting: &Setting) -> Self {
        let (origin, line, variables) = match &setting.origin {
            Origin::Line(line) => (ValueOrigin::File, Some(*line), Vec::new()),
            Origin::Variables { line, names } => (ValueOrigin::Variable, Some(*line), names.clone()),
            Origin::Default => (ValueOrigin::Default, None, Vec::new()),
        };
        Self { key: setting.key.clone(), value: setting.value.clone(), origin, line, variables }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use std::collections::BTreeMap;

    use cleanup_engine::responses::{
        Check, History, Holds, Listed, QuarantinedFile, QuarantinedPolicy, Removals, Stats,
    };
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::*;

    /// What `list --json` prints; written piece by piece, so this exists for its schema alone.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct List {
        /// The version of the shape.
        format_version: u32,
        /// The roots of the policies, absolute, by policy: paths are below them.
        roots: BTreeMap<String, String>,
        /// In the order of the walk.
        files: Vec<Listed>,
    }

    /// What `quarantine --json` prints; written piece by piece as well.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Quarantine {
        /// The version of the shape.
        format_version: u32,
        /// The roots of the policies, absolute, by policy: paths are below them.
        roots: BTreeMap<String, String>,
        /// The oldest run of each policy first.
        files: Vec<QuarantinedFile>,
        /// The sums, in the order of the configuration.
        policies: Vec<QuarantinedPolicy>,
    }

    /// Compares with the committed file, or writes it when `UPDATE_SCHEMAS` is set.
    fn check<T: JsonSchema>(name: &str) {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
        let path = folder.join(format!("{name}.schema.json"));
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == committed, "{name}.schema.json is stale: UPDATE_SCHEMAS=1 cargo test -p cleanup-cli schemas");
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        check::<Report>("report");
        check::<Stats>("stats");
        check::<List>("list");
        check::<Explanations>("explain");
        check::<Check>("check");
        check::<Show>("show");
        check::<History>("history");
        check::<Holds>("holds");
        check::<Removals>("removals");
        check::<Quarantine>("quarantine");
        check::<RestoreDocument>("restore");
        check::<Import>("import");
        check::<Planned>("plan");
        check::<NotifyTest>("notify");
    }
}
