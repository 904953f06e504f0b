#!/bin/bash
# Fetches the API keys now and every minute. An instance that never got any fails, loudly.
set -euo pipefail
. host/instance.sh

install -m 0755 host/inlet-keys.sh "$root/opt/inlet/inlet-keys.sh"
install -d -m 0755 "$root/etc/systemd/system"
install -m 0644 host/inlet-keys.service host/inlet-keys.timer "$root/etc/systemd/system/"
"$root/opt/inlet/inlet-keys.sh" || [[ -e $data/keys ]] ||
  fail "there are no API keys: ./dev deploy keys --name ENVIRONMENT FILE"
systemctl daemon-reload
systemctl enable inlet-keys.timer
systemctl restart inlet-keys.timer
