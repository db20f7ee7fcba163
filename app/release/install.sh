#!/bin/bash
# Installs the release in whose folder this lies and starts it; run as root, as often as one likes.
# The shop first. What only watches it comes last, and may fail.
set -euo pipefail

release=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# An image of one's own may bring Python. Amazon Linux 2023 has it in its repositories, which lie in S3 in this Region
# and are reached through the gateway endpoint.
command -v python3.13 >/dev/null || dnf install --assumeyes --quiet python3.13
id relight >/dev/null 2>&1 || useradd --system --no-create-home --shell /sbin/nologin relight
# Before the unit: systemd opens the log before it would make the folder itself.
install -d -m 0750 -o relight -g relight /var/log/relight
# And it would make the file as root's own, which logrotate, as `relight`, could neither read nor cut.
[ -e /var/log/relight/app.log ] || install -m 0640 -o relight -g relight /dev/null /var/log/relight/app.log

"$release/venv.sh" python3.13 "$release/venv"

ln -s --force --no-dereference "$release" /opt/relight/next
mv --force --no-target-directory /opt/relight/next /opt/relight/current
install -m 0644 "$release/relight-app.service" /etc/systemd/system/relight-app.service
systemctl daemon-reload
systemctl enable relight-app.service
systemctl restart --no-block relight-app.service

"$release/logs.sh" || echo "the logs stay on this instance: the agent for CloudWatch could not be set up" >&2
