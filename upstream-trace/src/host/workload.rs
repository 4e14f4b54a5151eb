//! The workload that a process belongs to: the unit of systemd or the container, from its control groups; and its
//! command.

use std::fs::File;
use std::io::Read;

use upstream_trace_core::event::Workload;

use super::CommandLine;
use super::container::Container;

/// Bytes of `/proc/PID/cgroup` that are looked at.
const MAX_CGROUP: u64 = 4_096;
/// Longest command, in characters.
const MAX_COMMAND: usize = 64;
/// Digits of a container's id, as its own tools show them.
const SHORT_ID: usize = 12;
/// What the name of a program that an interpreter runs ends with.
const SCRIPTS: [&str; 8] = [".py", ".js", ".mjs", ".rb", ".jar", ".php", ".pl", ".sh"];

/// Where a process runs; `None` if it is gone or in no control group of its own.
#[must_use]
pub fn workload(pid: u32) -> Option<Workload> {
    match Container::of(pid) {
        Some(container) => Some(Workload::Container(Box::new(container.named()))),
        None => by_cgroup(pid),
    }
}

/// A process runs in this unit of systemd, by its name with or without `.service`.
#[must_use]
pub fn is_in_unit(pid: u32, name: &str) -> bool {
    let Some(text) = cgroups(pid) else { return false };
    let fits = |part: &str| part == name || part.strip_suffix(".service") == Some(name);
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| path.split('/').any(fits))
}

fn by_cgroup(pid: u32) -> Option<Workload> {
    of(&cgroups(pid)?)
}

fn cgroups(pid: u32) -> Option<String> {
    let mut text = String::new();
    File::open(format!("/proc/{pid}/cgroup")).ok()?.take(MAX_CGROUP).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The program, and the script or module that it runs if that is sure to be one: whatever else is on a command line,
/// values of options and code above all, may be secret.
#[must_use]
pub fn command(pid: u32) -> Option<String> {
    shortened(&CommandLine::read(pid)?)
}

fn of(cgroups: &str) -> Option<Workload> {
    // The tree of version 2 first; that of systemd where it is still of version 1; then whatever limits it.
    let path = |wanted: &str| {
        cgroups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let is_it = if wanted == "0" { number == "0" } else { controllers == wanted };
            (is_it && path != "/").then_some(path)
        })
    };
    let found: Vec<_> =
        ["0", "name=systemd", "memory", "pids"].iter().filter_map(|tree| path(tree)).collect();
    found.iter().find_map(|path| named(path)).or_else(|| Some(Workload::Cgroup(shown(found.first()?))))
}

/// What made the group, by the form of its name.
fn named(path: &str) -> Option<Workload> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    let in_kubernetes = parts.iter().any(|part| part.starts_with("kubepods"));
    for (index, part) in parts.iter().enumerate().rev() {
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let id = name.rsplit('-').next().filter(|id| is_id(id)).map(|id| id[..SHORT_ID].to_owned());
        if let Some(id) = id {
            let parent = index.checked_sub(1).map_or("", |parent| parts[parent]);
            return Some(match name {
                _ if in_kubernetes => Workload::Kubernetes(id),
                _ if name.starts_with("docker-") || parent == "docker" => Workload::Docker(id),
                _ if name.starts_with("libpod-") || parent.starts_with("libpod") => Workload::Podman(id),
                _ => Workload::Cgroup(shown(path)),
            });
        }
        if let Some(name) = part.strip_prefix("lxc.payload.") {
            return Some(Workload::Lxc(shown(name)));
        }
        if index > 0 && parts[index - 1] == "lxc" {
            return Some(Workload::Lxc(shown(part)));
        }
    }
    let unit = parts.iter().rev().find(|part| part.ends_with(".service"));
    unit.map(|unit| Workload::Unit(shown(unit)))
}

/// 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(text: &str) -> String {
    text.chars().take(128).collect()
}

fn shortened(cmdline: &CommandLine) -> Option<String> {
    let first = cmdline.title();
    let program: String = if first.contains(": ") {
        // A title that a program gave itself, such as `php-fpm: pool www`, is one text.
        let words = first.split_whitespace().take_while(|word| !word.starts_with('-'));
        words.collect::<Vec<_>>().join(" ")
    } else {
        let path = first.split_whitespace().next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or(path).to_owned()
    };
    let script = script(&program, cmdline.arguments());
    let words: Vec<_> = std::iter::once(program.as_str()).chain(script).collect();
    let text: String = words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_COMMAND).collect();
    (!text.is_empty()).then_some(text)
}

/// The first argument that is a script or a module by its form, and not the value of an option that takes another.
fn script<'a>(program: &str, arguments: &'a [String]) -> Option<&'a str> {
    arguments.windows(2).find_map(|pair| {
        let [before, argument] = pair else { return None };
        let fits = match before.as_str() {
            "-jar" => is_script(argument) && is_path(argument),
            "-m" => program.starts_with("python") && is_path(argument) && !argument.contains('/'),
            option if option.starts_with('-') => false,
            _ => is_path(argument) && is_script(argument),
        };
        fits.then_some(argument.as_str())
    })
}

fn is_script(text: &str) -> bool {
    let begins = ["/", "./", "../"].iter().any(|begin| text.starts_with(begin));
    begins || SCRIPTS.iter().any(|end| text.ends_with(end))
}

fn is_path(text: &str) -> bool {
    !text.starts_with('-') && text.chars().all(|c| c.is_alphanumeric() || "/._-+@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn found(path: &str) -> Option<Workload> {
        of(&format!("0::{path}\n"))
    }

    #[test]
    fn units_and_containers_are_told_by_their_names() {
        let short = || "0123456789ab".to_owned();
        for (path, home) in [
            ("/system.slice/gunicorn.service".to_owned(), Workload::Unit("gunicorn.service".to_owned())),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service".to_owned(),
                Workload::Unit("app.service".to_owned()),
            ),
            (format!("/docker/{ID}"), Workload::Docker(short())),
            (format!("/system.slice/docker-{ID}.scope"), Workload::Docker(short())),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Workload::Podman(short())),
            (format!("/kubepods/burstable/pod1-2-3/{ID}"), Workload::Kubernetes(short())),
            (
                format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
                Workload::Kubernetes(short()),
            ),
            ("/lxc.payload.web/system.slice".to_owned(), Workload::Lxc("web".to_owned())),
            ("/lxc/web".to_owned(), Workload::Lxc("web".to_owned())),
            ("/something/else".to_owned(), Workload::Cgroup("/something/else".to_owned())),
        ] {
            assert_eq!(found(&path), Some(home), "{path}");
        }
        assert_eq!((found("/"), of(""), of("nonsense")), (None, None, None));
    }

    #[test]
    fn of_several_trees_the_one_that_says_most() {
        let text = format!(
            "12:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service\n"
        );
        assert_eq!(of(&text), Some(Workload::Unit("containerd.service".to_owned())));
        assert_eq!(
            of("4:memory:/limited\n1:name=systemd:/\n0::/\n"),
            Some(Workload::Cgroup("/limited".to_owned()))
        );
    }

    #[test]
    fn commands_without_what_may_be_secret() {
        for (cmdline, expected) in [
            ("/usr/bin/node\0/srv/app/server.js\0--key=secret\0", Some("node /srv/app/server.js")),
            ("python3\0-m\0http.server\08000\0", Some("python3 http.server")),
            ("php-fpm: pool www\0\0\0", Some("php-fpm: pool www")),
            ("gunicorn: worker [app]                 ", Some("gunicorn: worker [app]")),
            ("app\0postgres://user:password@host/\0", Some("app")),
            ("app\0--password\0hunter2\0", Some("app")),
            ("app\0--password\0/hunter2\0", Some("app")),
            ("app\0token\0", Some("app")),
            ("perl\0-e\0print 1\0", Some("perl")),
            ("python3\0-c\0import x\0", Some("python3")),
            ("python3\0app.py\0--key\0x\0", Some("python3 app.py")),
            ("java\0-Dpassword=x\0-jar\0/srv/app.jar\0", Some("java /srv/app.jar")),
            ("worker --password hunter2", Some("worker")),
            ("app: serves --password hunter2", Some("app: serves")),
            ("a\u{1b}[2J\0", Some("a[2J")),
            ("", None),
            ("\0", None),
        ] {
            let found = shortened(&CommandLine::parse(cmdline.as_bytes()));
            assert_eq!(found.as_deref(), expected, "{cmdline:?}");
        }
        assert!(command(std::process::id()).is_some() && command(u32::MAX).is_none());
        assert_eq!(workload(u32::MAX), None);
    }
}
