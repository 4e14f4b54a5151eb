//! Finds nginx by the container, pod or unit that it runs in.
//!
//! Who names a container means whatever nginx is in it. Of all that run on a host, those count that root or the user of
//! this tool started, and those in containers, whose users are often others.

use std::collections::HashSet;

use super::{FindError, Found, describe_master, family, found, leads};
use crate::host;
use crate::host::container::Container;
use crate::nginx::Target;
use crate::nginx::process::Seen;

/// Where processes run.
pub(super) trait Place {
    /// The container of a process.
    fn container(&self, pid: u32) -> Option<Container>;

    /// A process runs in this unit.
    fn is_in_unit(&self, pid: u32, unit: &str) -> bool;
}

/// Where the processes of this host run.
pub(super) struct Places;

impl Place for Places {
    fn container(&self, pid: u32) -> Option<Container> {
        Container::of(pid)
    }

    fn is_in_unit(&self, pid: u32, unit: &str) -> bool {
        host::is_in_unit(pid, unit)
    }
}

/// Every master that is meant, with its workers.
pub(super) fn by_workload(
    target: &Target,
    all: &[Seen],
    user: u32,
    places: &impl Place,
) -> Result<Vec<Found>, FindError> {
    let masters = masters(all);
    let meant = |seen: &&Seen| match target {
        Target::Pid(pid) => seen.pid == *pid,
        Target::Name(name) => seen.has_name(name),
        Target::Container(name) => places.container(seen.pid).is_some_and(|one| one.is_meant_by(name)),
        Target::Pod(name) => {
            places.container(seen.pid).and_then(|one| one.pod).is_some_and(|pod| pod.is_meant_by(name))
        }
        Target::Unit(name) => places.is_in_unit(seen.pid, name),
        Target::All => seen.uid == Some(0) || seen.uid == Some(user) || places.container(seen.pid).is_some(),
    };
    let chosen: Vec<&Seen> = masters.iter().copied().filter(meant).collect();
    let describe = |seen: &Vec<&Seen>| seen.iter().map(|seen| describe_master(seen)).collect();
    if chosen.is_empty() {
        return Err(FindError::NoneThere { target: target.clone(), masters: describe(&masters) });
    }
    if chosen.len() > 1 && matches!(target, Target::Container(_)) && !in_one_container(&chosen, places) {
        return Err(FindError::Several(describe(&chosen)));
    }
    Ok(chosen.iter().map(|master| found(Some(master), &family(master, all))).collect())
}

/// Masters, but for those that another one started: a binary upgrade is under way.
fn masters(all: &[Seen]) -> Vec<&Seen> {
    let genuine: Vec<&Seen> = all.iter().filter(|seen| seen.runs_nginx() && seen.role().is_some()).collect();
    let pids: HashSet<u32> = genuine.iter().map(|seen| seen.pid).collect();
    genuine.into_iter().filter(|seen| leads(seen) && !pids.contains(&seen.stat.parent)).collect()
}

/// A name may be that of a container of podman and of one of docker.
fn in_one_container(masters: &[&Seen], places: &impl Place) -> bool {
    let ids: HashSet<_> = masters.iter().map(|seen| places.container(seen.pid).map(|one| one.id)).collect();
    ids.len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::container::{ContainerLog, Pod};
    use crate::nginx::process::tests::seen;
    use upstream_trace_core::event::Runtime;

    /// 10 on the host, 20 in container `web`, 30 in a pod, 40 in another container `web`.
    struct Made {
        twice: bool,
    }

    impl Place for Made {
        fn container(&self, pid: u32) -> Option<Container> {
            let pod = (pid == 30).then(|| Pod {
                namespace: "shop".to_owned(),
                name: "web-0".to_owned(),
                container: "app".to_owned(),
            });
            let name = match pid {
                20 => "web",
                30 => "app",
                40 if self.twice => "web",
                40 => "other",
                _ => return None,
            };
            Some(Container {
                runtime: Runtime::Docker,
                id: format!("{pid:064x}"),
                name: Some(name.to_owned()),
                image: None,
                pod,
                log: ContainerLog::Unknown,
                monitor: 1,
            })
        }

        fn is_in_unit(&self, pid: u32, unit: &str) -> bool {
            pid == 10 && unit == "nginx"
        }
    }

    fn host() -> Vec<Seen> {
        let mut all = vec![seen(1, 0, "init", "init")];
        for pid in [10, 20, 30, 40] {
            all.push(seen(pid, 1, "nginx", "nginx: master process nginx"));
            all.push(seen(pid + 1, pid, "nginx", "nginx: worker process"));
        }
        for one in &mut all {
            one.uid = Some(if one.pid >= 30 { 101 } else { 0 });
        }
        all.push(seen(50, 1, "nginx", "nginx: master process theirs"));
        all.last_mut().unwrap().uid = Some(1000);
        all
    }

    fn chosen(target: &Target) -> Vec<u32> {
        let found = by_workload(target, &host(), 0, &Made { twice: false }).unwrap();
        found.iter().filter_map(|found| found.master).collect()
    }

    #[test]
    fn each_selector() {
        assert_eq!(chosen(&Target::Container("web".into())), [20]);
        assert_eq!(chosen(&Target::Container("app".into())), [30]);
        assert_eq!(chosen(&Target::Pod("shop/web-0".into())), [30]);
        assert_eq!(chosen(&Target::Unit("nginx".into())), [10]);
        assert_eq!(chosen(&Target::All), [10, 20, 30, 40]);
        let found =
            by_workload(&Target::Container("web".into()), &host(), 0, &Made { twice: false }).unwrap();
        assert_eq!(found[0].workers, [21]);
    }

    #[test]
    fn nothing_there_and_two_of_a_name() {
        let none = by_workload(&Target::Container("wbe".into()), &host(), 0, &Made { twice: false });
        let text = none.unwrap_err().to_string();
        assert!(text.starts_with("no nginx runs in container 'wbe'; these do run: --pid 10 ("), "{text}");
        let none = by_workload(&Target::All, &host()[..1], 0, &Made { twice: false }).unwrap_err();
        assert_eq!(none.to_string(), "no nginx runs on this host");
        let twice = by_workload(&Target::Container("web".into()), &host(), 0, &Made { twice: true });
        assert!(matches!(twice, Err(FindError::Several(masters)) if masters.len() == 2));
    }
}
