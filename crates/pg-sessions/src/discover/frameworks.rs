//! The session tables of frameworks, by their columns.

/// A framework's table.
pub(super) struct Framework {
    pub(super) name: &'static str,
    /// A part of the table's name, in lower case: columns such as `id, data, expiry_date` alone could be a voucher's.
    pub(super) named: &'static str,
    /// Columns that the table has, without regard to case and underscores: `sessionToken` is `session_token`.
    pub(super) columns: &'static [&'static str],
    pub(super) id: &'static str,
    pub(super) ends: Ends,
    /// What a number counts where no row says it.
    pub(super) counts: Counts,
    pub(super) clock: WrittenBy,
    pub(super) remark: Option<&'static str>,
}

/// When a session ends.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    /// At the moment in this column.
    At(&'static str),
    /// So long after the moment in this column, unless the application is configured otherwise.
    After(&'static str, &'static str),
}

impl Ends {
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::At(column) | Self::After(column, _) => column,
        }
    }
}

/// What numbers of a framework count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Seconds,
    Milliseconds,
}

/// Which wall clock stands in a column without a time zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenBy {
    /// The framework writes UTC.
    Utc,
    /// The database's own zone, by a conversion in SQL.
    Database,
    /// The application's configured zone, or UTC; the table does not say which.
    Application,
}

const LIFETIME: &str = "Set max_idle to the SESSION_LIFETIME of the application, 120 minutes by default.";
const TRIM: &str = "max_idle is what `rake db:sessions:trim` keeps: set it to what the application promises.";
const TUTOR: &str = "max_idle is the service's own limit.";

/// The more columns, the earlier: the first that fits is meant.
pub(super) const FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "Laravel",
        named: "session",
        columns: &["id", "user_id", "ip_address", "user_agent", "payload", "last_activity"],
        id: "id",
        ends: Ends::After("last_activity", "120m"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: Some(LIFETIME),
    },
    Framework {
        name: "Spring Session JDBC",
        named: "session",
        columns: &["primary_id", "session_id", "last_access_time", "max_inactive_interval", "expiry_time"],
        id: "primary_id",
        ends: Ends::At("expiry_time"),
        counts: Counts::Milliseconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "Rails (activerecord-session_store)",
        named: "session",
        columns: &["id", "session_id", "data", "created_at", "updated_at"],
        id: "session_id",
        ends: Ends::After("updated_at", "30d"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: Some(TRIM),
    },
    Framework {
        name: "Symfony",
        named: "session",
        columns: &["sess_id", "sess_data", "sess_lifetime", "sess_time"],
        id: "sess_id",
        ends: Ends::At("sess_lifetime"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "Tutor sessions",
        named: "session",
        columns: &["session_id", "history", "session_metadata", "last_activity"],
        id: "session_id",
        ends: Ends::After("last_activity", "2h"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: Some(TUTOR),
    },
    Framework {
        name: "Flask-Session (SQLAlchemy)",
        named: "session",
        columns: &["id", "session_id", "data", "expiry"],
        id: "session_id",
        ends: Ends::At("expiry"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "Django",
        named: "session",
        columns: &["session_key", "session_data", "expire_date"],
        id: "session_key",
        ends: Ends::At("expire_date"),
        counts: Counts::Seconds,
        clock: WrittenBy::Application,
        remark: None,
    },
    Framework {
        name: "NextAuth",
        named: "session",
        columns: &["session_token", "user_id", "expires"],
        id: "session_token",
        ends: Ends::At("expires"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "NextAuth",
        named: "verification",
        columns: &["identifier", "token", "expires"],
        id: "token",
        ends: Ends::At("expires"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "Express (connect-pg-simple, better-sqlite3-session-store)",
        named: "session",
        columns: &["sid", "sess", "expire"],
        id: "sid",
        ends: Ends::At("expire"),
        counts: Counts::Seconds,
        clock: WrittenBy::Database,
        remark: None,
    },
    Framework {
        name: "Express (connect-sqlite3)",
        named: "session",
        columns: &["sid", "sess", "expired"],
        id: "sid",
        ends: Ends::At("expired"),
        counts: Counts::Milliseconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
    Framework {
        name: "tower-sessions",
        named: "session",
        columns: &["id", "data", "expiry_date"],
        id: "id",
        ends: Ends::At("expiry_date"),
        counts: Counts::Seconds,
        clock: WrittenBy::Utc,
        remark: None,
    },
];

/// Parts of the names of tables that hold sessions, or what is like them.
pub(super) const LIKE_SESSIONS: &[&str] =
    &["session", "token", "nonce", "remember", "login", "otp", "verification", "challenge"];

/// Columns that say when something ends, the most telling first; without underscores.
pub(super) const ENDINGS: &[&str] = &[
    "expiresat",
    "expires",
    "expireat",
    "expire",
    "expiry",
    "expirydate",
    "expiredate",
    "expirytime",
    "expiration",
    "validuntil",
];

/// Columns that say when something was used, the most telling first; without underscores.
pub(super) const ACTIVITIES: &[&str] = &[
    "lastactivity",
    "lastactivityat",
    "lastactive",
    "lastactiveat",
    "lastseen",
    "lastseenat",
    "lastusedat",
    "lastused",
    "lastaccess",
    "lastaccessed",
    "lastaccessedat",
    "lastaccesstime",
    "accessedat",
    "updatedat",
    "modifiedat",
    "createdat",
];
