#!/bin/bash
# In this variant the container has a network of its own: one hop more to the metadata service,
# where Inlet gets its credentials. Version 2 stays required.
set -euo pipefail
. host/instance.sh

aws ec2 modify-instance-metadata-options --region "$(metadata placement/region)" \
  --instance-id "$(metadata instance-id)" --http-tokens required \
  --http-put-response-hop-limit 2 >/dev/null
