//! The session tables of frameworks, as their documents and migrations make them, with rows whose ids say what is to
//! become of them: `e…` is due and `l…` is not.

/// A framework's table, the lines of its policy, and rows for it.
#[derive(Debug)]
pub struct Framework {
    /// Its name, and the store's.
    pub name: &'static str,
    /// As the framework makes it.
    pub schema: &'static str,
    /// The lines of the policy beside `url`.
    pub lines: &'static str,
    /// Statements that put rows in; `{id}` and `{minutes}` (before now; negative is ahead) are filled in.
    row: &'static str,
    /// How long a row stays after the moment that is written down: idle rows have the minutes of `max_idle`.
    pub limit: i64,
}

/// On PostgreSQL.
pub const SERVER: &[Framework] = &[
    Framework {
        name: "Django",
        schema: "create table django_session (session_key varchar(40) not null primary key, session_data text not null,
                   expire_date timestamp with time zone not null);
                 create index django_session_expire_date_a5c62663 on django_session (expire_date);
                 create index django_session_session_key_c0390e0f_like on django_session (session_key varchar_pattern_ops);",
        lines: "table = \"django_session\"\nid_column = \"session_key\"\nexpires_column = \"expire_date\"",
        row: "insert into django_session values ('{id}', 'x', now() - interval '{minutes} minutes')",
        limit: 0,
    },
    Framework {
        name: "Laravel",
        schema: "create table sessions (id varchar(255) not null primary key, user_id bigint null, ip_address varchar(45) null,
                   user_agent text null, payload text not null, last_activity integer not null);
                 create index sessions_user_id_index on sessions (user_id);
                 create index sessions_last_activity_index on sessions (last_activity);",
        lines: "table = \"sessions\"\nid_column = \"id\"\nactivity_column = \"last_activity\"\nmax_idle = \"120m\"",
        row: "insert into sessions values ('{id}', null, '127.0.0.1', 'ua', 'x', extract(epoch from now() - interval '{minutes} minutes')::int)",
        limit: 120,
    },
    Framework {
        name: "connect-pg-simple",
        schema: "create table \"session\" (\"sid\" varchar not null collate \"default\", \"sess\" json not null,
                   \"expire\" timestamp(6) not null);
                 alter table \"session\" add constraint \"session_pkey\" primary key (\"sid\") not deferrable initially immediate;
                 create index \"IDX_session_expire\" on \"session\" (\"expire\");",
        lines: "table = \"session\"\nid_column = \"sid\"\nexpires_column = \"expire\"\nactivity_time_zone = \"UTC\"",
        row: "insert into session values ('{id}', '{}', (now() - interval '{minutes} minutes') at time zone 'UTC')",
        limit: 0,
    },
    Framework {
        name: "Spring Session JDBC",
        schema: "create table spring_session (primary_id char(36) not null, session_id char(36) not null,
                   creation_time bigint not null, last_access_time bigint not null, max_inactive_interval int not null,
                   expiry_time bigint not null, principal_name varchar(100),
                   constraint spring_session_pk primary key (primary_id));
                 create unique index spring_session_ix1 on spring_session (session_id);
                 create index spring_session_ix2 on spring_session (expiry_time);
                 create index spring_session_ix3 on spring_session (principal_name);
                 create table spring_session_attributes (session_primary_id char(36) not null, attribute_name varchar(200) not null,
                   attribute_bytes bytea not null,
                   constraint spring_session_attributes_pk primary key (session_primary_id, attribute_name),
                   constraint spring_session_attributes_fk foreign key (session_primary_id)
                     references spring_session (primary_id) on delete cascade);",
        lines: "table = \"spring_session\"\nid_column = \"primary_id\"\nexpires_column = \"expiry_time\"\ntime_format = \"milliseconds\"",
        row: "insert into spring_session values ('{id}', 's{id}', 0, 0, 1800, extract(epoch from now() - interval '{minutes} minutes') * 1000, null);
              insert into spring_session_attributes values ('{id}', 'a', ''), ('{id}', 'b', '')",
        limit: 0,
    },
    Framework {
        name: "Rails (activerecord-session_store)",
        schema: "create table sessions (id bigserial primary key, session_id character varying not null, data text,
                   created_at timestamp(6) without time zone not null, updated_at timestamp(6) without time zone not null);
                 create unique index index_sessions_on_session_id on sessions (session_id);
                 create index index_sessions_on_updated_at on sessions (updated_at);",
        lines: "table = \"sessions\"\nid_column = \"session_id\"\nactivity_column = \"updated_at\"\nmax_idle = \"30d\"\nactivity_time_zone = \"UTC\"",
        row: "insert into sessions (session_id, data, created_at, updated_at)
              values ('{id}', 'x', '2020-01-01', (now() - interval '{minutes} minutes') at time zone 'UTC')",
        limit: 30 * 24 * 60,
    },
    Framework {
        name: "Flask-Session (SQLAlchemy)",
        schema: "create table sessions (id serial not null, session_id varchar(255), data bytea, expiry timestamp without time zone,
                   primary key (id), unique (session_id));",
        lines: "table = \"sessions\"\nid_column = \"session_id\"\nexpires_column = \"expiry\"\nactivity_time_zone = \"UTC\"",
        row: "insert into sessions (session_id, data, expiry) values ('{id}', '', (now() - interval '{minutes} minutes') at time zone 'UTC')",
        limit: 0,
    },
    Framework {
        name: "NextAuth, sessions",
        schema: "create table \"User\" (\"id\" text not null primary key);
                 create table \"Session\" (\"id\" text not null, \"sessionToken\" text not null, \"userId\" text not null,
                   \"expires\" timestamp(3) not null, constraint \"Session_pkey\" primary key (\"id\"));
                 create unique index \"Session_sessionToken_key\" on \"Session\" (\"sessionToken\");
                 alter table \"Session\" add constraint \"Session_userId_fkey\" foreign key (\"userId\") references \"User\" (\"id\")
                   on delete cascade on update cascade; insert into \"User\" values ('u');",
        lines: "table = \"Session\"\nid_column = \"sessionToken\"\nexpires_column = \"expires\"\nactivity_time_zone = \"UTC\"",
        row: "insert into \"Session\" values ('i{id}', '{id}', 'u', (now() - interval '{minutes} minutes') at time zone 'UTC')",
        limit: 0,
    },
    Framework {
        name: "NextAuth, tokens",
        schema: "create table \"VerificationToken\" (\"identifier\" text not null, \"token\" text not null, \"expires\" timestamp(3) not null);
                 create unique index \"VerificationToken_token_key\" on \"VerificationToken\" (\"token\");
                 create unique index \"VerificationToken_identifier_token_key\" on \"VerificationToken\" (\"identifier\", \"token\");",
        lines: "table = \"VerificationToken\"\nid_column = \"token\"\nexpires_column = \"expires\"\nactivity_time_zone = \"UTC\"",
        row: "insert into \"VerificationToken\" values ('x', '{id}', (now() - interval '{minutes} minutes') at time zone 'UTC')",
        limit: 0,
    },
    Framework {
        name: "tower-sessions",
        schema: "create schema tower_sessions;
                 create table tower_sessions.session (id text primary key not null, data bytea not null, expiry_date timestamptz not null);",
        lines: "table = \"tower_sessions.session\"\nid_column = \"id\"\nexpires_column = \"expiry_date\"",
        row: "insert into tower_sessions.session values ('{id}', '', now() - interval '{minutes} minutes')",
        limit: 0,
    },
    Framework {
        name: "Symfony",
        schema: "create table sessions (sess_id varchar(128) not null primary key, sess_data bytea not null,
                   sess_lifetime integer not null, sess_time integer not null);
                 create index sess_lifetime_idx on sessions (sess_lifetime);",
        lines: "table = \"sessions\"\nid_column = \"sess_id\"\nexpires_column = \"sess_lifetime\"",
        row: "insert into sessions values ('{id}', '', extract(epoch from now() - interval '{minutes} minutes')::int, extract(epoch from now())::int)",
        limit: 0,
    },
];

/// On SQLite.
pub const EMBEDDED: &[Framework] = &[
    Framework {
        name: "better-sqlite3-session-store",
        schema: "create table if not exists sessions (sid text not null primary key, sess json not null, expire text not null);",
        lines: "table = \"sessions\"\nid_column = \"sid\"\nexpires_column = \"expire\"",
        row: "insert into sessions values ('{id}', '{}', strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '{ahead} minutes'))",
        limit: 0,
    },
    Framework {
        name: "connect-sqlite3",
        schema: "create table if not exists sessions (sid primary key, expired, sess);",
        lines: "table = \"sessions\"\nid_column = \"sid\"\nexpires_column = \"expired\"\ntime_format = \"milliseconds\"",
        row: "insert into sessions values ('{id}', unixepoch('now', '{ahead} minutes') * 1000, '{}')",
        limit: 0,
    },
    Framework {
        name: "Django without USE_TZ",
        schema: "create table django_session (session_key varchar(40) not null primary key, session_data text not null, expire_date datetime not null);
                 create index django_session_expire_date_a5c62663 on django_session (expire_date);",
        lines: "table = \"django_session\"\nid_column = \"session_key\"\nexpires_column = \"expire_date\"\nactivity_time_zone = \"Asia/Kolkata\"",
        row: "insert into django_session values ('{id}', 'x', strftime('%Y-%m-%d %H:%M:%f', 'now', '330 minutes', '{ahead} minutes') || '000')",
        limit: 0,
    },
    Framework {
        name: "Laravel",
        schema: "create table sessions (id varchar not null primary key, user_id integer, ip_address varchar, user_agent text,
                   payload text not null, last_activity integer not null);
                 create index sessions_last_activity_index on sessions (last_activity);",
        lines: "table = \"sessions\"\nid_column = \"id\"\nactivity_column = \"last_activity\"\nmax_idle = \"120m\"",
        row: "insert into sessions values ('{id}', null, '', '', 'x', unixepoch('now', '{ahead} minutes'))",
        limit: 120,
    },
];

/// Minutes after the limit, and what becomes of a row.
const ROWS: [(&str, i64); 7] =
    [("e1", 1), ("e2", 5), ("e3", 600), ("e4", 100_000), ("l1", -1), ("l2", -30), ("l3", -110)];

impl Framework {
    /// Statements that put four rows that are due into the table, and three that are not.
    pub fn rows(&self) -> String {
        self.rows_after(self.limit)
    }

    /// The same for a policy by which rows go so many minutes after the moment that is written down.
    pub fn rows_after(&self, limit: i64) -> String {
        let row = |(id, after): &(&str, i64)| {
            let minutes = limit + after;
            let row = self.row.replace("{id}", id).replace("{minutes}", &minutes.to_string());
            row.replace("{ahead}", &format!("{:+}", -minutes))
        };
        ROWS.iter().map(row).collect::<Vec<_>>().join(";\n")
    }

    /// The column that tells rows apart.
    pub fn id_column(&self) -> &'static str {
        let line = self.lines.lines().find(|line| line.starts_with("id_column"));
        line.and_then(|line| line.split('"').nth(1)).unwrap_or_default()
    }

    /// The table, quoted.
    pub fn table(&self) -> String {
        let name = self.lines.split('"').nth(1).unwrap_or_default();
        name.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".")
    }
}
