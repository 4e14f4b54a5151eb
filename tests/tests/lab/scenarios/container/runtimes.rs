//! Containers of podman, and pods of Kubernetes with the files that containerd writes.

use upstream_trace_tests::Scenario;
use upstream_trace_tests::container::{Journald, Pod, Podman};
use upstream_trace_tests::pace::patient;
use upstream_trace_tests::util::ms;

use super::faults::{IN_IMAGE, REFUSED, V4, config, eight_dropped_here};

pub(crate) const ALL: &[Scenario] = &[
    ("container/podman-eight-faults", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let podman = Podman::start(&world)?;
        let address = "127.0.0.1:8090";
        podman.nginx(&world, "pweb", &config(address, IN_IMAGE), address, "k8s-file")?;
        eight_dropped_here(&world, &["--container", "pweb"], address, ("podman", "pweb", "cri"))?;
        Ok(())
    }),
    ("container/podman-journal", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let journald = Journald::start(&world)?;
        let podman = Podman::start(&world)?;
        let address = "127.0.0.1:8090";
        podman.nginx(&world, "pjweb", &config(address, IN_IMAGE), address, "journald")?;
        eight_dropped_here(&world, &["--container", "pjweb"], address, ("podman", "pjweb", "journal"))?;
        drop(podman);
        drop(journald);
        Ok(())
    }),
    ("container/pod-with-cri-log", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let address = "127.0.0.1:8090";
        let pod = Pod::nginx(&world, &config(address, "stderr"), address)?;
        eight_dropped_here(&world, &["--pod", "shop/web-0"], address, ("containerd", "app", "cri"))?;
        let trace = world.trace_of(&["--pod", "shop/web-0"], &[])?;
        world.get_from(address, "/refused").status(502);
        trace.wait_line(patient(ms(5000)), |line| line.contains("port-refused"));
        pod.rotate()?;
        world.pause(ms(400));
        world.get_from(address, "/refused").status(502);
        let seen = trace.finish()?;
        for _ in 0..2 {
            let failure = seen.failure("port-refused").joined(REFUSED);
            failure.workload("pod", "web-0").workload("namespace", "shop");
        }
        seen.nothing_else();
        Ok(())
    }),
];
