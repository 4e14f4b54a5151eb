//! What a process of nginx says of itself.

use std::fs::{self, File};
use std::io::Read;

use procfs::process::Process;

/// Longest command line that is looked at.
const CMDLINE: u64 = 4096;

/// What a process of nginx is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Starts and supervises the others.
    Master,
    /// Serves requests.
    Worker,
    /// A worker that finishes its requests after a reload or upgrade.
    Draining,
    /// Master and worker in one: `master_process off`.
    Single,
    /// Cache manager, cache loader or another helper; makes no upstream connections.
    Helper,
}

impl Role {
    /// It makes upstream connections.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Worker | Self::Draining | Self::Single)
    }
}

/// A process, as far as finding nginx needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Clock ticks from boot to its start.
    pub(super) started: u64,
    comm: String,
    /// Base name of the program file.
    program: String,
    program_path: String,
    arguments: Vec<String>,
}

impl Seen {
    pub(super) fn read(pid: u32) -> Option<Self> {
        let process = Process::new(i32::try_from(pid).ok()?).ok()?;
        let stat = process.stat().ok().filter(|stat| !matches!(stat.state, 'Z' | 'X' | 'x'))?;
        let path = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let path = path.to_string_lossy();
        let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
        let mut cmdline = Vec::new();
        File::open(format!("/proc/{pid}/cmdline")).ok()?.take(CMDLINE).read_to_end(&mut cmdline).ok()?;
        Some(Self {
            pid,
            parent: u32::try_from(stat.ppid).unwrap_or(0),
            started: stat.starttime,
            comm: stat.comm,
            program: path.rsplit('/').next().unwrap_or_default().to_owned(),
            program_path: path.to_owned(),
            arguments: split_arguments(&cmdline),
        })
    }

    /// A process that says this of itself and runs this program.
    pub(super) fn of_bytes(cmdline: &[u8], program: &str) -> Self {
        let (program_path, program) = (format!("/usr/sbin/{program}"), program.to_owned());
        Self {
            comm: program.clone(),
            program,
            program_path,
            arguments: split_arguments(cmdline),
            ..Self::default()
        }
    }

    pub(super) fn role(&self) -> Option<Role> {
        // php-fpm has a "master process", too.
        let titled =
            self.title().split_once(": ").filter(|(program, _)| is_nginx(program) || is_nginx(&self.program));
        titled.and_then(|(_, title)| role_of_title(title)).or_else(|| {
            let runs = is_nginx(&self.program) && !self.arguments.iter().any(|argument| is_command(argument));
            runs.then_some(Role::Single)
        })
    }

    fn title(&self) -> &str {
        self.arguments.first().map_or("", String::as_str)
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.comm == name
            || self.program == name
            || self.title().split_once(": ").is_some_and(|(program, _)| program == name)
            || self.title().split(' ').next().and_then(|path| path.rsplit('/').next()) == Some(name)
    }

    /// The command line in one line; of a kernel thread its name.
    pub(super) fn describe(&self) -> String {
        let line = if self.arguments.is_empty() { self.comm.clone() } else { self.arguments.join(" ") };
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
    }

    /// The argument of `-c`, also where the title of a master holds all arguments in one.
    pub(super) fn config(&self) -> Option<String> {
        let words: Vec<&str> =
            self.arguments.iter().flat_map(|argument| argument.split_whitespace()).collect();
        let at = words.iter().position(|word| word.starts_with("-c"))?;
        let attached = words[at].trim_start_matches("-c");
        let path = if attached.is_empty() { words.get(at + 1).copied()? } else { attached };
        Some(path.to_owned())
    }

    pub(super) fn version(&self) -> Option<String> {
        let titled =
            self.title().split_whitespace().find_map(|word| word.strip_prefix('v').filter(|v| is_version(v)));
        let in_path = || {
            let mut parts = self.program_path.split('/').flat_map(|part| part.split('-'));
            parts.find(|part| is_version(part))
        };
        titled.or_else(in_path).map(str::to_owned)
    }
}

/// `1.25.3`: three numbers.
fn is_version(text: &str) -> bool {
    let mut numbers = text.split('.');
    numbers
        .by_ref()
        .take(3)
        .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        .count()
        == 3
        && numbers.next().is_none()
}

/// nginx and what is made of it, by the name of the program file.
fn is_nginx(program: &str) -> bool {
    ["nginx", "nginx-debug", "openresty", "tengine", "angie", "freenginx"].contains(&program)
        || program.strip_prefix("nginx-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Options with which the program only checks something or signals another one.
fn is_command(argument: &str) -> bool {
    ["-s", "-t", "-T", "-v", "-V", "-h", "-?"].iter().any(|option| argument.starts_with(option))
}

fn split_arguments(cmdline: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(cmdline);
    let text = text.trim_end_matches(['\0', ' ']);
    if text.is_empty() {
        return Vec::new();
    }
    text.split('\0').map(|argument| argument.trim_end().to_owned()).collect()
}

/// What a process says of itself, after the name of the program.
fn role_of_title(title: &str) -> Option<Role> {
    if title.starts_with("master process") {
        Some(Role::Master)
    } else if title.starts_with("worker process") {
        Some(if title.contains("is shutting down") { Role::Draining } else { Role::Worker })
    } else if ["cache manager", "cache loader", "privileged agent"].iter().any(|name| title.starts_with(name))
    {
        Some(Role::Helper)
    } else {
        None
    }
}

/// What process `pid` is for; `None` if it is gone or no nginx.
#[must_use]
pub fn role_of(pid: u32) -> Option<Role> {
    Seen::read(pid)?.role()
}

/// The process that started process `pid`.
#[must_use]
pub fn parent_of(pid: u32) -> Option<u32> {
    Some(Seen::read(pid)?.parent)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A process with these arguments, separated by `|`.
    pub(in crate::nginx) fn seen(pid: u32, parent: u32, program: &str, arguments: &str) -> Seen {
        Seen {
            pid,
            parent,
            comm: program.chars().take(15).collect(),
            program: program.to_owned(),
            program_path: format!("/usr/sbin/{program}"),
            arguments: split_arguments(arguments.replace('|', "\0").as_bytes()),
            ..Seen::default()
        }
    }

    fn role(program: &str, arguments: &str) -> Option<Role> {
        seen(1, 0, program, arguments).role()
    }

    #[test]
    fn titles_tell_the_role() {
        assert_eq!(role("nginx", "nginx: master process /usr/sbin/nginx -g daemon off;"), Some(Role::Master));
        assert_eq!(role("nginx", "nginx: worker process"), Some(Role::Worker));
        assert_eq!(role("nginx", "nginx: worker process||||"), Some(Role::Worker));
        assert_eq!(role("nginx", "nginx: worker process is shutting down"), Some(Role::Draining));
        assert_eq!(role("nginx", "nginx: cache manager process"), Some(Role::Helper));
        assert_eq!(role("nginx", "nginx: cache loader process"), Some(Role::Helper));
        assert_eq!(role("angie", "angie: worker process #1"), Some(Role::Worker));
        assert_eq!(role("openresty", "nginx: master process openresty"), Some(Role::Master));
        assert_eq!(role("", "nginx: worker process"), Some(Role::Worker), "program file not readable");
    }

    #[test]
    fn untitled_processes() {
        assert_eq!(role("nginx", "nginx|-g|master_process off;"), Some(Role::Single));
        assert_eq!(role("nginx", "nginx|-s|reload"), None);
        assert_eq!(role("nginx", "nginx|-t"), None);
        assert_eq!(role("nginx-ingress-controller", "/nginx-ingress-controller"), None);
        assert_eq!(role("php-fpm8.2", "php-fpm: master process (/etc/php-fpm.conf)"), None);
        assert_eq!(role("sshd", "sshd: someone [priv]"), None);
        assert_eq!(role("bash", "grep me: worker process"), None);
        assert_eq!(role("kthreadd", ""), None);
    }

    #[test]
    fn names() {
        let worker = seen(1, 0, "openresty", "nginx: worker process");
        assert!(worker.has_name("nginx") && worker.has_name("openresty") && !worker.has_name("ngin"));
        assert!(seen(1, 0, "x", "/opt/nginx/sbin/nginx|-g|x").has_name("nginx"));
        assert!(!seen(1, 0, "vi", "vi|nginx").has_name("nginx"));
    }

    #[test]
    fn configuration_and_version() {
        let config = |arguments| seen(1, 0, "nginx", arguments).config();
        assert_eq!(config("nginx: master process nginx -c /etc/a.conf").as_deref(), Some("/etc/a.conf"));
        assert_eq!(config("nginx|-c/etc/b.conf").as_deref(), Some("/etc/b.conf"));
        assert_eq!(config("nginx|-c"), None);
        assert_eq!(config("nginx: master process nginx"), None);
        let version = |path: &str| Seen { program_path: path.to_owned(), ..Seen::default() }.version();
        assert_eq!(version("/opt/nginx-1.25.3/sbin/nginx").as_deref(), Some("1.25.3"));
        assert_eq!(version("/opt/nginx/1.25.3/sbin/nginx").as_deref(), Some("1.25.3"));
        assert_eq!(version("/usr/sbin/nginx"), None);
        let angie = seen(1, 0, "angie", "angie: master process v1.4.0 #1 [angie]");
        assert_eq!(angie.version().as_deref(), Some("1.4.0"));
    }

    #[test]
    fn odd_command_lines() {
        assert_eq!(split_arguments(b""), Vec::<String>::new());
        assert_eq!(split_arguments(b"\0\0 \0"), Vec::<String>::new());
        assert_eq!(split_arguments(b"a\xff\0b  \0"), ["a\u{fffd}", "b"]);
    }
}
