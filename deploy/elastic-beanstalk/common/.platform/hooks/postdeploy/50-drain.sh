#!/bin/bash
# Starts what waits for the end of the instance.
set -euo pipefail
. host/instance.sh

install -m 0755 host/inlet-drain.sh "$root/opt/inlet/inlet-drain.sh"
install -d -m 0755 "$root/etc/systemd/system"
install -m 0644 host/inlet-drain.service "$root/etc/systemd/system/inlet-drain.service"
systemctl daemon-reload
systemctl enable inlet-drain.service
# One that is at work is left at work.
case $(metadata autoscaling/target-lifecycle-state || true) in
  Terminated) systemctl start inlet-drain.service ;;
  *) systemctl restart inlet-drain.service ;;
esac
