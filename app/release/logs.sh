#!/bin/bash
# Sends the shop's log to CloudWatch and keeps the file small; run by install.sh, as root.
set -euo pipefail

release=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
configuration=/opt/aws/amazon-cloudwatch-agent/etc/relight.json
ctl=/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl

install -m 0644 "$release/relight-app.logrotate" /etc/logrotate.d/relight-app
[ -x "$ctl" ] || dnf install --assumeyes --quiet amazon-cloudwatch-agent
sed "s|@LOG_GROUP@|$LOG_GROUP|" "$release/amazon-cloudwatch-agent.json" >"$configuration"
"$ctl" -a fetch-config -m ec2 -s -c "file:$configuration"
