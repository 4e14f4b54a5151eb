# 0: it is removed; 1: another version takes its place.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now upstream-trace.service || :
fi
