//! What all renderers see: the checked configuration as it will be on the target, and nothing of this machine.
//!
//! Here everything is refused that some file could not carry, so that no renderer has to. Database URLs end here: only
//! where a database is reached comes out of one, and of a URL that comes from a variable not even that, or the rendered
//! files would depend on, and might show, what this machine's environment holds.

use std::path::{Path, PathBuf};

use cleanup_core::candidate::Escaped;
use cleanup_core::config::{Config, NamedToken, Origin, Source, State};
use cleanup_core::policy::{Database, Schedule};

use crate::expression::Expression;
use crate::{Note, RenderError, Target};

/// Where systemd reads what only the service may know: `DATABASE_URL` above all.
pub(crate) const ENVIRONMENT_FILE: &str = "/etc/cleanup/cleanup.env";

/// Where the state of services lies.
const STATE_OF_SERVICES: &str = "/var/lib";

/// The configuration, and where it will run.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// The configuration's own text.
    pub(crate) text: String,
    pub(crate) config_path: String,
    /// The folder that the configuration lies in.
    pub(crate) folder: String,
    /// The folder of the programs.
    pub(crate) prefix: String,
    pub(crate) user: String,
    pub(crate) uid: u32,
    pub(crate) image: String,
    /// The enabled policies, files first.
    pub(crate) jobs: Vec<Job>,
    pub(crate) server: Server,
    /// The folder of what is remembered; `None` when nothing is.
    pub(crate) state: Option<String>,
    /// The folder of the audit log.
    pub(crate) audit: Option<String>,
    /// Whether the memory has its usual name in there, so that `$STATE_DIRECTORY` would lead to the same file.
    state_is_usual: bool,
    pub(crate) time_zone: Option<String>,
    /// Variables that the configuration used when it was rendered, other than for databases.
    pub(crate) variables: Vec<(String, String)>,
    /// The variables that hold database URLs, or parts of them.
    pub(crate) url_variables: Vec<String>,
    pub(crate) notes: Vec<Note>,
}

/// One policy.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// One without a schedule runs only when it is asked to.
    pub(crate) schedule: Option<Schedule>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Files below this folder.
    Files(String),
    /// Session rows.
    Sessions(Reach),
}

/// How a database is reached, as far as the configuration itself says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By a URL that comes from the environment.
    Unknown,
    /// On this machine.
    Local,
    /// Over the network.
    Remote,
    /// It is a file, in this folder.
    Folder(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) socket: Option<String>,
    /// What holds the tokens, the one without a name first.
    pub(crate) secrets: Vec<Secret>,
}

/// A token, by the name under which it is handed to the service.
#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) name: String,
    /// The file in which the configuration looks for it; `None` is where tokens are looked for by themselves.
    pub(crate) path: Option<String>,
}

impl Server {
    /// Whether the configuration itself says where a token is.
    pub(crate) fn names_token(&self) -> bool {
        self.secrets.iter().any(|secret| secret.path.is_some())
    }

    /// Whether a token is looked for where no key says so.
    pub(crate) fn looks_for_token(&self) -> bool {
        self.secrets.iter().any(|secret| secret.path.is_none())
    }
}

impl Site {
    pub(crate) fn new(
        text: &str,
        target: &Target<'_>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, RenderError> {
        let config_path = path("the path of the configuration", target.config_path)?;
        let folder = target.config_path.parent().unwrap_or(Path::new("/"));
        let config = Config::load(&Source { name: &config_path, text, folder }, env)?;
        let mut site = Self {
            text: text.to_owned(),
            folder: path("the folder of the configuration", folder)?,
            config_path,
            prefix: prefix(target.prefix)?,
            user: user(target.user)?,
            uid: target.uid,
            image: image(target.image)?,
            jobs: Vec::new(),
            server: Server {
                listen: config.server.listen,
                socket: optional("`socket` in `[server]`", config.server.socket.as_deref())?,
                secrets: secrets(&config.server)?,
            },
            state: state(&config, folder)?,
            audit: audit(&config)?,
            state_is_usual: !matches!(&config.state, State::Sqlite(file) if !file.ends_with("state.db")),
            time_zone: config.time_zone.clone(),
            variables: variables(&config, text, env)?,
            url_variables: url_variables(&config, text),
            notes: Vec::new(),
        };
        for policy in config.files.iter().filter(|policy| policy.enabled) {
            let kind = Kind::Files(path(&format!("the root of {}", policy.rule.name), &policy.root)?);
            site.add(&policy.rule.name, kind, policy.schedule.as_ref())?;
        }
        for policy in config.sessions.iter().filter(|policy| policy.enabled) {
            let name = &policy.rule.name;
            let reach = reach(&config, text, name, &policy.database, folder)?;
            site.add(name, Kind::Sessions(reach), policy.schedule.as_ref())?;
        }
        if site.jobs.is_empty() {
            return Err(refusal("the configuration", "it has no enabled policy"));
        }
        Ok(site)
    }

    fn add(&mut self, name: &str, kind: Kind, schedule: Option<&Schedule>) -> Result<(), RenderError> {
        match schedule {
            None => self.notes.push(Note {
                about: name.to_owned(),
                what: "it has neither `every` nor `cron`, so it has no schedule".to_owned(),
            }),
            Some(Schedule::Cron(cron)) => {
                Expression::of(cron).map_err(|why| refusal(&format!("`cron` of {name}"), why))?;
            }
            Some(Schedule::Every(_)) => {}
        }
        self.jobs.push(Job { name: name.to_owned(), kind, schedule: schedule.cloned() });
        Ok(())
    }

    /// The policies that run by themselves.
    pub(crate) fn scheduled(&self) -> impl Iterator<Item = (&Job, &Schedule)> {
        self.jobs.iter().filter_map(|job| Some((job, job.schedule.as_ref()?)))
    }

    /// The folders that the policies work in, in their order, each once.
    pub(crate) fn roots(&self) -> Vec<&str> {
        let mut roots = Vec::new();
        for job in &self.jobs {
            if let Kind::Files(root) | Kind::Sessions(Reach::Folder(root)) = &job.kind
                && !roots.contains(&root.as_str())
            {
                roots.push(root);
            }
        }
        roots
    }

    /// The name of the state folder below the one of all services, when it lies right there.
    pub(crate) fn state_of_service(&self) -> Option<&str> {
        let path = Path::new(self.state.as_deref()?);
        let is_there = path.parent()? == Path::new(STATE_OF_SERVICES) && self.state_is_usual;
        if is_there { path.file_name()?.to_str() } else { None }
    }
}

/// A refusal to render.
fn refusal(what: &str, why: impl Into<String>) -> RenderError {
    RenderError::Value { what: what.to_owned(), why: why.into() }
}

fn secrets(server: &cleanup_core::config::Server) -> Result<Vec<Secret>, RenderError> {
    let mut secrets = Vec::new();
    let mut add = |name: String, key: &str, path: Option<&Path>| {
        secrets.push(Secret { name, path: optional(key, path)? });
        Ok::<_, RenderError>(())
    };
    if server.token_file.is_some() || server.tokens.is_empty() {
        add("token".to_owned(), "`token_file` in `[server]`", server.token_file.as_deref())?;
    }
    for NamedToken { name, file } in &server.tokens {
        add(format!("token-{name}"), &format!("`{name}` in `[server.tokens]`"), Some(file))?;
    }
    if let Some(file) = &server.metrics_token_file {
        add("metrics-token".to_owned(), "`metrics_token_file` in `[server]`", Some(file))?;
    }
    Ok(secrets)
}

fn optional(what: &str, of: Option<&Path>) -> Result<Option<String>, RenderError> {
    of.map(|of| path(what, of)).transpose()
}

/// An absolute path that every kind of file can carry, without `..`, which some of them refuse.
fn path(what: &str, path: &Path) -> Result<String, RenderError> {
    let shown = format!("{what}, \"{}\"", Escaped(path.as_os_str().as_encoded_bytes()));
    let Some(text) = path.to_str() else { return Err(refusal(&shown, "it is not UTF-8")) };
    carried(&shown, text)?;
    if !path.is_absolute() {
        return Err(refusal(&shown, "expected an absolute path"));
    }
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                return Err(refusal(
                    &shown,
                    "`..` is ambiguous if the path contains a link; write the path without it",
                ));
            }
            component => plain.push(component),
        }
    }
    Ok(plain.to_string_lossy().into_owned())
}

/// Text that can be quoted in every kind of file.
fn carried(what: &str, text: &str) -> Result<(), RenderError> {
    match text.chars().find(|c| c.is_control() || *c == '\\') {
        None => Ok(()),
        Some('\\') => {
            Err(refusal(what, "shells, cron and systemd read a backslash differently; use a path without one"))
        }
        Some(c) => Err(refusal(what, format!("unit files and crontabs cannot contain the character {c:?}"))),
    }
}

fn prefix(prefix: &Path) -> Result<String, RenderError> {
    let text = path("the folder of the programs", prefix)?;
    match text.chars().find(|c| !c.is_alphanumeric() && !"/._-+".contains(*c)) {
        Some(c) => Err(refusal(
            &format!("the folder of the programs, {text:?}"),
            format!("systemd accepts no program with {c:?} in its path"),
        )),
        None => Ok(text),
    }
}

fn user(user: &str) -> Result<String, RenderError> {
    let what = format!("the user {user:?}");
    if user == "root" || user == "0" {
        return Err(refusal(
            &what,
            "the sweep runs without capabilities, and without them root can remove only its own files; name the user \
             that owns the files",
        ));
    }
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = user.starts_with(first) && user.len() <= 32 && user.chars().all(|c| first(c) || matches!(c, '-' | '.'));
    if plain { Ok(user.to_owned()) } else { Err(refusal(&what, "not a user name")) }
}

fn image(image: &str) -> Result<String, RenderError> {
    let plain = !image.is_empty() && image.chars().all(|c| c.is_ascii_alphanumeric() || "./-_:@".contains(c));
    if plain {
        Ok(image.to_owned())
    } else {
        Err(refusal(&format!("the image {image:?}"), "expected a name such as registry.example.org/cleanup:1"))
    }
}

/// The folder that the program itself will choose, so that a hold made by hand and a sweep of a unit share it.
fn audit(config: &Config) -> Result<Option<String>, RenderError> {
    let folder = config.audit.as_ref().and_then(|audit| audit.file.parent());
    folder.map(|folder| path("the folder of the audit log", folder)).transpose()
}

fn state(config: &Config, folder: &Path) -> Result<Option<String>, RenderError> {
    let place = match &config.state {
        State::None => return Ok(None),
        State::Sqlite(file) => file.parent().unwrap_or(Path::new("/")).to_owned(),
        State::Default if folder.starts_with("/etc") => Path::new(STATE_OF_SERVICES).join("cleanup"),
        State::Default => folder.join(".cleanup"),
    };
    path("the state folder", &place).map(Some)
}

/// The variables that the configuration names outside of database URLs, with what they hold now.
fn variables(
    config: &Config,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, RenderError> {
    let secret = url_variables(config, text);
    let others = config.settings.iter().filter(|setting| !is_url_of_sessions(&setting.key));
    let names = others.flat_map(|setting| match &setting.origin {
        Origin::Variables { names, .. } => names.as_slice(),
        _ => &[],
    });
    let mut variables: Vec<(String, String)> = Vec::new();
    for name in names {
        if secret.contains(name) || variables.iter().any(|(known, _)| known == name) {
            continue;
        }
        let Some(value) = env(name) else { continue };
        let what = format!("the variable {name}");
        carried(&what, &value)?;
        if value.contains(['"', '\'']) {
            return Err(refusal(&what, "cron cannot set a variable to a value with quotes"));
        }
        variables.push((name.clone(), value));
    }
    Ok(variables)
}

/// The names as the text has them, whatever they hold here.
fn url_variables(config: &Config, text: &str) -> Vec<String> {
    let mut variables = Vec::new();
    for setting in config.settings.iter().filter(|setting| is_url_of_sessions(&setting.key)) {
        let line = match setting.origin {
            Origin::Line(line) | Origin::Variables { line, .. } => line_of(text, line),
            Origin::Default => "",
        };
        for after in line.split("${").skip(1) {
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if !name.is_empty() && !variables.contains(&name) {
                variables.push(name);
            }
        }
    }
    variables
}

fn line_of(text: &str, line: usize) -> &str {
    text.lines().nth(line.saturating_sub(1)).unwrap_or_default()
}

fn is_url_of_sessions(key: &str) -> bool {
    key.strip_prefix("sessions.").and_then(|key| key.split_once('.')).is_some_and(|(_, key)| key == "url")
}

fn reach(config: &Config, text: &str, name: &str, database: &Database, folder: &Path) -> Result<Reach, RenderError> {
    let key = format!("sessions.{name}.url");
    let line = config.settings.iter().find(|one| one.key == key).and_then(|one| match one.origin {
        Origin::Line(line) => Some(line),
        _ => None,
    });
    let (Database::Url(url), Some(line)) = (database, line) else { return Ok(Reach::Unknown) };
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let authority = rest.strip_prefix("//").unwrap_or(rest).split(['/', '?']).next().unwrap_or_default();
    let (user_info, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user_info.contains(':') || rest.contains("password=") {
        return Err(refusal(
            &format!("`url` of {name}"),
            "it contains a password, which the rendered files would show to everyone; write `${DATABASE_URL}` and set \
             that variable where the service runs",
        ));
    }
    // What is written there may be the default of a variable, and the variable be set where the service runs.
    let is_default = line_of(text, line).contains("${");
    if is_default || rest.contains("host=") || rest.contains("hostaddr=") {
        return Ok(Reach::Unknown);
    }
    if scheme.starts_with("sqlite") {
        let file = rest.split_once('?').map_or(rest, |(file, _)| file);
        let file = folder.join(file.strip_prefix("///").unwrap_or(file));
        let folder = file.parent().unwrap_or(Path::new("/"));
        return path(&format!("the database of {name}"), folder).map(Reach::Folder);
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let is_here =
        matches!(host, "" | "localhost" | "[::1]" | "[::1") || host.starts_with("127.") || host.starts_with("%2F");
    Ok(if is_here { Reach::Local } else { Reach::Remote })
}
