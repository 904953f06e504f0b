#!/bin/bash
# Names Inlet's log files to the platform: the present ones (PROCESS.log, in lower case) for "last
# lines" and for bundles, the rotated ones (PROCESS-TIMEZ.log) for bundles and for the hourly
# archive in S3.
set -euo pipefail
. host/instance.sh

tasks=$root/opt/elasticbeanstalk/tasks
install -d -m 0755 "$tasks/taillogs.d" "$tasks/bundlelogs.d" "$tasks/publishlogs.d"
install -m 0644 host/current-logs.conf "$tasks/taillogs.d/inlet.conf"
cat host/current-logs.conf host/rotated-logs.conf >"$tasks/bundlelogs.d/inlet.conf"
install -m 0644 host/rotated-logs.conf "$tasks/publishlogs.d/inlet.conf"
