//! The manifests of `packaging/kubernetes` against the types that Kubernetes publishes: a field with a wrong name, at a
//! wrong place or of a wrong type is found.

use std::fs;
use std::path::Path;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A manifest as its type. What the type does not know is lost on the way, and missed here.
fn manifest<T: DeserializeOwned + Serialize>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/kubernetes").join(name);
    checked(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn checked<T: DeserializeOwned + Serialize>(text: &str) -> Result<T, String> {
    let written: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let typed: T = serde_json::from_value(written.clone()).map_err(|error| error.to_string())?;
    let understood = serde_json::to_value(&typed).map_err(|error| error.to_string())?;
    if understood == written { Ok(typed) } else { Err(format!("{written}\nis understood as\n{understood}")) }
}

/// Capabilities that docs/CONTAINERS.md gives to the tool in a container.
fn documented() -> Vec<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONTAINERS.md")).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let added = words.windows(2).filter(|pair| pair[0] == "--cap-add").map(|pair| pair[1].to_owned());
    added.collect()
}

fn has_least_rights(spec: &PodSpec) {
    assert_eq!(spec.host_pid, Some(true));
    assert_eq!(spec.automount_service_account_token, Some(false));
    let [container] = spec.containers.as_slice() else { panic!("one container") };
    let security = container.security_context.as_ref().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert!(security.privileged != Some(true));
    let capabilities = security.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop, Some(vec!["ALL".to_owned()]));
    assert_eq!(capabilities.add, Some(documented()), "as the documents have it");
    let volumes: Vec<_> = spec.volumes.iter().flatten().map(|volume| &volume.name).collect();
    let mounts: Vec<_> = container.volume_mounts.iter().flatten().map(|mount| &mount.name).collect();
    assert_eq!(mounts, volumes, "what is mounted is there");
}

#[test]
fn the_pod() {
    let pod: Pod = manifest("pod.yaml");
    has_least_rights(&pod.spec.unwrap());
}

#[test]
fn the_daemon_set() {
    let set: DaemonSet = manifest("daemonset.yaml");
    let spec = set.spec.unwrap();
    let labels = spec.template.metadata.unwrap().labels;
    assert!(labels.is_some() && spec.selector.match_labels == labels, "it selects its own pods");
    has_least_rights(&spec.template.spec.unwrap());
}

#[test]
fn wrong_fields_are_found() {
    let right = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostPID: true, containers: []}\n";
    assert!(checked::<Pod>(right).is_ok());
    for (field, wrong) in [("hostPID", "hostPid"), ("true", "yes please"), ("kind: Pod", "kind: Pot")] {
        assert!(checked::<Pod>(&right.replace(field, wrong)).is_err(), "{wrong}");
    }
}
