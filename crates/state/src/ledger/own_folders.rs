//! What our folder in a root is called where somebody else has taken its ordinary name. Only a help: without it, all
//! names in the root are read to find it.

use super::Ledger;

const SELECT: &str = "select root, name from own_folders";
const REPLACE: &str = "insert or replace into own_folders (root, name) values (?1, ?2)";

impl Ledger {
    pub(crate) fn own_folders(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.run(&async |connection| sqlx::query_as(SELECT).fetch_all(connection).await).unwrap_or_default()
    }

    pub(crate) fn remember_own_folder(&mut self, root: &[u8], name: &[u8]) {
        self.change(&async |connection| sqlx::query(REPLACE).bind(root).bind(name).execute(connection).await);
    }
}
