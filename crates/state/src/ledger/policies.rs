//! What a policy looked like when it last ran, so that a typo in a threshold and a mount over a root are noticed.

use super::Ledger;

const SELECT: &str = "select deciding, root, file_system, boot_id, mount_namespace from policies where name = ?1";
const REPLACE: &str = "insert or replace into policies (name, deciding, root, file_system, boot_id, mount_namespace) \
                       values (?1, ?2, ?3, ?4, ?5, ?6)";

/// What a policy looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyMemory {
    /// A digest of the keys that decide what goes.
    pub deciding: String,
    /// The root's path.
    pub root: String,
    /// The identity of the root's file system, where it has one.
    pub file_system: Option<String>,
    /// Which start of the machine it was: an identity counts only within one.
    pub boot_id: String,
    /// Which mount namespace it was: an identity counts only within one.
    pub mount_namespace: Option<String>,
}

impl Ledger {
    pub(crate) fn policy_memory(&mut self, name: &str) -> Option<PolicyMemory> {
        type Row = (String, String, Option<String>, String, Option<String>);
        let row: Option<Row> =
            self.run(&async |connection| sqlx::query_as(SELECT).bind(name).fetch_optional(connection).await).flatten();
        row.map(|(deciding, root, file_system, boot_id, mount_namespace)| PolicyMemory {
            deciding,
            root,
            file_system,
            boot_id,
            mount_namespace,
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
                .execute(connection)
                .await
        });
    }
}
