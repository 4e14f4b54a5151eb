//! `start`.

use serde::Serialize;

/// `start`: the first line. What is being watched, and with which hooks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Start<'a> {
    /// Whether what nginx sends and receives is watched: `deep` (all the time), `watch` (never), `auto` (while there is
    /// trouble, and for samples); absent if not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<&'a str>,
    /// Hooks, attached or not.
    pub hooks: Vec<Hook<'a>>,
    /// Which host this is, if several are reported at once; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// Name of the host; empty if it is not known.
    pub hostname: &'a str,
    /// Kernel release.
    pub kernel: &'a str,
    /// First of `masters`.
    pub master: Option<u32>,
    /// Process ids of nginx's masters.
    pub masters: &'a [u32],
    /// Which nginx the masters run, each once: `nginx/1.22.1`.
    pub nginx: &'a [String],
    /// Version of these objects: 1.
    pub schema: u32,
    /// When tracing started, UTC, microseconds: `2026-11-20T09:12:01.123456Z`.
    pub time: String,
    /// `start`.
    #[cfg_attr(test, schemars(extend("const" = "start")))]
    pub r#type: &'static str,
    /// Version of the program.
    pub version: &'a str,
    /// Process ids of nginx's workers, in the host's numbering.
    pub workers: &'a [u32],
}

/// A place where the tool watches the kernel.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hook<'a> {
    /// Whether it is in use.
    pub attached: bool,
    /// The same as `lost_without`, under its older name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub costs: Option<&'a str>,
    /// How it is attached: `raw_tracepoint`, `tracepoint`, `fentry`, `kprobe`, `cgroup`.
    pub kind: &'a str,
    /// Which evidence is missing without it, in words; absent if it is attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_without: Option<&'a str>,
    /// Its name: `inet_sock_set_state`.
    pub name: &'a str,
    /// Why it is not attached; absent if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a str>,
}

/// A container, pod or unit in which a process runs. What does not apply is absent.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Workload<'a> {
    /// Of a pod: the container's name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<&'a str>,
    /// Id of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// What the container was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a str>,
    /// Name of the container or unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Namespace of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// Name of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<&'a str>,
    /// `docker`, `containerd`, `cri-o`, `podman` or `systemd`.
    pub runtime: &'a str,
}
