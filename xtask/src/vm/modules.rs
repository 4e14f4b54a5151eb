//! The guest's modules. A real host loads them when they are first used; the guest has them from the start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What the lab's networks and firewalls are made of. A kernel that has one of them built in, or not at all, has no
/// module of that name.
const WANTED: &[&str] = &[
    "crc32c_generic",
    "crc32c_intel",
    "crc32c_cryptoapi", // nf_tables asks for a checksum by name
    "veth",
    "dummy",
    "tun",
    "xfrm_user",
    "esp4",
    "bridge",
    "sch_netem",
    "sch_tbf",
    "sch_prio",
    "sch_ingress",
    "cls_matchall",
    "cls_u32",
    "act_gact",
    "act_police",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "unix_diag",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nfnetlink_log",
    "nf_log_syslog",
    "nft_counter",
    "nft_ct",
    "nft_reject",
    "nft_reject_inet",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_reject_netdev",
    "nft_reject_bridge",
    "nft_meta_bridge",
    "nft_compat",
    "nft_limit",
    "nft_log",
    "nft_fib",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_hash",
    "nft_numgen",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_objref",
    "nft_quota",
    "nft_connlimit",
    "nft_socket",
    "nft_chain_nat",
    "nft_set_hash",
    "nft_set_rbtree",
    "nft_set_bitmap",
    "x_tables",
    "ip_tables",
    "ip6_tables",
    "iptable_filter",
    "ip6table_filter",
    "iptable_raw",
    "iptable_mangle",
    "iptable_nat",
    "ipt_REJECT",
    "ip6t_REJECT",
    "xt_tcpudp",
    "xt_conntrack",
    "xt_comment",
    "xt_limit",
    "xt_mark",
    "xt_multiport",
    "xt_owner",
    "xt_statistic",
    "xt_addrtype",
    "xt_LOG",
    "xt_NFLOG",
    "xt_set",
    "xt_string",
    "xt_connlimit",
];

/// A module of a kernel.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name, with underscores.
    pub(super) name: String,
    /// The module, not compressed.
    pub(super) content: Vec<u8>,
}

/// The wanted modules and those that they need, in the order in which they can be loaded.
pub(super) fn in_order(folder: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    collect(&folder.join("kernel"), &mut files)?;
    ensure!(files.contains_key("veth"), "{} has no module veth", folder.display());
    let (mut done, mut order) = (BTreeSet::new(), Vec::new());
    for name in WANTED {
        load(name, &files, &mut done, &mut order)?;
    }
    Ok(order)
}

/// Appends a module after those that it needs.
fn load(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    done: &mut BTreeSet<String>,
    order: &mut Vec<Module>,
) -> Result<()> {
    let Some(file) = files.get(name) else { return Ok(()) };
    if !done.insert(name.to_owned()) {
        return Ok(());
    }
    let content = read(file)?;
    for needed in depends(&content) {
        load(&needed, files, done, order)?;
    }
    order.push(Module { name: name.to_owned(), content });
    Ok(())
}

/// All modules below a folder, by name.
fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((name, _)) = file.split_once(".ko") {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let unpack = match file.extension().unwrap_or_default().to_str() {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).with_context(|| format!("cannot read {}", file.display())),
    };
    let mut command = Command::new(unpack);
    command.arg("-dc").arg(file).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot start {unpack}"))?;
    ensure!(output.status.success(), "{unpack} cannot unpack {}", file.display());
    Ok(output.stdout)
}

/// The modules that this one needs: an entry `depends=a,b` of its section `.modinfo`, a list of texts.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let begin = module.windows(KEY.len()).position(|window| window == KEY);
    let text = begin.map(|begin| &module[begin + KEY.len()..]).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(text).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn needed_modules() {
        let module = b"\x7fELF\0license=GPL\0depends=nfnetlink,nf-tables\0name=x\0";
        assert_eq!(depends(module), ["nfnetlink", "nf_tables"]);
        assert!(depends(b"\0depends=\0name=x\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }
}
