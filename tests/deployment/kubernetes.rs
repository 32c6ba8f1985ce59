//! The manifests for Kubernetes: as its schemas want them, consistent with each other, and with a configuration that the gateway takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::place::{Place, Ran, ended};
use crate::venv;

/// Of the schemas that the validator has: one that clusters in use are not far from.
const VERSION: &str = "1.31";
/// Kinds that no schema of Kubernetes' own describes.
const OTHERS: [&str; 2] = ["Kustomization", "ServiceMonitor"];
/// What may come after `listen.drain_s`, in seconds: the trail's last signature, tokens that are closed, traces that are left.
const AFTER_DRAIN: u64 = 10;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kubernetes")
}

/// All manifests, those in folders among them.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "yaml") => found.push(path),
                false => {}
            }
        }
    }
    found
}

fn validate(files: &[PathBuf]) -> Ran {
    let mut command = Command::new(venv::python());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/manifests.py");
    command.arg(script).arg(VERSION).args(files);
    ended("manifests", command)
}

/// A manifest's documents.
fn documents(name: &str) -> Vec<Value> {
    let mut command = Command::new(venv::python());
    let program =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    command.args(["-c", program]).arg(folder().join(name));
    let read = ended("read", command).exits(0).json();
    read.as_array().expect("a list").clone()
}

fn only(name: &str) -> Value {
    let mut documents = documents(name);
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

#[test]
fn manifests_are_as_kubernetes_wants_them() {
    let files = files();
    let ran = validate(&files).exits(0);
    let unknown = ran.out.lines().filter(|line| line.ends_with("no schema"));
    for line in unknown {
        assert!(OTHERS.iter().any(|kind| line.contains(kind)), "{line}");
    }
    assert_eq!(ran.out.matches(": good").count(), 8, "{ran:#?}");

    // It is able to find something.
    let place = Place::empty();
    let stateful = fs::read_to_string(folder().join("statefulset.yaml")).expect("is there");
    place.write("misspelt.yaml", &stateful.replace("drop:", "drops:"));
    let ran = validate(&[place.path("misspelt.yaml")]).exits(1);
    assert!(ran.out.contains("'drops' was unexpected"), "{ran:#?}");
}

/// What the schemas cannot know.
#[test]
fn manifests_fit_together() {
    let stateful = only("statefulset.yaml");
    let spec = &stateful["spec"];
    assert_eq!(spec["replicas"], 1, "one writer holds the store");
    let pod = &spec["template"]["spec"];
    let labels = &spec["template"]["metadata"]["labels"];
    let gateway = &pod["containers"][0];
    for service in documents("service.yaml") {
        assert_eq!(&service["spec"]["selector"], labels);
        // Not ready is who admits nobody: members that are there must be served still.
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
        for port in service["spec"]["ports"].as_array().expect("ports") {
            let own = gateway["ports"].as_array().expect("ports");
            let own = own.iter().find(|own| own["name"] == port["targetPort"]);
            let own = own.unwrap_or_else(|| panic!("{port} leads nowhere"));
            assert_eq!(own["protocol"], port["protocol"]);
        }
    }
    assert_eq!(&spec["selector"]["matchLabels"], labels);
    let budget = only("poddisruptionbudget.yaml");
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    let network = only("networkpolicy.yaml");
    assert_eq!(&network["spec"]["podSelector"]["matchLabels"], labels);

    let resources = only("kustomization.yaml");
    for resource in resources["resources"].as_array().expect("a list") {
        let name = resource.as_str().expect("a name");
        assert!(folder().join(name).exists(), "{name}");
    }
    let variables = gateway["env"].as_array().expect("variables");
    let health = variables
        .iter()
        .find(|one| one["name"] == "WARDCAST_ADMIN__HEALTH_ADDRESS");
    let health = health.expect("is set")["value"].as_str().expect("text");
    let ports = gateway["ports"].as_array().expect("ports");
    let port = ports.iter().find(|port| port["name"] == "health");
    let port = &port.expect("a port")["containerPort"];
    assert!(health.ends_with(&format!(":{port}")), "{health}, {port}");
    for (probe, path) in [
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(gateway[probe]["httpGet"]["path"], path);
        assert_eq!(gateway[probe]["httpGet"]["port"], "health");
    }
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    let drain = u64::from(wardcast::config::Config::default().listen.drain_s);
    assert!(grace.expect("seconds") > drain + AFTER_DRAIN);
}

/// The configuration, with the paths of volumes led to a folder, and the same for the job that makes the token.
#[test]
fn the_gateway_takes_the_configuration() {
    let place = Place::provisioned();
    let text = fs::read_to_string(folder().join("wardcast.toml")).expect("is there");
    let volumes = [
        ("/run/secrets/wardcast/tls", "tls", "tls"),
        ("/run/secrets/wardcast/pin", "pin", "pin-of-the-pod"),
        ("/var/lib/wardcast", "state", "state"),
    ];
    let mut mapped = text.clone();
    let stateful = only("statefulset.yaml");
    let mounts = &stateful["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
    for (path, volume, folder) in volumes {
        let mounts = mounts.as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path);
        assert_eq!(mount.expect("is mounted")["name"], volume);
        fs::create_dir(place.path(folder)).expect("a folder");
        assert!(mapped.contains(path), "{path}");
        mapped = mapped.replace(path, folder);
    }
    for (from, to) in [
        ("gateway.pem", "tls/tls.crt"),
        ("gateway.key", "tls/tls.key"),
        ("pki/ca.pem", "tls/ca.crt"),
        ("pki/crl.pem", "tls/crl.pem"),
        ("pin", "pin-of-the-pod/pin"),
    ] {
        fs::copy(place.path(from), place.path(to)).expect("is copied");
    }
    place.write("pod.toml", &mapped);
    place.run("check-config pod.toml").exits(0);
    // It provisions, and a gateway serves with it.
    place.run("token provision --config pod.toml").exits(0);
    assert_eq!(place.mode("state/token"), 0o600);
    // A key that is not known would be refused here.
    place.write("wrong.toml", &mapped.replace("pin_file", "pin_flie"));
    place
        .run("check-config wrong.toml")
        .fails(1, &["token.pin_flie", "pin_file"]);
}
