//! Containers of podman and CRI-O: `conmon` is started with their names and with the file that it writes to.

use std::path::Path;

use serde_json::Value;

use super::files::absolute;
use super::monitor::option;
use super::{Container, ContainerLog, Files, Pod, Runtime};

/// What CRI-O's names of containers begin with: `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`.
const OF_KUBELET: &str = "k8s_";

pub(super) fn container(id: String, monitor: u32, arguments: &[String], files: &Files) -> Container {
    let name = option(arguments, "-n");
    let bundle = option(arguments, "-b").and_then(absolute);
    let pod = name.and_then(pod);
    let annotations =
        || Some(files.json(&bundle.as_ref()?.join("config.json"))?.get_mut("annotations")?.take());
    let image = if pod.is_some() {
        annotations().and_then(|all| Some(all["io.kubernetes.cri-o.ImageName"].as_str()?.to_owned()))
    } else {
        bundle.as_deref().and_then(|bundle| podman_image(&id, bundle, files))
    };
    Container {
        runtime: if pod.is_some() { Runtime::CriO } else { Runtime::Podman },
        id,
        name: pod.as_ref().map(|pod| pod.container.clone()).or_else(|| name.map(str::to_owned)),
        image,
        pod,
        log: log(arguments),
        monitor,
    }
}

fn pod(name: &str) -> Option<Pod> {
    let mut parts = name.strip_prefix(OF_KUBELET)?.split('_');
    let (container, name, namespace) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Pod { namespace: namespace.to_owned(), name: name.to_owned(), container: container.to_owned() })
}

/// `-l k8s-file:PATH`, `-l journald:ID`, or CRI-O's `-l PATH`; with several, lines go to all of them.
fn log(arguments: &[String]) -> ContainerLog {
    let all = arguments.windows(2).filter(|pair| pair[0] == "-l" || pair[0] == "--log-path");
    let all: Vec<_> = all.map(|pair| one_log(&pair[1])).collect();
    let file = all.iter().find(|log| matches!(log, ContainerLog::File(_)));
    file.or_else(|| all.first()).cloned().unwrap_or_default()
}

fn one_log(text: &str) -> ContainerLog {
    let (driver, path) = text.split_once(':').unwrap_or(("", text));
    match (driver, absolute(path)) {
        ("" | "k8s-file", Some(path)) => ContainerLog::File(path),
        ("journald", _) => ContainerLog::Journal,
        _ if text == "journald" => ContainerLog::Journal,
        _ => ContainerLog::Driver(if driver.is_empty() { text } else { driver }.to_owned()),
    }
}

/// The storage of containers keeps what each was made from, in a text of JSON within JSON.
fn podman_image(id: &str, bundle: &Path, files: &Files) -> Option<String> {
    let list = files.json(&bundle.parent()?.parent()?.join("containers.json"))?;
    let own = list.as_array()?.iter().find(|entry| entry["id"] == id)?;
    let metadata: Value = serde_json::from_str(own["metadata"].as_str()?).ok()?;
    Some(metadata["image-name"].as_str()?.to_owned())
}
