//! A world: namespaces, an nginx, its origins, and firewalls.

mod answer;
mod builder;
pub mod software;

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::Socket;

pub use answer::Answer;
pub use builder::WorldBuilder;

use crate::client::{Connection, Reply};
use crate::lab::Lab;
use crate::netns::Namespace;
use crate::nginx::Nginx;
use crate::origin::{Origin, OriginProcess, Script, TlsOrigin, fill};
use crate::topology::Topology;
use crate::util::wait_until;
use crate::world::software::Software;

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _already_gone = fs::remove_dir_all(&self.0);
    }
}

/// A world that runs; everything in it ends on drop, in the order of its fields.
#[derive(Debug)]
pub struct World<'lab> {
    lab: &'lab Lab,
    origins: RefCell<Vec<Rc<Origin>>>,
    pub(crate) kept: RefCell<Vec<Software>>,
    nginx: Nginx,
    pipe: Option<File>,
    topology: Topology,
    folder: Folder,
}

impl<'lab> World<'lab> {
    /// The lab it belongs to.
    #[must_use]
    pub fn lab(&self) -> &'lab Lab {
        self.lab
    }

    /// Its nginx.
    #[must_use]
    pub fn nginx(&self) -> &Nginx {
        &self.nginx
    }

    /// The namespace of nginx.
    #[must_use]
    pub fn ng(&self) -> &Namespace {
        &self.topology.ng
    }

    /// The namespace of remote origins.
    #[must_use]
    pub fn up(&self) -> &Namespace {
        &self.topology.up
    }

    /// The namespace of the router.
    pub fn router(&self) -> Result<&Namespace> {
        self.topology.router.as_ref().context("this world has no router")
    }

    /// Reads the blocked pipe empty, and to its end from then on.
    pub fn unblock(&self) -> Result<()> {
        let mut pipe = self.pipe.as_ref().context("this world has no pipe")?;
        let mut rest = [0; 4096];
        while pipe.read(&mut rest).is_ok_and(|count| count > 0) {}
        Ok(())
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// `unix:NAME` with the path of the world's folder, as nginx and the tool write it.
    #[must_use]
    pub fn unix(&self, name: &str) -> String {
        self.address(&format!("unix:{name}"))
    }

    /// An address as nginx and the tool write it.
    #[must_use]
    pub fn address(&self, address: &str) -> String {
        in_folder(&self.folder.0, address)
    }

    /// Where an address belongs: 127.0.0.1, `[::1]`, .1 and unix sockets beside nginx, others in `up`.
    #[must_use]
    pub fn home(&self, address: &str) -> &Namespace {
        let beside = ["127.", "[::1]", "10.99.0.1:", "[fd99::1]", "unix:"]
            .iter()
            .any(|start| address.starts_with(start));
        if beside { self.ng() } else { self.up() }
    }

    /// Starts an origin where its address belongs.
    pub fn origin(&self, address: &str, script: Script) -> Result<Rc<Origin>> {
        let origin = Rc::new(Origin::start(self.home(address), &in_folder(&self.folder.0, address), script)?);
        self.origins.borrow_mut().push(Rc::clone(&origin));
        Ok(origin)
    }

    /// Starts an origin that is a process of its own: reads requests, never answers.
    pub fn origin_process(&self, address: &str) -> Result<OriginProcess> {
        OriginProcess::start(self.home(address), &in_folder(&self.folder.0, address))
    }

    /// The same in another namespace; for unix sockets, which are reached from everywhere.
    pub fn origin_process_in(&self, namespace: &Namespace, address: &str) -> Result<OriginProcess> {
        OriginProcess::start(namespace, &in_folder(&self.folder.0, address))
    }

    /// Starts an origin that is a process with two children that serve as above.
    pub fn origin_processes(&self, address: &str) -> Result<OriginProcess> {
        OriginProcess::start_several(self.home(address), &in_folder(&self.folder.0, address))
    }

    /// Fills the queue of a listener from its own host, until no more fit.
    pub fn fill(&self, address: &str) -> Result<Vec<Socket>> {
        fill(self.home(address), &in_folder(&self.folder.0, address))
    }

    /// Starts `openssl s_server` where its address belongs, with these further arguments. Its certificate is that of
    /// [`WorldBuilder::certificate`].
    pub fn tls_origin(&self, address: &str, args: &str) -> Result<TlsOrigin> {
        TlsOrigin::start(self.home(address), &self.folder.0, address, args)
    }

    /// Ends an origin; its handle must be the last one.
    pub fn stop(&self, origin: Rc<Origin>) -> Result<()> {
        self.origins.borrow_mut().retain(|other| !Rc::ptr_eq(other, &origin));
        Rc::into_inner(origin).context("the origin is still in use").map(drop)
    }

    /// A client's connection to nginx.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.ng())
    }

    /// A client's connection to an nginx at another address, from where nginx is.
    pub fn connect_to(&self, address: &str) -> Result<Connection> {
        Connection::open_to(self.ng(), address)
    }

    /// Gets a page from an nginx at another address.
    pub fn get_from(&self, address: &str, path: &str) -> Answer<'_> {
        let reply = self.connect_to(address).and_then(|mut connection| {
            connection.send("GET", path, &[], false)?;
            Ok(connection.receive())
        });
        if let Err(error) = &reply {
            self.lab.complain(format!("GET {path} from {address}: {error:#}"));
        }
        self.answer(reply.unwrap_or_default())
    }

    /// Sends a request and does not wait for its answer.
    pub fn begin(&self, method: &str, path: &str, body: &[u8]) -> Result<Connection> {
        let mut connection = self.connect()?;
        connection.send(method, path, body, false)?;
        Ok(connection)
    }

    /// Gets a page.
    pub fn get(&self, path: &str) -> Answer<'_> {
        self.request("GET", path, &[])
    }

    /// Posts a body of this size.
    pub fn post(&self, path: &str, size: usize) -> Answer<'_> {
        self.request("POST", path, &vec![b'x'; size])
    }

    fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer<'_> {
        let reply = self.begin(method, path, body).map(|mut connection| connection.receive());
        if let Err(error) = &reply {
            self.lab.complain(format!("{method} {path}: {error:#}"));
        }
        self.answer(reply.unwrap_or_default())
    }

    /// Gives a reply its checks.
    pub fn answer(&self, reply: Reply) -> Answer<'_> {
        Answer::new(self, reply)
    }

    /// nginx's error.log.
    #[must_use]
    pub fn error_log(&self) -> String {
        fs::read_to_string(self.folder().join("error.log")).unwrap_or_default()
    }

    /// nginx's access.log: `status|upstream status|upstream address|bytes sent to it|request`.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.folder().join("access.log")).unwrap_or_default()
    }

    /// Checks that error.log has a line with this text.
    pub fn nginx_says(&self, text: &str) {
        self.lab.check(self.error_log().contains(text), || format!("nginx did not say: {text}"));
    }

    /// Checks that error.log has no complaint.
    pub fn nginx_is_silent(&self) {
        let log = self.error_log();
        let spoke = ["[error]", "[crit]", "[alert]", "[emerg]"].iter().any(|level| log.contains(level));
        self.lab.check(!spoke, || "nginx complains, and should not".into());
    }

    /// Waits for a line in access.log that begins so.
    pub fn wait_access(&self, begin: &str) {
        let limit = Duration::from_secs(5);
        let found =
            wait_until(begin, limit, || self.access_log().lines().any(|line| line.starts_with(begin)));
        self.lab.check(found.is_ok(), || format!("no line in access.log begins with {begin}"));
    }

    /// Does nothing for a while.
    pub fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.lab.tabulate(|row| row.nginx(&self.error_log()));
        self.lab.note("nginx's error.log", &self.error_log());
        self.lab.note("nginx's access.log", &last_lines(&self.access_log(), 20));
    }
}

fn in_folder(folder: &Path, address: &str) -> String {
    match address.strip_prefix("unix:") {
        Some(name) if !name.starts_with('/') => format!("unix:{}/{name}", folder.display()),
        _ => address.to_owned(),
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
