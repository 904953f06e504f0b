#!/bin/bash
# Inlet listens on port 80 of the host's network, as a user without any capability.
set -euo pipefail
. host/instance.sh

install -d -m 0755 "$root/etc/sysctl.d" "$root/var/log/nginx/healthd"
cat >"$root/etc/sysctl.d/60-inlet.conf" <<'TEXT'
net.ipv4.ip_unprivileged_port_start = 80
net.core.somaxconn = 4096
TEXT
sysctl -q -p "$root/etc/sysctl.d/60-inlet.conf"
