# What runs goes on as the new version.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart upstream-trace.service || :
    fi
fi
