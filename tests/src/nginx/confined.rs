//! An nginx that may do less than root may.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// `socket()` of these families fails with EAFNOSUPPORT in this thread and in what it starts.
pub(super) fn refuse(families: &[i32]) -> Result<()> {
    const EAFNOSUPPORT: u32 = 97;
    if families.is_empty() {
        return Ok(());
    }
    let one = |family: &i32| {
        let value = u64::try_from(*family)?;
        let same = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        Ok(SeccompRule::new(vec![same])?)
    };
    let rules = families.iter().map(one).collect::<Result<Vec<_>>>()?;
    let filter = SeccompFilter::new(
        BTreeMap::from([(nix::libc::SYS_socket, rules)]),
        SeccompAction::Allow,
        SeccompAction::Errno(EAFNOSUPPORT),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?)
}

/// Starts a program, without some capabilities if any are named.
pub(super) fn command(program: &Path, capabilities: &str) -> Command {
    if capabilities.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={capabilities}")).arg(format!("--inh-caps={capabilities}"));
    command.arg(program);
    command
}
