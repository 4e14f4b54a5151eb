//! A docker of the world's own, in the network namespace of nginx: its bridge, its rules and its containers are there.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{IMAGE, answers, first_line, image, import, remove_groups, run};
use crate::util::{alive, signal, wait_until};
use crate::world::World;

/// Where dockerd keeps its plugins, wherever its other files are.
const PLUGINS: &str = "/run/docker";

/// Daemons that were started, so that each has addresses of its own.
static STARTED: AtomicU8 = AtomicU8::new(0);
/// Names the archive of the image that `cargo xtask image` makes, here of the tool to test.
const TOOL_ARCHIVE: &str = "LAB_IMAGE";
/// The name of the image with the tool, where there is no such archive.
const TOOL_IMAGE: &str = "lab-tool:1";
/// The capabilities of docs/CONTAINERS.md but for `BPF` and `PERFMON`, which older docker does not know: `SYS_ADMIN`
/// includes them.
const CAPABILITIES: [&str; 6] =
    ["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYSLOG"];
/// The address in whatever network a container is.
const ADDRESS: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";

/// A running dockerd; its containers and it end on drop.
#[derive(Debug)]
pub struct Docker {
    child: Child,
    folder: PathBuf,
    had_plugins: bool,
}

impl Docker {
    /// Starts it, and makes the image [`IMAGE`].
    pub fn start(world: &World<'_>) -> Result<Self> {
        let folder = world.folder().join("docker");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("daemon.json"), "{}")?;
        let noise = File::create(folder.join("output"))?;
        let mut command = Command::new("unshare");
        // What it mounts is gone with it.
        command.args(["--mount", "--propagation", "private", "dockerd", "--log-level", "warn"]);
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "docker.pid"),
        ] {
            command.arg(option).arg(folder.join(name));
        }
        // Scenarios run side by side: by its address alone a container is found only if no other one has it.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        command.args(["--bip", &format!("172.30.{number}.1/24")]);
        command.args(["--default-address-pool", &format!("base=172.31.{number}.0/24,size=26")]);
        command.arg("--host").arg(format!("unix://{}/docker.sock", folder.display()));
        command.stdin(Stdio::null()).stdout(noise.try_clone()?).stderr(noise);
        let had_plugins = fs::exists(PLUGINS)?;
        let child = world.ng().run(|| command.spawn().context("start dockerd"))?;
        let docker = Self { child, folder, had_plugins };
        let pid = docker.child.id();
        wait_until("dockerd", Duration::from_secs(30), || docker.run(&["version"]).is_ok() || !alive(pid))?;
        docker.run(&["version"]).with_context(|| docker.output())?;
        let archive = image::archive(&docker.folder)?.display().to_string();
        docker.run(&import(&archive))?;
        Ok(docker)
    }

    /// A command of docker.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        run(Command::new("docker").env("DOCKER_HOST", self.socket()).args(args))
    }

    fn socket(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.display())
    }

    /// Arguments of docker that run the tool in a container of this name, as docs/CONTAINERS.md has it.
    pub fn run_tool(&self, tool: &Path, name: &str) -> Result<Vec<String>> {
        let image = self.tool_image(tool)?;
        let (socket, capabilities) =
            (self.socket(), CAPABILITIES.iter().flat_map(|name| ["--cap-add", name]));
        let how = ["-H", &socket, "run", "--rm", "--name", name, "--pid=host", "--read-only"];
        let confined = ["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"];
        let all = how.into_iter().chain(confined).chain(["--cap-drop", "ALL"]).chain(capabilities);
        Ok(all.chain([image.as_str()]).map(str::to_owned).collect())
    }

    /// Brings an image with the tool here; returns its name.
    fn tool_image(&self, tool: &Path) -> Result<String> {
        if let Ok(archive) = env::var(TOOL_ARCHIVE) {
            let said = self.run(&["load", "-i", &archive])?;
            let name = said.trim().strip_prefix("Loaded image: ").with_context(|| said.clone())?;
            return Ok(name.to_owned());
        }
        let archive = image::archive_of(tool, &self.folder)?.display().to_string();
        self.run(&["import", "-c", r#"ENTRYPOINT ["/upstream-trace"]"#, &archive, TOOL_IMAGE])?;
        Ok(TOOL_IMAGE.to_owned())
    }

    /// Runs nginx in a container of this name, with a file of the world as its configuration; gives the container's
    /// address once nginx listens there.
    pub fn nginx(&self, world: &World<'_>, name: &str, config: &str, args: &[&str]) -> Result<String> {
        let file = format!("{name}.conf");
        world.file(&file, config)?;
        let mount = format!("{}:/etc/nginx/nginx.conf:ro", world.folder().join(file).display());
        self.run(&[&["run", "-d", "--name", name, "-v", &mount], args, &[IMAGE]].concat())?;
        self.address(world, name)
    }

    /// The address of a container, once nginx listens there.
    pub fn address(&self, world: &World<'_>, name: &str) -> Result<String> {
        let ip = self.inspect(name, ADDRESS)?;
        let address = format!("{ip}:80");
        let up = || answers(world, &address);
        wait_until(name, Duration::from_secs(10), up).with_context(|| self.logs(name))?;
        Ok(address)
    }

    /// The first process of a container.
    pub fn pid(&self, name: &str) -> Result<u32> {
        self.inspect(name, "{{.State.Pid}}")?.parse().context("a pid")
    }

    /// What the container has written.
    #[must_use]
    pub fn logs(&self, name: &str) -> String {
        let output = Command::new("docker").env("DOCKER_HOST", self.socket()).args(["logs", name]).output();
        output
            .map(|out| String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
            .unwrap_or_default()
    }

    fn inspect(&self, name: &str, format: &str) -> Result<String> {
        Ok(first_line(&self.run(&["inspect", "-f", format, name])?)?.to_owned())
    }

    fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let all = self.run(&["ps", "-aq"]).unwrap_or_default();
        for id in all.split_whitespace() {
            let _already_gone = self.run(&["rm", "-f", id]);
        }
        let _already_gone = signal(self.child.id(), Signal::SIGTERM);
        let pid = self.child.id();
        if wait_until("dockerd to end", Duration::from_secs(20), || !alive(pid)).is_err() {
            let _already_gone = self.child.kill();
        }
        let _already_gone = self.child.wait();
        remove_groups("docker");
        if !self.had_plugins {
            let _in_use = fs::remove_dir(format!("{PLUGINS}/plugins"));
            let _in_use = fs::remove_dir(PLUGINS);
        }
    }
}
