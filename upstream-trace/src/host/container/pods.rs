//! Containers of containerd: of Kubernetes, whose names stand in annotations and whose logs in a place that the kubelet
//! chose; or of nerdctl.

use std::path::{Path, PathBuf};

use super::bundle::Bundle;
use super::{Container, ContainerLog, Files, Pod, Runtime};

/// Links to the logs, with the id of the container in their names.
const LINKS: &str = "/var/log/containers";
/// The logs: `NAMESPACE_POD_UID/CONTAINER/N.log`.
const LOGS: &str = "/var/log/pods";

pub(super) fn container(id: String, monitor: u32, bundle: Option<&Bundle>, files: &Files) -> Container {
    let annotation = |name: &str| Some(bundle?.annotation(name)?.to_owned());
    let pod = pod(&annotation);
    Container {
        runtime: Runtime::Containerd,
        name: pod.as_ref().map(|pod| pod.container.clone()).or_else(|| annotation("nerdctl/name")),
        image: annotation("io.kubernetes.cri.image-name"),
        log: log(&id, pod.as_ref(), annotation("io.kubernetes.cri.sandbox-uid").as_deref(), files),
        id,
        pod,
        monitor,
    }
}

fn pod(annotation: &dyn Fn(&str) -> Option<String>) -> Option<Pod> {
    Some(Pod {
        namespace: annotation("io.kubernetes.cri.sandbox-namespace")?,
        name: annotation("io.kubernetes.cri.sandbox-name")?,
        container: annotation("io.kubernetes.cri.container-name")?,
    })
}

/// The file that the container's output goes to. Its link is made a moment after the container.
pub(super) fn log(id: &str, pod: Option<&Pod>, uid: Option<&str>, files: &Files) -> ContainerLog {
    let end = format!("-{id}.log");
    if let Some(link) = files.names(Path::new(LINKS)).into_iter().find(|name| name.ends_with(&end)) {
        return ContainerLog::File(Path::new(LINKS).join(link));
    }
    let Some(pod) = pod else { return ContainerLog::Unknown };
    let begin = format!("{}_{}_", pod.namespace, pod.name);
    let folders = files.names(Path::new(LOGS)).into_iter();
    let mut fitting = folders
        .filter(|name| name.strip_prefix(&begin).is_some_and(|rest| uid.is_none_or(|uid| uid == rest)));
    let Some(folder) = fitting.next() else { return ContainerLog::Unknown };
    newest(&Path::new(LOGS).join(folder).join(&pod.container), files)
        .map_or(ContainerLog::Unknown, ContainerLog::File)
}

/// Of `0.log`, `1.log` ... the last: each restart of the container begins another.
fn newest(folder: &Path, files: &Files) -> Option<PathBuf> {
    let names = files.names(folder);
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse::<u32>().ok());
    numbers.max().map(|number| folder.join(format!("{number}.log")))
}
