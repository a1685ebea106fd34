//! Certificates: the right ones are taken, all others are refused, and the reason is said.

use std::process::Command;

use cleanup_test_postgres::Cluster;

use crate::world::{Ran, World};

fn openssl(world: &World, line: &str) {
    let ran = Command::new("openssl").args(line.split_whitespace()).current_dir(world.path("")).output();
    let ran = ran.expect("openssl is installed by `cargo xtask test`");
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// An authority and a certificate that it has signed; two that sign themselves, of which one says that it is an authority.
fn certificates(world: &World) {
    let new = "-newkey rsa:2048 -nodes";
    openssl(world, &format!("req -x509 {new} -days 2 -subj /CN=authority -keyout ca.key -out ca.crt"));
    openssl(world, &format!("req -x509 {new} -days 2 -subj /CN=localhost -keyout plain.key -out plain.crt"));
    // The line that the message has.
    let line = "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE \
                -addext subjectAltName=DNS:HOST -keyout server.key -out server.crt";
    openssl(world, &line.replace("HOST", "localhost").replace("server.", "self."));
    openssl(world, &format!("req {new} -subj /CN=elsewhere -keyout signed.key -out signed.csr"));
    world.write("names", "subjectAltName = DNS:localhost\n");
    let sign =
        "x509 -req -in signed.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out signed.crt";
    openssl(world, sign);
}

fn sweep(world: &World, url: &str) -> Ran {
    world.write(
        "cleanup.toml",
        &format!(
            "[sessions.visits]\nurl = \"{url}\"\ntable = \"visits\"\nid_column = \"id\"\nactivity_column = \"seen\"\n\
             max_idle = \"2h\"\n"
        ),
    );
    world.run("--strict")
}

#[test]
fn a_certificate_is_taken_or_refused_with_the_reason() {
    let world = World::new();
    certificates(&world);
    let fill = "create table if not exists visits (id int, seen timestamptz);
                insert into visits values (1, now() - interval '1 day')";
    let removed = "Removed 1 session.";
    let wrong_name = "the server's certificate is rejected: certificate not valid for name";
    let way_out = "Create one that both accept: openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=HOST -addext \
         basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST -keyout server.key -out server.crt";
    let stranger = "the server's certificate is rejected: UnknownIssuer";
    for (certificate, cases) in [
        (
            "signed",
            vec![
                ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/ca.crt", removed),
                ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER/ca.crt", removed),
                ("localhost", "sslmode=require", removed),
                ("127.0.0.1", "sslmode=verify-full&sslrootcert=FOLDER/ca.crt", wrong_name),
                ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/self.crt", stranger),
                ("localhost", "sslrootcert=system", stranger),
            ],
        ),
        (
            "self",
            vec![
                ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/self.crt", removed),
                ("127.0.0.1", "sslmode=verify-full&sslrootcert=FOLDER/self.crt", wrong_name),
                ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER/self.crt", removed),
            ],
        ),
        (
            "plain",
            vec![
                ("localhost", "sslmode=require", removed),
                ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/plain.crt", way_out),
                ("localhost", "sslmode=verify-ca&sslrootcert=FOLDER/plain.crt", way_out),
            ],
        ),
    ] {
        let path = |end: &str| world.path(format!("{certificate}.{end}"));
        let cluster = Cluster::start_with_tls(&path("crt"), &path("key")).unwrap();
        let server = cluster.server();
        for (host, query, expected) in cases {
            server.psql("postgres", fill).unwrap();
            let query = query.replace("FOLDER", &world.path("").display().to_string());
            let ran = sweep(&world, &format!("postgresql://postgres@{host}:{}/postgres?{query}", server.port()));
            let (code, said) = if expected == removed { (0, &ran.out) } else { (1, &ran.err) };
            ran.exits(code);
            assert!(said.contains(expected), "{certificate} {host} {query}: {ran}");
            server.psql("postgres", "delete from visits").unwrap();
        }
    }
}

#[test]
fn a_certificate_that_is_not_there_is_an_error_of_the_configuration_that_names_it() {
    let world = World::new();
    for query in ["sslmode=verify-full&sslrootcert=/no/such/root.crt", "sslmode=require&sslcert=/no/such/root.crt"] {
        let ran = sweep(&world, &format!("postgresql://ann:hunter2@localhost/app?{query}"));
        ran.exits(78);
        assert!(ran.err.contains("there is no file /no/such/root.crt"), "{ran}");
        assert!(!ran.err.contains("hunter2"), "{ran}");
    }
    let ran = sweep(&world, "postgresql://ann@localhost/app?sslrootcert=system&sslmode=require");
    ran.exits(78);
    assert!(ran.err.contains("with sslrootcert=system it has to be verify-full"), "{ran}");
}
