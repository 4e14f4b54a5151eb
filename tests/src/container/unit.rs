//! A unit as systemd runs one, made by hand: nginx in a control group with the unit's name, its stdout and stderr streams
//! of the journal.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use super::{answers, tree};
use crate::util::{signal, wait_until};
use crate::world::World;

/// What nginx writes of its own beyond its log is in the folder of the world.
const OWN: (&str, &str) = ("/tmp/", "@folder@/");

/// A unit with nginx as its main process; ends on drop.
#[derive(Debug)]
pub struct Unit {
    main: Child,
    group: PathBuf,
}

impl Unit {
    /// Runs nginx with this configuration in a unit of this name, until it listens at this address. Its output goes to the
    /// journal, which must run.
    pub fn nginx(world: &World<'_>, name: &str, config: &str, address: &str) -> Result<Self> {
        Self::start(world, name, config, address, "exec systemd-cat --identifier=nginx")
    }

    /// The same with nowhere for its output to go.
    pub fn silent_nginx(world: &World<'_>, name: &str, config: &str, address: &str) -> Result<Self> {
        Self::start(world, name, config, address, "exec")
    }

    fn start(world: &World<'_>, name: &str, config: &str, address: &str, how: &str) -> Result<Self> {
        let file = format!("{name}.conf");
        world.file(&file, &config.replace(OWN.0, OWN.1))?;
        let script = format!("{how} nginx -c @folder@/{file} -e stderr -g 'daemon off;'");
        Self::run(world, name, &script, address)
    }

    /// Runs a script in a unit of this name until something listens at this address. `@folder@` is the folder of the world.
    pub fn run(world: &World<'_>, name: &str, script: &str, address: &str) -> Result<Self> {
        let group = tree()?.join("system.slice").join(name);
        fs::create_dir_all(&group).with_context(|| format!("make {}", group.display()))?;
        let script = script.replace("@folder@", &world.folder().display().to_string());
        let script = format!("echo $$ > {}/cgroup.procs && {script}", group.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let main = world.ng().run(|| command.spawn().context("start a unit"))?;
        let unit = Self { main, group };
        wait_until("the unit's nginx", Duration::from_secs(10), || answers(world, address))?;
        Ok(unit)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _already_gone = self.main.kill();
        let _already_gone = self.main.wait();
        let members = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _already_gone = signal(pid, Signal::SIGKILL);
        }
        let gone = || fs::remove_dir(&self.group).is_ok();
        let _left_over = wait_until("the unit's processes to end", Duration::from_secs(5), gone);
        // Where systemd runs others are in it.
        let _in_use = self.group.parent().map(fs::remove_dir);
    }
}
