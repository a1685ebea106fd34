//! Real proxies before the service, with the configurations that docs/proxy.md shows.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::world::{HOUR, Plan, TOKEN, World};

const NAME: &str = "cleanup.example.org";

/// How long a proxy may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nginx,
    Caddy,
}

impl Kind {
    /// Debian keeps servers off the search path of ordinary users. Says aloud where the program is not installed; in CI
    /// nothing is skipped.
    fn program(self) -> Option<PathBuf> {
        let name = if self == Self::Nginx { "nginx" } else { "caddy" };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let program = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
        if program.is_none() {
            assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
            eprintln!("SKIPPED: {name} is not installed");
        }
        program
    }

    /// The block of docs/proxy.md.
    fn documented(self) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proxy.md");
        let document = std::fs::read_to_string(path).unwrap();
        let fence = if self == Self::Nginx { "```nginx\n" } else { "```caddy\n" };
        let block = document.split(fence).nth(1).unwrap_or_else(|| panic!("no {fence}"));
        block.split("```").next().unwrap().to_owned()
    }

    /// A whole configuration that listens here, and passes on to the service.
    fn complete(self, site: &str, port: u16, service: SocketAddr, folder: &Path) -> String {
        let site = once(site, "127.0.0.1:8000", &service.to_string());
        match self {
            Self::Nginx => {
                let site = once(&site, "listen 80;", &format!("listen 127.0.0.1:{port};"));
                let of = |what: &str| format!("{what}_temp_path {}/{what};", folder.display());
                let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(of).join("\n");
                format!(
                    "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/log;\nevents {{}}\n\
                     http {{\naccess_log off;\n{folders}\n{site}\n}}\n",
                    folder.display()
                )
            }
            Self::Caddy => {
                let site = once(&site, NAME, &format!("http://{NAME}:{port}"));
                format!("{{\nadmin off\nauto_https off\ndefault_bind 127.0.0.1\n}}\n{site}")
            }
        }
    }
}

/// Replaces what has to be there exactly once.
fn once(text: &str, what: &str, with: &str) -> String {
    assert_eq!(text.matches(what).count(), 1, "{what} in {text}");
    text.replace(what, with)
}

/// A proxy that runs. Dropping it ends it.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Proxy {
    fn start(kind: Kind, program: &Path, site: &str, service: SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        // Somebody else may take the port before the proxy does: then the proxy ends, and the test says so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, kind.complete(site, address.port(), service, folder.path())).unwrap();
        let mut command = Command::new(program);
        match kind {
            Kind::Nginx => command.arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("log")).arg("-c"),
            Kind::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]),
        };
        command.arg(&config).env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(child.try_wait().unwrap().is_none(), "{kind:?} ends at once: {}", log());
            assert!(begun.elapsed() < PATIENCE, "{kind:?} does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address, _folder: folder }
    }

    async fn call(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Answer {
        let mut client = Client::connect(self.address).await;
        let mut call = format!(
            "{method} {target} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            call += header;
            call += "\r\n";
        }
        client.send(format!("{call}\r\n{body}")).await;
        client.answer().await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn world(server: &str) -> World {
    let more = format!("[server]\nhosts = [\"{NAME}\"]\n{server}");
    World::with(Plan { more, ..Plan::default() }).await
}

async fn behind(kind: Kind) {
    let Some(program) = kind.program() else { return };
    let site = kind.documented();
    let right = format!("Authorization: Bearer {TOKEN}");

    // Without a token nobody passes, and who could mend that is told how.
    let open = world("").await;
    let proxy = Proxy::start(kind, &program, &site, open.address);
    let refused = proxy.call("GET", "/cleanup/stats", &[], "").await;
    assert_eq!(refused.status, 403, "{refused}");
    assert!(refused.body.contains("token_for"), "{refused}");
    assert_eq!(proxy.call("GET", "/healthz", &[], "").await.body.trim(), "ok");
    open.get("/cleanup/stats").await.is(200);

    // With one, also where it is asked for changes only, reading through the proxy needs it.
    for server in ["token_file = \"token\"\n", "token_file = \"token\"\ntoken_for = \"everything\"\n"] {
        let world = world(server).await;
        world.file("svgs/old.svg", 2 * HOUR);
        let proxy = Proxy::start(kind, &program, &site, world.address);
        for (method, target) in [("GET", "/cleanup/stats"), ("GET", "/api/v1/files"), ("POST", "/cleanup/manual")] {
            assert_eq!(proxy.call(method, target, &[], "").await.status, 401, "{method} {target}");
        }
        assert_eq!(world.count("svgs"), 1);
        assert_eq!(proxy.call("GET", "/cleanup/stats", &[&right], "").await.status, 200);

        // The dashboard: a browser signs in, and its forms come from here.
        let form = "Content-Type: application/x-www-form-urlencoded";
        let origin = format!("Origin: http://{NAME}");
        let signed_in = proxy.call("POST", "/login", &[form, &origin], &format!("token={TOKEN}")).await;
        assert_eq!(signed_in.status, 303, "{signed_in}");
        let cookie = format!("Cookie: {}", signed_in.header("set-cookie").unwrap().split(';').next().unwrap());
        let page = proxy.call("GET", "/files", &[&cookie], "").await;
        assert!(page.status == 200 && page.body.contains("Tracked files"), "{page}");
        let acted = proxy.call("POST", "/dry-run", &[form, &origin, &cookie], "policy=svgs").await;
        assert_eq!(acted.status, 303, "{acted}");
        let other = proxy.call("POST", "/dry-run", &[form, "Origin: http://evil.example", &cookie], "").await;
        assert_eq!(other.status, 403, "{other}");

        // Events come while they happen, and not when the stream ends.
        let mut events = Client::connect(proxy.address).await;
        events.send(format!("GET /api/v1/events?kind=hold HTTP/1.1\r\nHost: {NAME}\r\n{right}\r\n\r\n")).await;
        events.wait_for(": hello").await;
        let hold = json!({"policy": "svgs", "path": "old.svg", "for": "1h"}).to_string();
        let json = "Content-Type: application/json";
        assert_eq!(proxy.call("POST", "/api/v1/holds", &[json, &right], &hold).await.status, 200);
        events.wait_for("event: hold").await;
    }
}

#[tokio::test]
async fn behind_nginx_as_documented_strangers_need_the_token_and_everything_works_with_it() {
    behind(Kind::Nginx).await;
}

#[tokio::test]
async fn behind_caddy_as_documented_strangers_need_the_token_and_everything_works_with_it() {
    behind(Kind::Caddy).await;
}

/// What the page warns of: such calls are those of a local program, and only `token_for = "everything"` keeps them out.
#[tokio::test]
async fn plain_proxy_pass_of_nginx_says_nothing_of_itself() {
    let Some(program) = Kind::Nginx.program() else { return };
    let site =
        format!("server {{\nlisten 80;\nserver_name {NAME};\nlocation / {{ proxy_pass http://127.0.0.1:8000; }}\n}}");
    for (server, status) in
        [("token_file = \"token\"\n", 200), ("token_file = \"token\"\ntoken_for = \"everything\"\n", 401)]
    {
        let world = world(server).await;
        let proxy = Proxy::start(Kind::Nginx, &program, &site, world.address);
        assert_eq!(proxy.call("GET", "/cleanup/stats", &[], "").await.status, status, "{server}");
        assert_eq!(proxy.call("POST", "/cleanup/manual", &[], "").await.status, 401, "{server}");
    }
}
