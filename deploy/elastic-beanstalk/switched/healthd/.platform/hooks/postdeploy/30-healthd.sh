#!/bin/bash
# Points the health agent at the log that Inlet writes; restarts it only if that is new.
set -euo pipefail
. host/instance.sh

config=$root/etc/healthd/config.yaml
[[ -e $config ]] || fail "there is no $config: is enhanced health on?"
before=$(sha256sum <"$config")
put() {
  if grep -q "^$1:" "$config"; then
    sed -i "s|^$1:.*|$1: $2|" "$config"
  else
    printf '%s: %s\n' "$1" "$2" >>"$config"
  fi
}
put log_to_file true
put appstat_log_path /var/log/nginx/healthd/application.log
put appstat_unit sec
put appstat_timestamp_on completion
[[ $before == "$(sha256sum <"$config")" ]] || systemctl restart healthd.service
