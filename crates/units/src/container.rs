//! An image of both programs, and a compose file that runs the server beside a PostgreSQL.
//!
//! Paths are the same inside and outside, so that one `cleanup.toml` serves everywhere; only the programs lie in
//! `/usr/local/bin`. Folders are made in the image with the owner that sweeps them, because a fresh volume takes its
//! owner from there.

use std::path::Path;

use crate::Rendered;
use crate::quote;
use crate::site::{Secret, Site};

/// The folder of the programs in the image.
pub(crate) const PROGRAMS: &str = "/usr/local/bin";

/// Where secrets are mounted.
const SECRETS: &str = "/run/secrets";

/// A folder that outlives the container.
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) path: String,
}

/// Adds the files of `container/`.
pub(crate) fn render(site: &Site, rendered: &mut Rendered) {
    rendered.add("container/Dockerfile", &dockerfile(site));
    rendered.add(
        "container/Dockerfile.dockerignore",
        "# The image is built from sources alone.\n*\n!.cargo\n!Cargo.lock\n!Cargo.toml\n!crates\n!deploy/cleanup.toml\n\
         !rust-toolchain.toml\n!xtask\n**/target\n",
    );
    rendered.add("container/compose.yaml", &compose(site));
}

/// One volume for each folder beside the configuration that holds roots, and for each root elsewhere.
pub(crate) fn volumes(site: &Site) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    for root in site.roots() {
        let below = Path::new(root).strip_prefix(&site.folder).ok().and_then(|below| below.iter().next());
        let path = match below.and_then(|first| first.to_str()) {
            Some(first) => format!("{}/{first}", site.folder.trim_end_matches('/')),
            None => root.to_owned(),
        };
        if volumes.iter().any(|volume| Path::new(&path).starts_with(&volume.path)) {
            continue;
        }
        volumes.retain(|volume| !Path::new(&volume.path).starts_with(&path));
        let name = volume_name(&path, &volumes);
        volumes.push(Volume { name, path });
    }
    volumes
}

fn volume_name(path: &str, taken: &[Volume]) -> String {
    let last = path.rsplit('/').next().unwrap_or_default();
    let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let plain = plain.trim_matches('-').to_ascii_lowercase();
    // A name that is a number would be none to YAML, and two names are taken.
    let is_plain = plain.starts_with(|c: char| c.is_ascii_lowercase()) && plain != "database" && plain != "state";
    let plain = if is_plain { plain } else { format!("files-{plain}") };
    let is_taken = |name: &str| taken.iter().any(|volume| volume.name == name);
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    std::iter::once(plain.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or(plain)
}

fn dockerfile(site: &Site) -> String {
    let mut folders: Vec<String> = volumes(site).into_iter().map(|volume| volume.path).collect();
    for folder in site.roots().into_iter().chain(site.state.as_deref()) {
        if !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
    }
    let folders: Vec<String> = folders.iter().map(|folder| quote::yaml(folder)).collect();
    format!(
        "# From the root of a clone: docker build -f deploy/container/Dockerfile -t {image} .\nFROM \
         rust:1.95.0-slim-bookworm AS build\n# The image has this toolchain; rust-toolchain.toml also asks for tools \
         that the build does not need.\nENV RUSTUP_TOOLCHAIN=1.95.0\nWORKDIR /src\nCOPY . .\nRUN cargo build --locked \
         --release -p cleanup-cli -p cleanup-server\n\nFROM debian:bookworm-slim\nCOPY --from=build \
         /src/target/release/cleanup /src/target/release/cleanup-server {PROGRAMS}/\n# A new volume takes its owner \
         from here: the user that writes the files must also remove them.\nRUN [\"install\", \"-d\", \"-o\", \
         \"{uid}\", \"-g\", \"{uid}\", \"-m\", \"0750\", \\\n     {folders}]\nUSER {uid}:{uid}\nSTOPSIGNAL SIGTERM\n\
         HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \\\n    CMD {health}\nENTRYPOINT [{server}]\nCMD \
         [\"-c\", {config}]\n",
        uid = site.uid,
        image = site.image,
        folders = folders.join(", \\\n     "),
        health = probe("/healthz", site),
        server = quote::yaml(&format!("{PROGRAMS}/cleanup-server")),
        config = quote::yaml(&site.config_path),
    )
}

/// A command, as a JSON list, that succeeds when the server answers 200. The image has no HTTP client but its shell.
pub(crate) fn probe(path: &str, site: &Site) -> String {
    let listen = site.server.listen;
    let ip = if listen.ip().is_unspecified() { "127.0.0.1".to_owned() } else { listen.ip().to_string() };
    let script = format!(
        "exec 3<>/dev/tcp/{ip}/{} && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '",
        listen.port()
    );
    format!("[\"bash\", \"-c\", {}]", quote::yaml(&script))
}

fn compose(site: &Site) -> String {
    let public = !site.server.listen.ip().is_loopback();
    let mut text = String::from(
        "# From this folder: docker compose up --detach. The application mounts the same volumes and writes as the \
         same user.\nname: cleanup\nservices:\n",
    );
    text += &format!(
        "  cleanup:\n    \
             image: {image}\n    \
             build:\n      \
               context: ../..\n      \
               dockerfile: deploy/container/Dockerfile\n    \
             user: \"{uid}:{uid}\"\n    \
             restart: unless-stopped\n    \
             stop_grace_period: 15s\n    \
             read_only: true\n    \
             tmpfs: [\"/tmp\"]\n    \
             cap_drop: [\"ALL\"]\n    \
             security_opt: [\"no-new-privileges:true\"]\n",
        uid = site.uid,
        image = site.image,
    );
    text += &compose_environment(site, public);
    if public {
        let secret = |Secret { name, path }: &Secret| match path {
            Some(path) => format!("{{source: {name}, target: {}}}", quote::compose(path)),
            None => name.clone(),
        };
        let secrets: Vec<String> = site.server.secrets.iter().map(secret).collect();
        let port = site.server.listen.port();
        text += &format!(
            "    secrets: [{secrets}]\n    ports: [\"127.0.0.1:{port}:{port}\"]\n",
            secrets = secrets.join(", ")
        );
    } else {
        text += "    # The server listens on loopback, which is the container's own: `docker compose exec cleanup \
                 cleanup stats`\n    # still works. To call it from outside, set `listen = \"0.0.0.0:8000\"` and a \
                 token.\n";
    }
    text += &format!(
        "    volumes:\n      \
             - {{type: bind, source: {config}, target: {config}, read_only: true}}\n",
        config = quote::compose(&site.config_path)
    );
    for volume in volumes(site) {
        text +=
            &format!("      - {{type: volume, source: {}, target: {}}}\n", volume.name, quote::compose(&volume.path));
    }
    if let Some(state) = &site.state {
        text += &format!("      - {{type: volume, source: state, target: {}}}\n", quote::compose(state));
    }
    if has_database(site) {
        text += DATABASE;
    }
    text += "volumes:\n";
    for volume in volumes(site) {
        text += &format!("  {}:\n", volume.name);
    }
    if site.state.is_some() {
        text += "  state:\n";
    }
    if has_database(site) {
        text += "  database:\n";
    }
    if public {
        text += "secrets:\n";
        for Secret { name, .. } in &site.server.secrets {
            text += &format!("  {name}:\n    # head -c 32 /dev/urandom | base64 > {name}\n    file: ./{name}\n");
        }
    }
    text
}

/// Whether the server is given one; a database that the configuration itself names is somewhere else.
fn has_database(site: &Site) -> bool {
    !site.url_variables.is_empty()
}

fn compose_environment(site: &Site, public: bool) -> String {
    let mut text = String::new();
    for name in &site.url_variables {
        text += &format!(
            "      {name}: \"postgresql://app:${{POSTGRES_PASSWORD:?write it into .env beside this file}}@database:5432/app\"\n"
        );
    }
    for (name, value) in &site.variables {
        text += &format!("      {name}: {}\n", quote::compose(value));
    }
    if public && site.server.looks_for_token() {
        text += &format!("      CREDENTIALS_DIRECTORY: {SECRETS}\n");
    }
    let wait = if has_database(site) { "    depends_on:\n      database: {condition: service_healthy}\n" } else { "" };
    if text.is_empty() { wait.to_owned() } else { format!("    environment:\n{text}{wait}") }
}

const DATABASE: &str = r#"  database:
    image: postgres:17-bookworm
    restart: unless-stopped
    environment:
      POSTGRES_USER: app
      POSTGRES_DB: app
      POSTGRES_PASSWORD: "${POSTGRES_PASSWORD:?write it into .env beside this file}"
    healthcheck:
      test: ["CMD-SHELL", "pg_isready --username=app --dbname=app"]
      interval: 5s
      retries: 12
    volumes:
      - {type: volume, source: database, target: /var/lib/postgresql/data}
"#;
