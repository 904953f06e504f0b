#!/bin/bash
# Waits until Auto Scaling wants this instance gone. By then it is out of the load balancer: has
# Inlet stop accepting and deliver all it has, stops the container, and lets the termination go on.
# What no sink took in time is kept as a snapshot of the data volume, and the alarm topic is told.
set -uo pipefail
. "$(dirname "$0")/instance.sh"

hook=inlet-drain
poll_s=${INLET_POLL_S:-5}
empty_limit_s=${INLET_EMPTY_LIMIT_S:-3600}
heartbeat_s=${INLET_HEARTBEAT_S:-60} # the hook's timeout is 300 s
stop_s=90

# Ends the door of the node in that container and waits until every sink has everything, or for so
# many seconds. How many records some sink has not got then; nothing if nobody answers.
deliver_all() {
  docker exec "$1" inlet drain --data /var/lib/inlet --timeout "$2" --json |
    sed -n 's/.*"records_left":\([0-9]*\).*/\1/p'
}

keep_volume() {
  local volume snapshot topic
  volume=$(aws ec2 describe-volumes --query 'Volumes[0].VolumeId' --output text --filters \
    "Name=attachment.instance-id,Values=$id" "Name=attachment.device,Values=$data_device")
  snapshot=$(aws ec2 create-snapshot --volume-id "$volume" --query SnapshotId --output text \
    --description "Inlet: records of $id that no sink has got" --tag-specifications \
    "ResourceType=snapshot,Tags=[{Key=inlet:undelivered,Value=$id}]")
  say "$1 records were not delivered; snapshot of $volume: ${snapshot:-FAILED}"
  topic=$(property "$topic_property")
  [[ -n $topic ]] && aws sns publish --topic-arn "$topic" --subject "Inlet: undelivered records" \
    --message "$id ends with $1 records undelivered. Snapshot of $volume: ${snapshot:-FAILED}."
}

until [[ $(metadata autoscaling/target-lifecycle-state) == Terminated ]]; do sleep "$poll_s"; done

id=$(metadata instance-id)
AWS_DEFAULT_REGION=$(metadata placement/region)
export AWS_DEFAULT_REGION
group=$(aws autoscaling describe-auto-scaling-instances --instance-ids "$id" \
  --query 'AutoScalingInstances[0].AutoScalingGroupName' --output text)
action=(--lifecycle-hook-name "$hook" --auto-scaling-group-name "$group" --instance-id "$id")
while sleep "$heartbeat_s"; do
  aws autoscaling record-lifecycle-action-heartbeat "${action[@]}"
done &
heartbeat=$!

mapfile -t containers < <(docker ps -q) # Inlet's is the only one here.
left=unknown
if ((${#containers[@]} > 0)); then
  for ((waited_s = 0; waited_s < empty_limit_s; waited_s += poll_s)); do
    began_s=$SECONDS
    left=$(deliver_all "${containers[0]}" $((empty_limit_s - waited_s)))
    [[ -n $left ]] && break
    waited_s=$((waited_s + SECONDS - began_s))
    sleep "$poll_s" # It may be starting again.
  done
  docker stop --time "$stop_s" "${containers[@]}"
fi
[[ $left == 0 ]] || keep_volume "${left:-unknown}"

kill "$heartbeat"
aws autoscaling complete-lifecycle-action "${action[@]}" --lifecycle-action-result CONTINUE
say "drained"
exec sleep infinity # until the end: a unit that ended would be started again
