#!/usr/bin/env bash
# Ends the SLURM that start.sh started; SLURM_CONF names its configuration.
set -euo pipefail
folder=$(dirname "$SLURM_CONF")
for daemon in slurmd slurmctld; do
  if [ -e "$folder/$daemon.pid" ]; then kill "$(cat "$folder/$daemon.pid")" || true; fi
done
