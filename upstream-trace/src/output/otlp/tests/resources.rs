//! Each nginx has a resource of its own.

use upstream_trace_core::event::{NamedContainer, Runtime, Workload};

use super::*;

fn in_pod() -> Workload {
    Workload::Container(Box::new(NamedContainer {
        runtime: Runtime::Containerd,
        id: "0123456789ab".into(),
        name: Some("proxy".into()),
        image: Some("registry:5000/nginx:1.27".into()),
        namespace: Some("shop".into()),
        pod: Some("web-7".into()),
    }))
}

fn in_docker() -> Workload {
    Workload::Container(Box::new(NamedContainer {
        runtime: Runtime::Docker,
        id: "ba9876543210".into(),
        name: Some("edge".into()),
        image: None,
        namespace: None,
        pod: None,
    }))
}

#[test]
fn records_of_several_nginx_are_grouped_by_where_each_runs() {
    let listener = listen();
    let mut otlp = otlp(listener.local_addr().unwrap(), QUICK);
    let received = receiver(listener, &[]);
    let homes = [Some(in_pod()), Some(in_docker()), None, Some(Workload::Unit("nginx.service".into()))];
    for (attempt, home) in homes.iter().cycle().take(8).enumerate() {
        let mut verdict = failure(attempt as u64, &server(80));
        verdict.details.workload.clone_from(home);
        otlp.output(&Output::Failure(verdict));
    }
    otlp.finish().unwrap();
    let mut groups = Vec::new();
    while records_in(&groups) < 8 {
        groups.extend(received.recv_timeout(Duration::from_secs(20)).unwrap().resource_logs);
    }
    let of_pod = [
        ("container.id", "0123456789ab"),
        ("container.name", "proxy"),
        ("container.runtime.name", "containerd"),
        ("container.image.name", "registry:5000/nginx"),
        ("k8s.container.name", "proxy"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", "web-7"),
        ("host.name", "proxy"),
    ];
    // The environment's pod is that of all that have none of their own.
    let of_docker = [("container.id", "ba9876543210"), ("container.name", "edge"), ("k8s.pod.name", "web-1")];
    let of_unit = [("upstream_trace.unit", "nginx.service"), ("k8s.pod.name", "web-1")];
    for wanted in [&of_pod[..], &of_docker, &of_unit] {
        assert_eq!(records_in(&with(&groups, wanted)), 2, "{wanted:?} in {groups:?}");
    }
    assert_eq!(records_in(&with(&groups, &[("container.name", "edge"), ("k8s.namespace.name", "shop")])), 0);
    assert_eq!(records_in(&groups), 8);
}

fn with(groups: &[ResourceLogs], wanted: &[(&str, &str)]) -> Vec<ResourceLogs> {
    let fits = |group: &&ResourceLogs| {
        let attributes = group.resource.clone().unwrap().attributes;
        wanted.iter().all(|(key, value)| of(&attributes, key) == Some(text(value)))
    };
    groups.iter().filter(fits).cloned().collect()
}

fn records_in(groups: &[ResourceLogs]) -> usize {
    groups.iter().flat_map(|group| &group.scope_logs).map(|scope| scope.log_records.len()).sum()
}
