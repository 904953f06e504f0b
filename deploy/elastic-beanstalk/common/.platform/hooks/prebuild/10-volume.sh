#!/bin/bash
# Mounts the data volume at /var/lib/inlet. A volume that holds anything is never formatted. Where
# the environment maps no volume, the journal lies on the root volume.
set -euo pipefail
. host/instance.sh

install -d -m 0755 "$data"
mappings=$(get_config optionsettings -n aws:autoscaling:launchconfiguration \
  -o BlockDeviceMappings 2>/dev/null || true)
if [[ $mappings != *"$data_device="* ]]; then
  say "no data volume is mapped: the journal lies on the root volume"
  exit 0
fi
mountpoint -q "$data" && exit 0

device=$root$data_device
for ((i = 0; i < ${INLET_DEVICE_WAIT_S:-60}; i++)); do
  [[ -e $device ]] && break
  sleep 1
done
[[ -e $device ]] || fail "$data_device is mapped and did not appear"

kind=$(blkid -p -o value -s TYPE "$device") && found=0 || found=$?
case $found in
  0) [[ $kind == xfs ]] || fail "$data_device holds $kind and not xfs: left alone" ;;
  2) mkfs.xfs -q -L inlet "$device" ;; # blkid is sure that there is nothing
  *) fail "blkid does not know what $data_device holds: left alone" ;;
esac
# Docker starts after the mount and not without it, so nothing is ever written underneath; without
# the volume the instance still comes up and can be looked at.
options=noatime,nofail,x-systemd.before=docker.service,x-systemd.required-by=docker.service
grep -q '^LABEL=inlet ' "$root/etc/fstab" 2>/dev/null ||
  echo "LABEL=inlet /var/lib/inlet xfs $options 0 2" >>"$root/etc/fstab"
systemctl daemon-reload
mount "$data"
