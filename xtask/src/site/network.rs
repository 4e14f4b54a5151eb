//! Its network: nginx on one side, most of its upstreams on the other.

use anyhow::Result;

use super::fault::{FIREWALL_PORT, NGINX_ADDRESS, UPSTREAM_ADDRESS};
use crate::process;
use crate::sandbox::{Namespace, ip};

/// Two namespaces with a cable between them: nginx's, and that of the upstreams.
pub(crate) fn pair() -> Result<(Namespace, Namespace)> {
    let (nginx, upstreams) = (Namespace::new("ut-demo-ng")?, Namespace::new("ut-demo-up")?);
    let (near, far) = (nginx.name.as_str(), upstreams.name.as_str());
    ip(&[
        "link", "add", "name", "veth0", "netns", near, "type", "veth", "peer", "name", "veth0", "netns", far,
    ])?;
    plug(&nginx, NGINX_ADDRESS)?;
    plug(&upstreams, UPSTREAM_ADDRESS)?;
    Ok((nginx, upstreams))
}

fn plug(namespace: &Namespace, address: &str) -> Result<()> {
    let name = namespace.name.as_str();
    ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "veth0"])?;
    ip(&["-n", name, "link", "set", "veth0", "up"])
}

/// A rule that drops what goes to one of the upstreams.
pub(crate) fn add_firewall(inside: &Namespace) -> Result<()> {
    let rules = format!(
        "add table inet demo; \
         add chain inet demo output {{ type filter hook output priority 0; }}; \
         add rule inet demo output tcp dport {FIREWALL_PORT} counter drop"
    );
    process::capture(inside.command("nft").arg(rules)).map(drop)
}
