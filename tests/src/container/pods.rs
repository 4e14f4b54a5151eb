//! A container as containerd runs it for Kubernetes, made by hand: a process with the name of its shim in a folder with
//! the specification, nginx below it in a control group with the container's id, and its output in the file and the
//! format of the container runtime interface.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::json;

use super::tree;
use crate::util::{children, signal, wait_until};
use crate::world::World;

/// A pod with one container; ends on drop.
#[derive(Debug)]
pub struct Pod {
    shim: Child,
    group: PathBuf,
    log: PathBuf,
}

impl Pod {
    /// Runs nginx with this configuration as container `app` of pod `shop/web-0`, until it listens at this address.
    pub fn nginx(world: &World<'_>, config: &str, address: &str) -> Result<Self> {
        let id = format!("{:064x}", 0xabc_0000_u64 + u64::from(std::process::id()));
        let folder = world.folder().join("pod");
        let bundle = folder.join("task").join(&id);
        fs::create_dir_all(&bundle)?;
        fs::create_dir_all(folder.join("logs"))?;
        let spec = json!({"ociVersion": "1.0.2", "annotations": {
            "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-name": "web-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": "0b7e",
            "io.kubernetes.cri.image-name": "lab/nginx:1"}});
        fs::write(bundle.join("config.json"), spec.to_string())?;
        world.file("pod.conf", config)?;
        let group = tree()?.join(format!("kubepods-utl-{}", std::process::id())).join(&id);
        fs::create_dir_all(&group)?;
        let shim = folder.join("containerd-shim-runc-v2");
        fs::copy("/bin/sh", &shim)?;
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("run"), script(&folder, world.folder(), &group))?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(&shim).arg(folder.join("run"));
        command.args(["-namespace", "k8s.io", "-id", &id, "-address", "/run/containerd/containerd.sock"]);
        command.current_dir(&bundle).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let shim = world.ng().run(|| command.spawn().context("start a pod"))?;
        let pod = Self { shim, group, log: folder.join("logs/shop_web-0_0b7e/app") };
        wait_until("the pod's nginx", Duration::from_secs(10), || world.connect_to(address).is_ok())?;
        Ok(pod)
    }

    /// nginx's master.
    pub fn master(&self) -> Result<u32> {
        let is_nginx = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == "nginx")
        };
        let below =
            children(self.shim.id()).into_iter().flat_map(|pid| children(pid).into_iter().chain([pid]));
        below.into_iter().find(is_nginx).context("nginx does not run in the pod")
    }

    /// Does as the kubelet does with a log that has grown: renames it and has another one written.
    pub fn rotate(&self) -> Result<()> {
        fs::rename(self.log.join("0.log"), self.log.join("0.log.20261128-000000"))?;
        fs::File::create(self.log.join("0.log"))?;
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Ok(master) = self.master() {
            let _already_gone = signal(master, Signal::SIGKILL);
        }
        let _already_gone = self.shim.kill();
        let _already_gone = self.shim.wait();
        let members = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _already_gone = signal(pid, Signal::SIGKILL);
        }
        let gone = || fs::remove_dir(&self.group).is_ok();
        let _left_over = wait_until("the pod's processes to end", Duration::from_secs(5), gone);
        let _left_over = self.group.parent().map(fs::remove_dir);
    }
}

/// What the shim does. nginx's output goes through a pipe to a writer that puts each line into its envelope.
fn script(folder: &Path, world: &Path, group: &Path) -> String {
    format!(
        "mkdir -p /var/log/pods {logs}/shop_web-0_0b7e/app\n\
         mount --bind {logs} /var/log/pods\n\
         log=/var/log/pods/shop_web-0_0b7e/app/0.log\n: > $log\n\
         sh -c 'echo $$ > {group}/cgroup.procs; exec unshare --mount nginx -c {world}/pod.conf -e stderr -g \"daemon off;\"' 2>&1 |\n\
         while IFS= read -r line; do printf '%s stderr F %s\\n' \"$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)\" \"$line\" >> $log; done\n",
        logs = folder.join("logs").display(),
        world = world.display(),
        group = group.display(),
    )
}
