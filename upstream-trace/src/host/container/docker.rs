//! Containers of Docker: each has a folder below the data root, wherever that is.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bundle::Bundle;
use super::files::absolute;
use super::{Container, ContainerLog, Files, Runtime};

pub(super) fn container(id: &str, bundle: &Bundle, files: &Files) -> Option<Container> {
    let (folder, config) = folders(id, bundle).into_iter().find_map(|folder| {
        let config = files.json(&folder.join("config.v2.json"))?;
        (config["ID"] == id).then_some((folder, config))
    })?;
    let host = files.json(&folder.join("hostconfig.json")).unwrap_or_default();
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some(Container {
        runtime: Runtime::Docker,
        id: id.to_owned(),
        name: text(&config["Name"]).map(|name| name.trim_start_matches('/').to_owned()),
        image: text(&config["Config"]["Image"]),
        pod: None,
        log: log(id, &folder, &config, &host),
        monitor: 0,
    })
}

/// Where the folder of the container may be: beside the files that Docker mounts into it, below the data root that its
/// root folder is in, or at the usual place.
fn folders(id: &str, bundle: &Bundle) -> Vec<PathBuf> {
    let mounts = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].into_iter();
    let beside = mounts.filter_map(|there| Some(bundle.mounted(there)?.parent()?.to_owned()));
    let data_root = bundle.root().and_then(|root| root.ancestors().nth(3)).map(Path::to_owned);
    let roots = data_root.into_iter().chain([PathBuf::from("/var/lib/docker")]);
    let own = beside.filter(|folder| folder.file_name().is_some_and(|name| name == id));
    own.chain(roots.map(|root| root.join("containers").join(id))).collect()
}

fn log(id: &str, folder: &Path, config: &Value, host: &Value) -> ContainerLog {
    match host["LogConfig"]["Type"].as_str() {
        Some("json-file") => {
            let told = config["LogPath"].as_str().and_then(absolute);
            ContainerLog::File(told.unwrap_or_else(|| folder.join(format!("{id}-json.log"))))
        }
        Some("journald") => ContainerLog::Journal,
        Some(driver) => ContainerLog::Driver(driver.to_owned()),
        None => ContainerLog::Unknown,
    }
}
