//! What operators install: systemd units, a container's recipe, manifests for Kubernetes. Each is held against its own tools, and run as far as
//! that can be done without a service manager or a cluster.

#[path = "../commands/place.rs"]
#[expect(dead_code, reason = "shared with the tests of the commands")]
mod place;
#[path = "../support/venv.rs"]
mod venv;

mod container;
mod kubernetes;
mod systemd;
