//! Manifests for Kubernetes: the configuration, a `CronJob` for each policy, or the server.
//!
//! As with systemd, one or the other drives the schedules: apply the `cronjob-*.yaml` or `server.yaml`. The files lie in
//! a claim that belongs to the application (`app-files`, the folder of the configuration); each policy mounts its own
//! root of it and nothing else. Passwords and tokens come from a Secret that is never rendered.

use std::path::Path;

use crate::container::{PROGRAMS, probe};
use crate::quote::{kubernetes as quoted, yaml, yaml_block};
use crate::site::{Job, Kind, Reach, Secret, Site};
use crate::{Rendered, cron};

/// The longest name of a `CronJob`.
const LONGEST_NAME: usize = 52;

/// Where the token is mounted.
const SECRETS: &str = "/run/secrets/cleanup";

/// Adds the files of `k8s/`.
pub(crate) fn render(site: &Site, rendered: &mut Rendered) {
    let paths = site.roots().into_iter().chain(site.state.as_deref()).chain([site.config_path.as_str()]);
    if let Some(path) = paths.into_iter().find(|path| path.contains(':')) {
        rendered.note("k8s", format!("left out: Kubernetes cannot mount a path with a colon, such as {path}"));
        return;
    }
    rendered.add("k8s/configmap.yaml", &config_map(site));
    if site.state.is_some() {
        rendered.add("k8s/state.yaml", STATE);
    }
    rendered.add("k8s/server.yaml", &server(site));
    for (job, schedule) in site.scheduled() {
        match cron::fields(schedule) {
            Ok(times) => {
                let jobs: Vec<String> =
                    times.iter().enumerate().map(|(nth, times)| cron_job(site, job, nth, times)).collect();
                rendered.add(format!("k8s/cronjob-{}.yaml", job.name), &jobs.join("---\n"));
            }
            Err(_) => rendered.note(
                &job.name,
                format!("no CronJob: `{schedule}` does not divide a day into whole minutes; use the server"),
            ),
        }
    }
}

fn config_map(site: &Site) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cleanup\n{}data:\n  cleanup.toml:{}",
        labels("config", 2),
        yaml_block(&site.text, 4)
    )
}

const STATE: &str = "# The state folder: holds and past runs. Only one sweep writes it at a time.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: cleanup-state
  labels:
    app.kubernetes.io/name: cleanup
    app.kubernetes.io/component: state
spec:
  accessModes: [\"ReadWriteOnce\"]
  resources:
    requests:
      storage: 1Gi
";

/// One schedule of a policy; most have one.
fn cron_job(site: &Site, job: &Job, nth: usize, times: &str) -> String {
    let zone = site.time_zone.as_ref().map_or_else(String::new, |zone| format!("  timeZone: {}\n", yaml(zone)));
    let command = ["/cleanup", "sweep", &job.name, "--config"].map(str::to_owned);
    let command = [format!("{PROGRAMS}{}", command[0])].into_iter().chain(command[1..].iter().cloned());
    let command: Vec<String> = command.chain([site.config_path.clone()]).map(|word| quoted(&word)).collect();
    format!(
        "# Apply either the cronjob-*.yaml files or server.yaml, not both: each runs all policies by their \
         schedules.\napiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: {name}\n{labels}spec:\n  schedule: \
         {times}\n{zone}  concurrencyPolicy: Forbid\n  startingDeadlineSeconds: 300\n  successfulJobsHistoryLimit: \
         1\n  failedJobsHistoryLimit: 3\n  jobTemplate:\n    spec:\n      # The next run is the retry.\n      \
         backoffLimit: 0\n      activeDeadlineSeconds: 3600\n      ttlSecondsAfterFinished: 86400\n      \
         podFailurePolicy:\n        rules:\n          # Another sweep is running: not a failure; retry until it \
         finishes.\n          - action: Ignore\n            onExitCodes: {{containerName: sweep, operator: In, \
         values: [75]}}\n          # Retrying does not fix an invalid configuration.\n          - action: \
         FailJob\n            onExitCodes: {{containerName: sweep, operator: In, values: [78]}}\n      \
         template:\n        metadata:\n{pod_labels}        spec:\n          restartPolicy: Never\n{pod}          \
         containers:\n            - name: sweep\n              image: {image}\n              command: [{command}]\n\
         {container}{volumes}",
        name = yaml(&name(&job.name, nth)),
        image = site.image,
        labels = labels("sweep", 2),
        times = yaml(times),
        pod_labels = labels("sweep", 10),
        pod = pod(site, 10),
        command = command.join(", "),
        container = container(site, &[job], Token::None, 14),
        volumes = volumes(site, &[job], Token::None, 10),
    )
}

fn server(site: &Site) -> String {
    let jobs: Vec<&Job> = site.jobs.iter().collect();
    let listen = site.server.listen;
    let token = if listen.ip().is_loopback() && !site.server.names_token() { Token::None } else { Token::Mounted };
    let asked = |path: &str| {
        if listen.ip().is_unspecified() {
            format!("httpGet: {{path: {path}, port: http}}")
        } else {
            format!("exec: {{command: {}}}", probe(path, site))
        }
    };
    let warning = if listen.ip().is_loopback() {
        "# The configuration listens on loopback, which is the pod's own, so the Service below reaches nothing until \
         the\n# configuration sets `listen = \"0.0.0.0:8000\"` and the Secret contains a token.\n"
    } else {
        ""
    };
    format!(
        "# Apply either the cronjob-*.yaml files or server.yaml, not both: each runs all policies by their \
         schedules.\n{warning}apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: cleanup-server\n\
         {labels}spec:\n  # Never run two at a time: they would share the state.\n  replicas: 1\n  strategy: {{type: \
         Recreate}}\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: cleanup\n      \
         app.kubernetes.io/component: server\n  template:\n    metadata:\n{pod_labels}    spec:\n      \
         terminationGracePeriodSeconds: 15\n{pod}      containers:\n        - name: server\n          image: \
         {image}\n          args: [\"-c\", {config}]\n          ports:\n            - {{name: http, containerPort: \
         {port}}}\n          startupProbe:\n            {healthy}\n            periodSeconds: 2\n            \
         failureThreshold: 30\n          livenessProbe:\n            {healthy}\n            periodSeconds: \
         30\n            timeoutSeconds: 5\n          readinessProbe:\n            {ready}\n            \
         periodSeconds: 10\n            timeoutSeconds: 5\n{container}{volumes}---\napiVersion: v1\nkind: Service\n\
         metadata:\n  name: cleanup-server\n{labels}spec:\n  selector:\n    app.kubernetes.io/name: cleanup\n    \
         app.kubernetes.io/component: server\n  ports:\n    - {{name: http, port: {port}, targetPort: http}}\n",
        labels = labels("server", 2),
        image = site.image,
        pod_labels = labels("server", 6),
        pod = pod(site, 6),
        config = quoted(&site.config_path),
        port = listen.port(),
        healthy = asked("/healthz"),
        ready = asked("/readyz"),
        container = container(site, &jobs, token, 10),
        volumes = volumes(site, &jobs, token, 6),
    )
}

/// Whether the container is given the token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    None,
    Mounted,
}

/// A valid name of its own for each policy: `_` is none of Kubernetes' characters, and two names must not become one.
fn name(policy: &str, nth: usize) -> String {
    let plain = policy.replace('_', "-");
    let plain = plain.trim_matches('-');
    let suffix = if nth == 0 { String::new() } else { format!("-{}", nth + 1) };
    let name = format!("cleanup-{plain}{suffix}");
    // A name that ends in a number could be another policy's second schedule.
    if plain == policy && name.len() <= LONGEST_NAME && !policy.ends_with(|c: char| c.is_ascii_digit()) {
        return name;
    }
    let hash = policy.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let kept: String = plain.chars().take(LONGEST_NAME - "cleanup--".len() - 8 - suffix.len()).collect();
    format!("cleanup-{}-{hash:08x}{suffix}", kept.trim_end_matches('-'))
}

fn labels(component: &str, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    format!(
        "{blanks}labels:\n{blanks}  app.kubernetes.io/name: cleanup\n{blanks}  app.kubernetes.io/component: {component}\n"
    )
}

fn pod(site: &Site, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    [
        "automountServiceAccountToken: false".to_owned(),
        "securityContext:".to_owned(),
        "  runAsNonRoot: true".to_owned(),
        format!("  runAsUser: {}", site.uid),
        format!("  runAsGroup: {}", site.uid),
        format!("  fsGroup: {}", site.uid),
        "  fsGroupChangePolicy: OnRootMismatch".to_owned(),
        "  seccompProfile: {type: RuntimeDefault}".to_owned(),
    ]
    .iter()
    .map(|line| format!("{blanks}{line}\n"))
    .collect()
}

/// Everything of a container but its name, image and command.
fn container(site: &Site, jobs: &[&Job], token: Token, indent: usize) -> String {
    let mut lines: Vec<String> = [
        "securityContext:",
        "  allowPrivilegeEscalation: false",
        "  readOnlyRootFilesystem: true",
        "  capabilities: {drop: [\"ALL\"]}",
        "resources:",
        "  requests: {cpu: 50m, memory: 64Mi}",
        "  limits: {memory: 256Mi}",
    ]
    .map(str::to_owned)
    .into();
    let environment = environment(site, jobs, token);
    if !environment.is_empty() {
        lines.push("env:".to_owned());
        lines.extend(environment);
    }
    lines.push("volumeMounts:".to_owned());
    lines.push(format!(
        "  - {{name: config, mountPath: {}, subPath: cleanup.toml, readOnly: true}}",
        quoted_path(&site.config_path)
    ));
    for root in roots(jobs) {
        lines.push(format!(
            "  - {{name: files, mountPath: {}, subPath: {}}}",
            quoted_path(root),
            quoted_path(sub_path(site, root))
        ));
    }
    if let Some(state) = &site.state {
        lines.push(format!("  - {{name: state, mountPath: {}}}", quoted_path(state)));
    }
    if token == Token::Mounted {
        lines.extend(site.server.secrets.iter().map(|Secret { name, path }| match path {
            Some(path) => {
                format!("  - {{name: token, mountPath: {}, subPath: {name}, readOnly: true}}", quoted_path(path))
            }
            None => format!("  - {{name: token, mountPath: {SECRETS}, readOnly: true}}"),
        }));
    }
    let blanks = " ".repeat(indent);
    lines.iter().map(|line| format!("{blanks}{line}\n")).collect()
}

/// Only arguments and values of variables are expanded by Kubernetes, paths are not.
fn quoted_path(path: &str) -> String {
    yaml(path)
}

fn environment(site: &Site, jobs: &[&Job], token: Token) -> Vec<String> {
    let mut lines = Vec::new();
    if jobs.iter().any(|job| matches!(job.kind, Kind::Sessions(Reach::Unknown))) {
        for name in &site.url_variables {
            let key = name.to_ascii_lowercase().replace('_', "-");
            lines.push(format!("  - name: {name}"));
            lines.push(format!(
                "    valueFrom: {{secretKeyRef: {{name: cleanup, key: {}, optional: true}}}}",
                yaml(&key)
            ));
        }
    }
    for (name, value) in &site.variables {
        lines.push(format!("  - {{name: {name}, value: {}}}", quoted(value)));
    }
    if token == Token::Mounted && site.server.looks_for_token() {
        lines.push(format!("  - {{name: CREDENTIALS_DIRECTORY, value: {SECRETS}}}"));
    }
    lines
}

fn roots<'a>(jobs: &[&'a Job]) -> Vec<&'a str> {
    let mut roots: Vec<&str> = jobs
        .iter()
        .filter_map(|job| match &job.kind {
            Kind::Files(root) => Some(root.as_str()),
            Kind::Sessions(Reach::Folder(folder)) => Some(folder.as_str()),
            Kind::Sessions(_) => None,
        })
        .collect();
    roots.sort_unstable();
    roots.dedup();
    roots
}

/// Where a root lies in the claim, which holds the folder of the configuration.
fn sub_path<'a>(site: &Site, root: &'a str) -> &'a str {
    let below = Path::new(root).strip_prefix(&site.folder).ok().and_then(Path::to_str);
    below.filter(|below| !below.is_empty()).unwrap_or_else(|| root.trim_start_matches('/'))
}

fn volumes(site: &Site, jobs: &[&Job], token: Token, indent: usize) -> String {
    let mut lines = vec!["volumes:".to_owned(), "  - {name: config, configMap: {name: cleanup}}".to_owned()];
    if !roots(jobs).is_empty() {
        lines.push("  # The claim of the application, which contains the folder of the configuration.".to_owned());
        lines.push("  - {name: files, persistentVolumeClaim: {claimName: app-files}}".to_owned());
    }
    if site.state.is_some() {
        lines.push("  - {name: state, persistentVolumeClaim: {claimName: cleanup-state}}".to_owned());
    }
    if token == Token::Mounted {
        let item = |secret: &Secret| format!("{{key: {name}, path: {name}}}", name = secret.name);
        let items: Vec<String> = site.server.secrets.iter().map(item).collect();
        lines.push(format!("  - {{name: token, secret: {{secretName: cleanup, items: [{}]}}}}", items.join(", ")));
    }
    let blanks = " ".repeat(indent);
    lines.iter().map(|line| format!("{blanks}{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_gets_a_valid_name_of_its_own() {
        let policies = [
            "out",
            "a-b",
            "a_b",
            "_",
            "x2",
            "x",
            &"long-name".repeat(7),
            &"a".repeat(64),
            &"a".repeat(63),
            "trailing-",
        ];
        let mut names: Vec<String> = policies.iter().flat_map(|policy| [name(policy, 0), name(policy, 1)]).collect();
        for name in &names {
            assert!(name.len() <= LONGEST_NAME, "{name}");
            assert!(
                !name.ends_with('-') && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
        assert_eq!(names[0], "cleanup-out");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2 * policies.len());
    }
}
