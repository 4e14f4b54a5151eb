//! Files as docker 20.10, podman 4.3, containerd 1.7 and CRI-O 1.30 write them.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::bundle::Bundle;
use super::*;

const ID: &str = "d43d5a33ea26627ef9b784bb46551927dea7bbf9d9f5e3c89189c4cb31adc448";

struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("container-{name}-{}", std::process::id()));
        let _left_over = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn files(&self) -> Files {
        Files::below(&self.0).unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn pod(container: &Container) -> (&str, &str, &str) {
    let pod = container.pod.as_ref().unwrap();
    (&pod.namespace, &pod.name, &pod.container)
}

#[test]
fn docker_wherever_its_data_root_is() {
    let log = format!("/srv/docker/containers/{ID}/{ID}-json.log");
    for (mounts, root) in [
        (json!([{"destination": "/etc/hosts", "source": format!("/srv/docker/containers/{ID}/hosts")}]), ""),
        (json!([]), "/srv/docker/overlay2/abc/merged"),
    ] {
        let bundle = Bundle::new(json!({"mounts": mounts, "root": {"path": root}}));
        let files = Root::new("docker");
        let config = json!({"ID": ID, "Name": "/web", "LogPath": log, "Config": {"Image": "nginx:1.29"}});
        let folder = format!("/srv/docker/containers/{ID}");
        files.write(&format!("{folder}/config.v2.json"), &config.to_string());
        let with = |driver: &str| {
            let host = json!({"LogConfig": {"Type": driver, "Config": {}}});
            files.write(&format!("{folder}/hostconfig.json"), &host.to_string());
            docker::container(ID, &bundle, &files.files()).unwrap()
        };
        let found = with("json-file");
        assert_eq!((found.runtime, found.name.as_deref()), (Runtime::Docker, Some("web")));
        assert_eq!(found.image.as_deref(), Some("nginx:1.29"));
        assert_eq!(found.log, ContainerLog::File(log.clone().into()));
        assert_eq!(found.named().to_string(), "docker container web");
        assert_eq!(with("journald").log, ContainerLog::Journal);
        assert_eq!(with("local").log, ContainerLog::Driver("local".to_owned()));
    }
    let files = Root::new("no-docker");
    assert_eq!(docker::container(ID, &Bundle::new(json!({})), &files.files()), None);
}

#[test]
fn podman_by_the_arguments_of_conmon() {
    let files = Root::new("podman");
    let folder = "/var/lib/containers/storage/overlay-containers";
    let metadata = json!({"image-name": "localhost/app:1", "name": "pweb"}).to_string();
    let list = json!([{"id": "other"}, {"id": ID, "names": ["pweb"], "metadata": metadata}]);
    files.write(&format!("{folder}/containers.json"), &list.to_string());
    let line = |log: &str| {
        words(&format!(
            "/usr/bin/conmon --api-version 1 -c {ID} -u {ID} -b {folder}/{ID}/userdata -n pweb{log}"
        ))
    };
    let read = |log: &str| conmon::container(ID.to_owned(), 7, &line(log), &files.files());
    let found = read(" -l k8s-file:/x/ctr.log --log-level warning");
    assert_eq!((found.runtime, found.name.as_deref(), found.monitor), (Runtime::Podman, Some("pweb"), 7));
    assert_eq!(found.image.as_deref(), Some("localhost/app:1"));
    assert_eq!(found.log, ContainerLog::File("/x/ctr.log".into()));
    assert_eq!(read(" -l journald:abc").log, ContainerLog::Journal);
    assert_eq!(read(" -l journald").log, ContainerLog::Journal);
    assert_eq!(read(" -l none:").log, ContainerLog::Driver("none".to_owned()));
    assert_eq!(read(" -l k8s-file:x/ctr.log").log, ContainerLog::Driver("k8s-file".to_owned()));
    assert_eq!(read("").log, ContainerLog::Unknown);
}

#[test]
fn cri_o_by_the_name_that_the_kubelet_gave() {
    let files = Root::new("crio");
    let spec = json!({"annotations": {"io.kubernetes.cri-o.ImageName": "registry/nginx:1"}});
    files.write("/run/b/config.json", &spec.to_string());
    let log = "/var/log/pods/shop_web-0_uid/app/0.log";
    let line =
        words(&format!("conmon -b /run/b -c {ID} -l {log} --log-level info -n k8s_app_web-0_shop_uid_0"));
    let found = conmon::container(ID.to_owned(), 7, &line, &files.files());
    assert_eq!((found.runtime, pod(&found)), (Runtime::CriO, ("shop", "web-0", "app")));
    assert_eq!(
        (found.log.clone(), found.image.as_deref()),
        (ContainerLog::File(log.into()), Some("registry/nginx:1"))
    );
    assert_eq!(found.named().to_string(), "container app of pod shop/web-0");
}

#[test]
fn containerd_by_annotations() {
    let files = Root::new("containerd");
    let bundle = Bundle::new(json!({"annotations": {
        "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.sandbox-name": "web-0",
        "io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.sandbox-uid": "u-1",
        "io.kubernetes.cri.image-name": "nginx:1"}}));
    let read = || pods::container(ID.to_owned(), 7, Some(&bundle), &files.files());
    assert_eq!(read().log, ContainerLog::Unknown);
    for number in ["2", "10", "9"] {
        files.write(&format!("/var/log/pods/shop_web-0_u-1/app/{number}.log"), "");
    }
    files.write("/var/log/pods/shop_web-0_u-2/app/11.log", "");
    let found = read();
    assert_eq!((found.runtime, pod(&found)), (Runtime::Containerd, ("shop", "web-0", "app")));
    assert_eq!(found.log, ContainerLog::File("/var/log/pods/shop_web-0_u-1/app/10.log".into()));
    // A link, whose absolute path is meant as the runtime sees it.
    fs::create_dir_all(files.0.join("var/log/containers")).unwrap();
    let link = format!("var/log/containers/web-0_shop_app-{ID}.log");
    symlink("/var/log/pods/shop_web-0_u-1/app/10.log", files.0.join(&link)).unwrap();
    let ContainerLog::File(path) = read().log else { panic!("a file") };
    assert_eq!(path, Path::new("/").join(link));
    assert!(files.files().open(&path).is_ok());
    let bare = pods::container(ID.to_owned(), 7, None, &Root::new("bare").files());
    assert_eq!((bare.name.as_deref(), bare.log), (None, ContainerLog::Unknown));
}

#[test]
fn what_is_meant_by_a_selector() {
    let container = Container {
        runtime: Runtime::Containerd,
        id: ID.to_owned(),
        name: Some("web".to_owned()),
        image: None,
        pod: Some(Pod {
            namespace: "shop".to_owned(),
            name: "web-0".to_owned(),
            container: "app".to_owned(),
        }),
        log: ContainerLog::Unknown,
        monitor: 1,
    };
    for (text, meant) in
        [("web", true), ("app", true), ("d43d", true), (ID, true), ("d43", false), ("we", false)]
    {
        assert_eq!(container.is_meant_by(text), meant, "{text}");
    }
    let pod = container.pod.unwrap();
    for (text, meant) in [("shop/web-0", true), ("web-0", true), ("other/web-0", false), ("shop/web", false)]
    {
        assert_eq!(pod.is_meant_by(text), meant, "{text}");
    }
}

#[test]
fn ids_in_control_groups() {
    for path in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/kubepods.slice/pod1.slice/cri-containerd-{ID}.scope"),
        format!("/kubepods/besteffort/pod1/{ID}/nested"),
        format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
    ] {
        assert_eq!(ids(&path).next(), Some(ID), "{path}");
    }
    assert_eq!(ids("/system.slice/nginx.service").next(), None);
    assert_eq!(Container::of(std::process::id()).map(|container| container.id), None);
    assert_eq!(Container::of(u32::MAX), None);
}
