#!/bin/bash
# What hooks and services on an instance share. Sourced, never run. INLET_* are set by tests.
# shellcheck disable=SC2034  # who sources it uses them

root=${INLET_ROOT:-}
data=$root/var/lib/inlet
data_device=/dev/sdf
container_uid=${INLET_CONTAINER_UID:-10001}
topic_property=ALARM_TOPIC_ARN

say() { printf 'inlet: %s\n' "$*"; }
fail() {
  say "$*" >&2
  exit 1
}

# Instance metadata, version 2 only.
metadata() {
  local base=${INLET_METADATA:-http://169.254.169.254}/latest token
  token=$(curl -sf -m 3 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "$base/api/token") || return 1
  curl -sf -m 3 -H "X-aws-ec2-metadata-token: $token" "$base/meta-data/$1"
}

get_config() { "$root/opt/elasticbeanstalk/bin/get-config" "$@"; }

# An environment property; nothing if there is none.
property() { get_config environment -k "$1" 2>/dev/null || true; }
