#!/bin/bash
# The directories that the container writes to, and its configuration with the instance's id in it.
set -euo pipefail
. host/instance.sh

install -d -m 0700 -o "$container_uid" -g "$container_uid" "$data"
install -d -m 0755 -o "$container_uid" -g "$container_uid" "$root/var/log/inlet"
install -d -m 0755 "$root/etc/inlet" "$root/opt/inlet"
install -m 0644 host/instance.sh "$root/opt/inlet/instance.sh"

id=$(metadata instance-id) || fail "the metadata service does not say who this instance is"
sed "s/@INSTANCE_ID@/$id/" inlet.toml >"$root/etc/inlet/inlet.toml.new"
chmod 0644 "$root/etc/inlet/inlet.toml.new"
mv "$root/etc/inlet/inlet.toml.new" "$root/etc/inlet/inlet.toml"
