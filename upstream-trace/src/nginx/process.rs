//! What a process of nginx says of itself.

use crate::host::{self, CommandLine, Executable, Stat};

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
    pub(super) stat: Stat,
    /// Who started it; `None` if that is not known.
    pub(super) uid: Option<u32>,
    /// The file that it runs; `None` if that may not be looked at.
    pub(super) executable: Option<Executable>,
    pub(super) cmdline: CommandLine,
}

impl Seen {
    pub(super) fn read(pid: u32) -> Option<Self> {
        let (stat, cmdline) = (host::stat(pid)?, CommandLine::read(pid)?);
        Some(Self { pid, stat, uid: None, executable: host::executable(pid), cmdline })
    }

    /// With the user who started it.
    pub(super) fn with_uid(self) -> Self {
        Self { uid: host::real_uid(self.pid), ..self }
    }

    /// Its program is an nginx, or that of its master.
    pub(super) fn belongs_to(&self, master: &Self) -> bool {
        let named_alike = !master.program().is_empty() && self.program() == master.program();
        let unknown = self.executable.is_none() && master.executable.is_none();
        self.runs_nginx() || self.runs_same(master) || named_alike || unknown
    }

    /// It was forked by `parent` and has not become anything of its own yet: same program, same title, and the stack
    /// that `execve` would have chosen anew.
    pub(super) fn is_fork_of(&self, parent: &Self) -> bool {
        self.stat.parent == parent.pid
            && self.runs_same(parent)
            && self.cmdline == parent.cmdline
            && self.stat.stack == parent.stat.stack
    }

    /// A process that says this of itself and runs this program.
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn of_bytes(cmdline: &[u8], program: &str) -> Self {
        let executable = Executable { path: format!("/usr/sbin/{program}"), ..Executable::default() };
        Self {
            stat: Stat { comm: program.chars().take(15).collect(), ..Stat::default() },
            uid: Some(0),
            executable: Some(executable).filter(|_| !program.is_empty()),
            cmdline: CommandLine::parse(cmdline),
            ..Self::default()
        }
    }

    /// Base name of the program file; empty if it is not known.
    pub(super) fn program(&self) -> &str {
        self.executable.as_ref().map_or("", Executable::name)
    }

    /// Its program is an nginx, by the name of its file.
    pub(super) fn runs_nginx(&self) -> bool {
        is_nginx(self.program())
    }

    /// Both run the same file.
    pub(super) fn runs_same(&self, other: &Self) -> bool {
        match (&self.executable, &other.executable) {
            (Some(one), Some(other)) => one.is_same_file(other),
            _ => false,
        }
    }

    pub(super) fn role(&self) -> Option<Role> {
        // php-fpm has a "master process", too.
        let titled =
            self.title().split_once(": ").filter(|(program, _)| is_nginx(program) || self.runs_nginx());
        titled.and_then(|(_, title)| role_of_title(title)).or_else(|| {
            let runs =
                self.runs_nginx() && !self.cmdline.arguments().iter().any(|argument| is_command(argument));
            runs.then_some(Role::Single)
        })
    }

    fn title(&self) -> &str {
        self.cmdline.title()
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.stat.comm == name
            || self.program() == name
            || self.title().split_once(": ").is_some_and(|(program, _)| program == name)
            || self.title().split(' ').next().and_then(|path| path.rsplit('/').next()) == Some(name)
    }

    /// The command line in one line; of a kernel thread its name.
    pub(super) fn describe(&self) -> String {
        let arguments = self.cmdline.arguments();
        let line = if arguments.is_empty() { self.stat.comm.clone() } else { arguments.join(" ") };
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
    }

    /// The argument of `-c`, if it names a file.
    pub(super) fn config(&self) -> Option<String> {
        self.cmdline.option('c').filter(|path| !path.is_empty())
    }

    pub(super) fn version(&self) -> Option<String> {
        let titled =
            self.title().split_whitespace().find_map(|word| word.strip_prefix('v').filter(|v| is_version(v)));
        let in_path = || {
            let path = &self.executable.as_ref()?.path;
            path.split('/').flat_map(|part| part.split('-')).find(|part| is_version(part))
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
    Some(host::stat(pid)?.parent)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A process with these arguments, separated by `|`.
    pub(in crate::nginx) fn seen(pid: u32, parent: u32, program: &str, arguments: &str) -> Seen {
        let mut seen = Seen::of_bytes(arguments.replace('|', "\0").as_bytes(), program);
        (seen.pid, seen.stat.parent) = (pid, parent);
        seen
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
        let version = |path: &str| {
            let executable = Some(Executable { path: path.to_owned(), ..Executable::default() });
            Seen { executable, ..Seen::default() }.version()
        };
        assert_eq!(version("/opt/nginx-1.25.3/sbin/nginx").as_deref(), Some("1.25.3"));
        assert_eq!(version("/opt/nginx/1.25.3/sbin/nginx").as_deref(), Some("1.25.3"));
        assert_eq!(version("/usr/sbin/nginx"), None);
        let angie = seen(1, 0, "angie", "angie: master process v1.4.0 #1 [angie]");
        assert_eq!(angie.version().as_deref(), Some("1.4.0"));
    }
}
