# What runs goes on as the new version.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -ge 1 ]; then
        systemctl try-restart upstream-trace.service || :
    fi
fi
# cargo-generate-rpm can list files only, and no package owns these.
if [ "$1" -eq 0 ]; then
    rmdir /usr/share/upstream-trace /usr/share/doc/upstream-trace /usr/share/licenses/upstream-trace 2>/dev/null || :
fi
