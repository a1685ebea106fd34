use std::path::Path;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;

use super::parameter::Meaning;
use super::{Place, UrlError};
use crate::database::{Target, check_url, parse, parse_with};
use crate::postgres::Server;

fn postgres_parts(url: &str) -> String {
    let Ok(Target::Postgres(server)) = parse(url, Path::new("/base")) else { panic!("{url}") };
    let options = server.options;
    let shown = format!("{options:?}");
    let password = options
        .clone()
        .host("it-makes-no-url-of-an-ipv6-address")
        .to_url_lossy()
        .password()
        .map(ToOwned::to_owned)
        .unwrap_or_default();
    assert!(shown.contains("cleanup"));
    let host = options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
    format!(
        "{}:{}@{host}:{}/{}",
        options.get_username(),
        percent_decode_str(&password).decode_utf8().unwrap(),
        options.get_port(),
        options.get_database().unwrap_or_default()
    )
}

#[test]
fn postgres_urls_are_read_as_python_writes_them() {
    for (url, expected) in [
        ("postgresql://ann:pw@db.example:5433/app", "ann:pw@db.example:5433/app"),
        ("postgres://ann:pw@db.example/app", "ann:pw@db.example:5432/app"),
        ("postgresql+psycopg2://ann:pw@db/app", "ann:pw@db:5432/app"),
        ("postgresql+asyncpg://ann:pw@db/app?ssl=require", "ann:pw@db:5432/app"),
        ("POSTGRESQL+psycopg://ann:pw@db/app?connect_timeout=3", "ann:pw@db:5432/app"),
        ("postgresql://ann:p%40ss%2Fw%23@db/app", "ann:p@ss/w#@db:5432/app"),
        ("postgresql://ann:p@ss@db/app", "ann:p@ss@db:5432/app"),
        ("postgresql://ann:p/s?s#@db/app", "ann:p/s?s#@db:5432/app"),
        ("postgresql://ann@db/app", "ann:@db:5432/app"),
        ("postgresql://ann:pw@/app?host=/run/postgresql", "ann:pw@/run/postgresql:5432/app"),
        ("postgresql:///app?host=/run/postgresql&user=ann&port=6000", "ann:@/run/postgresql:6000/app"),
        ("postgresql://ann@%2Frun%2Fpostgresql/app", "ann:@/run/postgresql:5432/app"),
        ("postgresql://ann:pw@[::1]:5433/app", "ann:pw@::1:5433/app"),
        ("postgresql://ann:pw@[::1]/app", "ann:pw@::1:5432/app"),
        ("postgresql://ann@[2001:DB8::7]:5433/app", "ann:@2001:DB8::7:5433/app"),
        ("postgresql://ann@[fe80::1%25eth0]:5433/app", "ann:@fe80::1%eth0:5433/app"),
        ("postgresql://ann@[::ffff:127.0.0.1]/app", "ann:@::ffff:127.0.0.1:5432/app"),
        ("postgresql://ann@/app?host=::1&port=5433", "ann:@::1:5433/app"),
        ("postgresql://ann@/app?host=%5B::1%5D", "ann:@::1:5432/app"),
        ("postgresql://ann@db.example/app?hostaddr=::1", "ann:@::1:5432/app"),
        ("postgresql://ann@%2Fa%3Ab/app", "ann:@/a:b:5432/app"),
        ("postgresql://ann@db/a%20b", "ann:@db:5432/a b"),
    ] {
        assert_eq!(postgres_parts(url), expected, "{url}");
    }
}

#[test]
fn sqlite_urls_are_relative_with_three_slashes_and_absolute_with_four() {
    for (url, expected) in [
        ("sqlite:///app.db", "/base/app.db"),
        ("sqlite:///data/app.db?timeout=5", "/base/data/app.db"),
        ("sqlite:////srv/app.db", "/srv/app.db"),
        ("sqlite+aiosqlite:////srv/app.db", "/srv/app.db"),
        ("sqlite:app.db", "/base/app.db"),
        ("sqlite:/srv/app.db", "/srv/app.db"),
    ] {
        let Ok(Target::Sqlite(path)) = parse(url, Path::new("/base")) else { panic!("{url}") };
        assert_eq!(path.0, Path::new(expected), "{url}");
    }
}

#[test]
fn a_url_that_leads_nowhere_says_why_without_quoting_it() {
    for (url, expected) in [
        ("", UrlError::NoUrl),
        ("hunter2", UrlError::NoUrl),
        ("ann:hunter2@db", UrlError::NoUrl),
        ("postgresql:hunter2", UrlError::NoUrl),
        ("mysql+pymysql://ann:hunter2@db/app", UrlError::Scheme("mysql+pymysql".to_owned())),
        ("postgresql://ann:hunter2@a,b/app", UrlError::Hosts),
        ("postgresql://ann:hunter2@db:port/app", UrlError::Port),
        ("postgresql://ann:hunter2@db:1,2/app", UrlError::Port),
        ("postgresql://ann:hunter2@::1/app", UrlError::Address),
        ("postgresql://ann:hunter2@[::1/app", UrlError::Address),
        ("postgresql://ann:hunter2@[hunter2]/app", UrlError::Address),
        ("postgresql://ann:hunter2@[127.0.0.1]/app", UrlError::Address),
        ("postgresql://ann:hunter2@[fe80::1%25]/app", UrlError::Address),
        ("postgresql://ann:%ff@db/app", UrlError::Encoding),
        ("postgresql://ann:hunter2@db/app?sslmode=hunter2", UrlError::Value(Place::Parameter("sslmode".to_owned()))),
        // Most likely a piece of a password that nobody has encoded.
        ("postgresql://db/app?hunter2", UrlError::Refused(Place::Nameless, "give cleanup a url of its own without it")),
        ("sqlite://", UrlError::NoFile),
        ("sqlite:///:memory:", UrlError::NoFile),
    ] {
        let Err(error) = parse(url, Path::new("/base")) else { panic!("{url}") };
        assert_eq!(error, expected, "{url}");
        assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{url}");
    }
}

const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

/// What became of one parameter, or of one variable: followed, without bearing, or refused by its name.
fn verdict(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    match parse_with(url, Path::new("/base"), variable) {
        Ok(Target::Postgres(server)) => {
            let Server { options, schema, patience } = *server;
            let host = options.get_socket().map_or(options.get_host().to_owned(), |path| path.display().to_string());
            let place = format!("{host}:{}/{}", options.get_port(), options.get_database().unwrap_or_default());
            let rest = format!("{:?} {:?}", options.get_application_name(), options.get_options());
            format!("{} {place} {rest} {:?} {schema:?} {patience:?}", options.get_username(), options.get_ssl_mode())
        }
        Ok(Target::Sqlite(file)) => file.0.display().to_string(),
        Err(error) => error.to_string(),
    }
}

/// All of libpq's parameters, each with a value that would lead elsewhere or ask for something.
#[test]
fn no_parameter_of_libpq_is_passed_over_in_silence() {
    let base = "postgresql://ann@db/app";
    let plain = verdict(base, NOTHING);
    let telling = |name: &str| match name {
        "hostaddr" => "192.0.2.7",
        "port" => "6000",
        "sslmode" => "verify-full",
        "connect_timeout" => "17",
        // Files and texts that only the driver looks at.
        _ => "x",
    };
    let by_driver = ["password", "sslrootcert", "sslcert", "sslkey"];
    let mut ignored = Vec::new();
    for (name, variable, meaning) in crate::postgres::LIBPQ {
        let found = verdict(&format!("{base}?{name}={}", telling(name)), NOTHING);
        let told = verdict(base, &|asked| (asked == *variable).then(|| telling(name).to_owned()));
        match meaning {
            Meaning::Followed if by_driver.contains(name) => {}
            Meaning::Followed => {
                assert_ne!(found, plain, "{name}");
                assert!(!found.contains("cannot"), "{name}: {found}");
            }
            Meaning::NoBearing => {
                assert_eq!((found, told), (plain.clone(), plain.clone()), "{name}");
                ignored.push(*name);
            }
            Meaning::Only(_) | Meaning::Refused(_) => {
                assert!(found.contains(&format!("the parameter `{name}` of url")), "{name}: {found}");
                let named = told.contains(&format!("the variable {variable}"));
                assert!(named || variable.is_empty(), "{variable}: {told}");
            }
            Meaning::Schema(_) => unreachable!("libpq has no such parameter"),
        }
    }
    // Whatever they say, the rows are the same.
    assert_eq!(
        ignored.join(" "),
        "fallback_application_name client_encoding max_protocol_version keepalives keepalives_idle \
         keepalives_interval keepalives_count tcp_user_timeout load_balance_hosts authtype tty"
    );
}

#[test]
fn parameters_are_followed_or_the_url_is_refused_by_their_name() {
    let way_out = "write it into the policy instead: table = \"tenant1.sessions\"";
    for (query, expected) in [
        ("schema=tenant1", r#"Some(Identifier("tenant1"))"#),
        ("schema=Tenant-1", r#"Some(Identifier("Tenant-1"))"#),
        ("sch%65ma=tenant1", r#"Some(Identifier("tenant1"))"#),
        ("search_path=tenant1", r#"Some(Identifier("tenant1"))"#),
        ("currentSchema=tenant1", r#"Some(Identifier("tenant1"))"#),
        ("schema=a,b", way_out),
        ("schema=", way_out),
        ("search_path=%22$user%22,public", way_out),
        ("search_path=Tenant1", "the parameter `search_path` of url does not name one schema"),
        ("service=replica", "the parameter `service` of url is not supported"),
        ("passfile=/x", "set the variable PGPASSFILE instead"),
        ("hostaddr=192.0.2.7", "ann 192.0.2.7:5432/app"),
        ("hostaddr=192.0.2.7&sslmode=require", "ann 192.0.2.7:5432/app"),
        ("hostaddr=192.0.2.7&sslmode=verify-full", "the parameter `hostaddr` of url is not supported"),
        ("hostaddr=db2", "the parameter `hostaddr` of url has an invalid value"),
        ("port=6000,6001", "the parameter `port` of url has an invalid value"),
        ("host=a,b", "url names several hosts"),
        ("sslmode=no-verify", "the parameter `sslmode` of url has an invalid value"),
        ("ssl=true", "Require"),
        ("ssl=false", "Disable"),
        ("ssl=verify-full", "VerifyFull"),
        ("options=-c%20search_path%3Dtenant1", r#"Some("-c search_path=tenant1")"#),
        ("application_name=app", r#"Some("app")"#),
        ("connect_timeout=17", "17s"),
        ("connect_timeout=0", "60s"),
        ("connect_timeout=soon", "the parameter `connect_timeout` of url has an invalid value"),
        ("channel_binding=require", "the parameter `channel_binding` of url has an unsupported value"),
        ("channel_binding=prefer&target_session_attrs=read-write&gssencmode=disable", "5s"),
        ("target_session_attrs=standby", "the parameter `target_session_attrs` of url has an unsupported value"),
        ("connection_limit=5&pgbouncer=true&pool_timeout=3&prepared_statement_cache_size=0", "ann db:5432/app"),
        ("role=tenant1", "the parameter `role` of url is not supported"),
    ] {
        let found = verdict(&format!("postgresql://ann@db/app?{query}"), NOTHING);
        assert!(found.contains(expected), "{query}: {found}");
    }
}

#[test]
fn variables_of_libpq_stand_in_for_what_the_url_leaves_open() {
    for (url, variable, value, expected) in [
        ("postgresql://ann@db/app", "PGSERVICE", "replica", "the variable PGSERVICE is not supported"),
        ("postgresql://ann@db/app", "PGHOSTADDR", "192.0.2.7", "ann 192.0.2.7:5432/app"),
        ("postgresql://ann@db/app?hostaddr=192.0.2.8", "PGHOSTADDR", "192.0.2.7", "ann 192.0.2.8:5432/app"),
        ("postgresql://ann@db/app", "PGHOST", "other", "ann db:5432/app"),
        ("postgresql://ann@/app", "PGHOST", "other", "ann other:5432/app"),
        ("postgresql://ann@/app", "PGHOST", "a,b", "the variable PGHOST has an unsupported value"),
        ("postgresql://ann@db/app", "PGPORT", "many", "the variable PGPORT has an invalid value"),
        ("postgresql://ann@db:5433/app", "PGPORT", "many", "ann db:5433/app"),
        ("postgresql://ann@db/app", "PGSSLMODE", "verify", "the variable PGSSLMODE has an"),
        ("postgresql://ann@db/app?sslmode=require", "PGSSLMODE", "verify", "Require"),
        ("postgresql://ann@db/app", "PGSSLMODE", "verify-full", "VerifyFull"),
        (
            "postgresql://ann@db/app",
            "PGCHANNELBINDING",
            "require",
            "the variable PGCHANNELBINDING has an unsupported value",
        ),
        ("postgresql://ann@db/app", "PGREQUIREPEER", "postgres", "the variable PGREQUIREPEER is not supported"),
        ("postgresql://ann@db/app", "PGSERVICE", "", "ann db:5432/app"),
        ("postgresql://ann@db/app", "PGAPPNAME", "app", r#"Some("app")"#),
        ("postgresql://ann@db/app", "PGCONNECT_TIMEOUT", "9", "9s"),
    ] {
        let found = verdict(url, &|asked| (asked == variable).then(|| value.to_owned()));
        assert!(found.contains(expected), "{url} {variable}={value}: {found}");
    }
    // What the text alone says does not hang on where it is looked at.
    assert_eq!(check_url("postgresql://ann@db/app"), Ok(()));
}

#[test]
fn parameters_of_sqlite_are_harmless_or_refused() {
    for (query, expected) in [
        ("timeout=5&check_same_thread=false&cache=shared&mode=rwc", "/srv/app.db"),
        ("mode=rw&_journal_mode=WAL&_fk=1", "/srv/app.db"),
        ("mode=ro", "the parameter `mode` of url has an unsupported value; rows are removed"),
        ("mode=memory", "url names no SQLite file"),
        ("immutable=1", "the parameter `immutable` of url has an unsupported value"),
        ("vfs=other", "the parameter `vfs` of url is not supported"),
        ("key=secret", "the parameter `key` of url is not supported"),
        ("_foreign_keys=0", "the parameter `_foreign_keys` of url has an unsupported value"),
        ("schema=tenant1", "the parameter `schema` of url is not supported"),
    ] {
        let found = verdict(&format!("sqlite:////srv/app.db?{query}"), NOTHING);
        assert!(found.contains(expected), "{query}: {found}");
        assert!(!found.contains("secret"), "{query}: {found}");
    }
}
