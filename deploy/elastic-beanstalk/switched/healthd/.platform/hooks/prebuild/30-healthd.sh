#!/bin/bash
# Inlet writes here what the health agent reads.
set -euo pipefail
. host/instance.sh

install -d -m 0755 -o "$container_uid" -g "$container_uid" "$root/var/log/nginx/healthd"
