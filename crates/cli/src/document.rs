//! JSON documents that are the command line's own; the others are the engine's answers as they are.
//!
//! Every document has a schema in `docs/schemas`, made from these types. Keys are added, never renamed or lost.

use cleanup_core::config::{Origin, Setting};
use cleanup_core::report::Report;
use cleanup_engine::plan::PlanSummary;
use cleanup_engine::responses::{Explanation, Restored, RestoredFile, SessionExplanation};
use serde::Serialize;

use crate::import::{ImportedPolicy, Note};

/// The output of `explain --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Explanations {
    /// The version of the format.
    pub(crate) format_version: u32,
    /// One for each path, in the order of the command line.
    pub(crate) paths: Vec<Explanation>,
    /// With `--session`: one for each key, in the order of the command line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<SessionExplanation>,
}

/// The output of `plan --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Planned {
    /// The version of the format.
    pub(crate) format_version: u32,
    /// Summary of the plan.
    pub(crate) plan: PlanSummary,
    /// What a sweep would do, as in `sweep --dry-run --json`.
    pub(crate) report: Report,
}

/// The output of `restore --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RestoreDocument {
    /// The version of the format.
    pub(crate) format_version: u32,
    /// The totals.
    #[serde(flatten)]
    pub(crate) restored: Restored,
    /// Every requested file.
    pub(crate) files: Vec<RestoredFile>,
}

/// The output of `config show --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Show {
    /// The version of the format.
    pub(crate) format_version: u32,
    /// The source of the configuration.
    pub(crate) config: String,
    /// Every effective value, in the order of the file.
    pub(crate) settings: Vec<EffectiveValue>,
}

/// The output of `import --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Import {
    /// The version of the format.
    pub(crate) format_version: u32,
    /// The whole `cleanup.toml`, as printed without `--json`; empty if there is no policy.
    pub(crate) config: String,
    /// The policies in it.
    pub(crate) policies: Vec<ImportedPolicy>,
    /// What was not imported, or not exactly.
    pub(crate) notes: Vec<Note>,
}

/// One effective value.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct EffectiveValue {
    /// Its key, such as `files.temp-svgs.max_age`.
    pub(crate) key: String,
    /// The value as TOML; credentials in URLs are hidden.
    pub(crate) value: String,
    /// Its origin.
    pub(crate) origin: ValueOrigin,
    /// The line of the file, counted from 1; `null` if it is not in the file.
    pub(crate) line: Option<usize>,
    /// The environment variables in that line.
    pub(crate) variables: Vec<String>,
}

/// The origin of a value.
#[derive(Clone, Copy, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValueOrigin {
    /// A line of the file.
    File,
    /// A line of the file that contains environment variables.
    Variable,
    /// The default.
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

    /// The output of `list --json`; it is streamed, so this type exists only for its schema.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct List {
        /// The version of the format.
        format_version: u32,
        /// The absolute roots of the policies; paths are relative to them.
        roots: BTreeMap<String, String>,
        /// In the order of the walk.
        files: Vec<Listed>,
    }

    /// The output of `quarantine --json`; it is streamed too.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    struct Quarantine {
        /// The version of the format.
        format_version: u32,
        /// The absolute roots of the policies; paths are relative to them.
        roots: BTreeMap<String, String>,
        /// The oldest run of each policy first.
        files: Vec<QuarantinedFile>,
        /// The totals, in the order of the configuration.
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
    }
}
