//! Which nginx a record is of, as resource attributes of the semantic conventions: its container and pod.

use serde_json::Value;
use upstream_trace_core::event::{NamedContainer, Workload};

use super::encode::{text, texts};

type Attribute = (String, Value);

/// Attributes of a workload; what the conventions have no name for begins with `upstream_trace.`.
pub(super) fn attributes(workload: &Workload) -> Vec<Attribute> {
    let named = |key: &str, value: &String| Some((key.to_owned(), text(value)));
    let mut all: Vec<Attribute> = match workload {
        Workload::Unit(name) => return named("upstream_trace.unit", name).into_iter().collect(),
        Workload::Cgroup(_) => return Vec::new(),
        Workload::Docker(id) | Workload::Podman(id) | Workload::Kubernetes(id) => {
            named("container.id", id).into_iter().collect()
        }
        Workload::Lxc(name) => named("container.name", name).into_iter().collect(),
        Workload::Container(container) => of_container(container),
    };
    all.extend(workload.runtime().map(|name| ("container.runtime.name".to_owned(), text(name))));
    all
}

fn of_container(container: &NamedContainer) -> Vec<Attribute> {
    let mut all = vec![("container.id".to_owned(), text(&container.id))];
    let in_pod = container.name.as_ref().filter(|_| container.pod.is_some());
    for (key, value) in [
        ("container.name", container.name.as_ref()),
        ("k8s.container.name", in_pod),
        ("k8s.namespace.name", container.namespace.as_ref()),
        ("k8s.pod.name", container.pod.as_ref()),
    ] {
        all.extend(value.map(|value| (key.to_owned(), text(value))));
    }
    if let Some(image) = &container.image {
        all.extend(of_image(image));
    }
    all
}

/// `registry:5000/name:tag@sha256:…`: name, tag and digest are attributes of their own.
fn of_image(image: &str) -> Vec<Attribute> {
    if image.starts_with("sha256:") {
        return vec![("container.image.id".to_owned(), text(image))];
    }
    let (reference, digest) = match image.split_once('@') {
        Some((reference, digest)) => (reference, Some(digest)),
        None => (image, None),
    };
    // A colon before a slash is that of a registry's port.
    let (name, tag) = match reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
        Some((name, tag)) => (name, Some(tag)),
        None => (reference, None),
    };
    let mut all = vec![("container.image.name".to_owned(), text(name))];
    all.extend(tag.map(|tag| ("container.image.tags".to_owned(), texts(std::iter::once(tag)))));
    let digest = digest.map(|digest| format!("{name}@{digest}"));
    all.extend(
        digest.map(|digest| {
            ("container.image.repo_digests".to_owned(), texts(std::iter::once(digest.as_str())))
        }),
    );
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_taken_apart() {
        for (image, name, tag, digest) in [
            ("nginx", "nginx", None, None),
            ("nginx:1.27", "nginx", Some("1.27"), None),
            ("registry:5000/shop/nginx", "registry:5000/shop/nginx", None, None),
            (
                "registry:5000/nginx:1@sha256:ab",
                "registry:5000/nginx",
                Some("1"),
                Some("registry:5000/nginx@sha256:ab"),
            ),
        ] {
            let found: serde_json::Map<_, _> = of_image(image).into_iter().collect();
            let first =
                |key: &str| found.get(key).map(|value| &value["arrayValue"]["values"][0]["stringValue"]);
            assert_eq!(found["container.image.name"], text(name), "{image}");
            assert_eq!(first("container.image.tags"), tag.map(|tag| json!(tag)).as_ref(), "{image}");
            assert_eq!(
                first("container.image.repo_digests"),
                digest.map(|one| json!(one)).as_ref(),
                "{image}"
            );
        }
        assert_eq!(of_image("sha256:ab"), [("container.image.id".to_owned(), text("sha256:ab"))]);
    }
}
