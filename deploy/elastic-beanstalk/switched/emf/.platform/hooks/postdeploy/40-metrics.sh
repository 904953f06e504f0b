#!/bin/bash
# The platform writes the CloudWatch agent's configuration when the instance starts; ours is added
# after that.
set -euo pipefail
. host/instance.sh

environment=$(property EB_ENVIRONMENT_NAME)
[[ -n $environment ]] || fail "the environment property EB_ENVIRONMENT_NAME is not set"
config=$root/opt/inlet/cloudwatch-agent.json
sed "s/@ENVIRONMENT@/$environment/" host/cloudwatch-agent.json >"$config"
"$root/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl" -a append-config -m ec2 \
  -s -c "file:$config"
