//! What each parameter of a PostgreSQL URL, and each variable of libpq, means here.

use crate::url::parameter::Meaning::{self, Followed, NoBearing, Only, Refused, Schema};
use crate::url::parameter::{OFF, Spelling, meaning};

const SERVICE: &str = "write the host, the database and the user into the url";
const NO_GSS: &str = "Kerberos encryption and authentication are not supported";

/// Every parameter of libpq (to version 18), its variable, and what it means here. An empty variable is none.
pub(crate) const LIBPQ: &[(&str, &str, Meaning)] = &[
    ("host", "PGHOST", Followed),
    ("hostaddr", "PGHOSTADDR", Followed),
    ("port", "PGPORT", Followed),
    ("dbname", "PGDATABASE", Followed),
    ("user", "PGUSER", Followed),
    ("password", "PGPASSWORD", Followed),
    ("passfile", "", Refused("set the variable PGPASSFILE instead")),
    ("options", "PGOPTIONS", Followed),
    ("application_name", "PGAPPNAME", Followed),
    ("fallback_application_name", "", NoBearing),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Followed),
    ("client_encoding", "PGCLIENTENCODING", NoBearing),
    ("service", "PGSERVICE", Refused(SERVICE)),
    ("servicefile", "", Refused(SERVICE)),
    ("sslmode", "PGSSLMODE", Followed),
    ("sslrootcert", "PGSSLROOTCERT", Followed),
    ("sslcert", "PGSSLCERT", Followed),
    ("sslkey", "PGSSLKEY", Followed),
    ("requiressl", "PGREQUIRESSL", Only(OFF)),
    ("sslnegotiation", "PGSSLNEGOTIATION", Only(&["", "postgres"])),
    ("sslcompression", "PGSSLCOMPRESSION", Only(OFF)),
    ("sslcertmode", "PGSSLCERTMODE", Only(&["", "allow"])),
    ("sslpassword", "", Refused("give sslkey a key without a password")),
    ("sslcrl", "PGSSLCRL", Refused("certificate revocation lists are not supported")),
    ("sslcrldir", "PGSSLCRLDIR", Refused("certificate revocation lists are not supported")),
    ("sslsni", "PGSSLSNI", Only(&["", "1"])),
    ("sslkeylogfile", "", Refused("connection keys are never logged")),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Only(&["", "TLSv1", "TLSv1.1", "TLSv1.2"])),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Only(&["", "TLSv1.3"])),
    ("min_protocol_version", "PGMINPROTOCOLVERSION", Only(&["", "3.0"])),
    ("max_protocol_version", "PGMAXPROTOCOLVERSION", NoBearing),
    ("channel_binding", "PGCHANNELBINDING", Only(&["", "prefer", "disable"])),
    ("require_auth", "PGREQUIREAUTH", Refused("an authentication method cannot be required; use sslmode=verify-full")),
    ("scram_client_key", "", Refused("give a password")),
    ("scram_server_key", "", Refused("give a password")),
    ("oauth_issuer", "", Refused("OAuth authentication is not supported")),
    ("oauth_client_id", "", Refused("OAuth authentication is not supported")),
    ("oauth_client_secret", "", Refused("OAuth authentication is not supported")),
    ("oauth_scope", "", Refused("OAuth authentication is not supported")),
    ("requirepeer", "PGREQUIREPEER", Refused("the server's user cannot be required")),
    ("gssencmode", "PGGSSENCMODE", Only(&["", "disable", "prefer"])),
    ("krbsrvname", "PGKRBSRVNAME", Refused(NO_GSS)),
    ("gsslib", "PGGSSLIB", Refused(NO_GSS)),
    ("gssdelegation", "PGGSSDELEGATION", Only(OFF)),
    ("keepalives", "", NoBearing),
    ("keepalives_idle", "", NoBearing),
    ("keepalives_interval", "", NoBearing),
    ("keepalives_count", "", NoBearing),
    ("tcp_user_timeout", "", NoBearing),
    ("replication", "", Only(OFF)),
    // A standby and a read-only server are refused once they are reached.
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Only(&["", "any", "read-write", "primary"])),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", NoBearing),
    ("authtype", "", NoBearing),
    ("tty", "", NoBearing),
];

/// What the drivers of applications add to URLs.
const DRIVERS: &[(&str, Meaning)] = &[
    // The spelling of asyncpg.
    ("ssl", Followed),
    ("schema", Schema(Spelling::Exact)),
    ("search_path", Schema(Spelling::Path)),
    ("schema_search_path", Schema(Spelling::Path)),
    ("currentSchema", Schema(Spelling::Path)),
    ("sslaccept", Refused("write sslmode=verify-full, or sslmode=require for any certificate")),
    ("sslidentity", Refused("write sslcert and sslkey")),
];

/// Pools, caches and limits of applications' drivers (SQLAlchemy, asyncpg, Prisma, Rails, Ecto, pgx, node-postgres, sqlx).
const NO_BEARING: &[&str] = &[
    "adapter",
    "async_fallback",
    "binary_parameters",
    "checkout_timeout",
    "command_timeout",
    "conn_health_checks",
    "conn_max_age",
    "connection_limit",
    "connectionTimeoutMillis",
    "default_query_exec_mode",
    "description_cache_capacity",
    "encoding",
    "idle_in_transaction_session_timeout",
    "idle_timeout",
    "idleTimeoutMillis",
    "lock_timeout",
    "max",
    "max_cacheable_statement_size",
    "max_cached_statement_lifetime",
    "max_connections",
    "max_overflow",
    "pgbouncer",
    "pool",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_max_conns",
    "pool_min_conns",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "pool_timeout",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "prepared_statements",
    "queue_interval",
    "queue_target",
    "reaping_frequency",
    "socket_timeout",
    "statement-cache-capacity",
    "statement_cache_capacity",
    "statement_cache_size",
    "statement_timeout",
    "timeout",
    "timezone",
    "TimeZone",
    "uselibpqcompat",
];

/// What a parameter of a PostgreSQL URL means.
pub(super) fn of(name: &str) -> Meaning {
    let libpq = LIBPQ.iter().find(|(known, ..)| *known == name).map(|(_, _, meaning)| *meaning);
    libpq.unwrap_or_else(|| meaning(name, DRIVERS, NO_BEARING))
}
