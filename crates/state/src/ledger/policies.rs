//! What a policy looked like when it last ran, so that a typo in a threshold, a mount over a root and an empty database
//! are noticed.

use super::Ledger;
use super::runs::{signed, unsigned};

const SELECT: &str =
    "select deciding, root, file_system, boot_id, mount_namespace, referenced, foreseen from policies where name = ?1";
const REPLACE: &str = "insert or replace into policies (name, deciding, root, file_system, boot_id, mount_namespace, referenced, foreseen) \
     values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// What a policy looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMemory {
    /// The fingerprint of its rule.
    pub deciding: String,
    /// The root's path.
    pub root: String,
    /// The identity of the root's file system, where it has one.
    pub file_system: Option<String>,
    /// Which start of the machine it was: an identity counts only within one.
    pub boot_id: String,
    /// Which mount namespace it was: an identity counts only within one.
    pub mount_namespace: Option<String>,
    /// How many names `keep_referenced` answered in the last complete run.
    pub referenced: Option<u64>,
    /// How many files the last run would have removed, when it only observed.
    pub foreseen: Option<u64>,
}

impl Ledger {
    pub(crate) fn policy_memory(&mut self, name: &str) -> Option<PolicyMemory> {
        type Row = (String, String, Option<String>, String, Option<String>, Option<i64>, Option<i64>);
        let row: Option<Row> =
            self.run(&async |connection| sqlx::query_as(SELECT).bind(name).fetch_optional(connection).await).flatten();
        row.map(|(deciding, root, file_system, boot_id, mount_namespace, referenced, foreseen)| PolicyMemory {
            deciding,
            root,
            file_system,
            boot_id,
            mount_namespace,
            referenced: referenced.map(unsigned),
            foreseen: foreseen.map(unsigned),
        })
    }

    pub(crate) fn remember_policy(&mut self, name: &str, memory: &PolicyMemory) {
        self.change(&async |connection| {
            sqlx::query(REPLACE)
                .bind(name)
                .bind(&memory.deciding)
                .bind(&memory.root)
                .bind(&memory.file_system)
                .bind(&memory.boot_id)
                .bind(&memory.mount_namespace)
                .bind(memory.referenced.map(signed))
                .bind(memory.foreseen.map(signed))
                .execute(connection)
                .await
        });
    }
}
