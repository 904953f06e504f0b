#!/bin/bash
# Fetches the file of API keys (hashes only) to where Inlet looks for it. The last good one stays
# while S3 is away.
set -euo pipefail
. "$(dirname "$0")/instance.sh"

bucket=$(property KEYS_BUCKET)
[[ -n $bucket ]] || fail "the environment property KEYS_BUCKET is not set"
new=$(mktemp --tmpdir="$data") # 0600, in the folder of what it replaces
trap 'rm -f "$new"' EXIT
aws s3api get-object --region "$(metadata placement/region)" --bucket "$bucket" --key keys \
  "$new" >/dev/null ||
  fail "s3://$bucket/keys could not be fetched"
cmp -s "$new" "$data/keys" && exit 0
chown "$container_uid:$container_uid" "$new"
sync "$new"
mv "$new" "$data/keys"
say "new keys"
