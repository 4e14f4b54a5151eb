#!/usr/bin/busybox sh
# The guest's first process: prepares what a host has, runs the fault lab, says how that ended, and switches off.
# Its words go to the console; the lab's go to the second serial line, its results to the third.
export PATH=/usr/sbin:/usr/bin
busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1 </dev/null
busybox mkdir -p /proc /sys /run /tmp /dev/shm /dev/pts
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t tmpfs run /run
busybox mount -t tmpfs tmp /tmp
busybox mount -t devpts pts /dev/pts
busybox mount -t tracefs trace /sys/kernel/tracing
busybox mount -t cgroup2 cgroup /sys/fs/cgroup
# nginx in a container logs to these.
busybox ln -s /proc/self/fd /dev/fd
for number in 0:stdin 1:stdout 2:stderr; do
    busybox ln -s "/proc/self/fd/${number%:*}" "/dev/${number#*:}"
done
for applet in $(busybox --list); do
    [ -e "/usr/bin/$applet" ] || [ -e "/usr/sbin/$applet" ] || busybox ln -s busybox "/usr/bin/$applet"
done
busybox hostname guest
# As services and logins of a Debian host may: the lab opens more than the kernel's 1024.
ulimit -n 65536
ip link set lo up
while read -r module; do
    insmod "/modules/$module.ko" || echo "upstream-trace-vm: module $module was not loaded"
done </modules/order
echo "upstream-trace-vm: ready $(uname -r)"
. /run-lab
echo "upstream-trace-vm: done $?"
poweroff -f
