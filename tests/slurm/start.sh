#!/usr/bin/env bash
# Starts a SLURM of one node on this machine, as root on Debian or Ubuntu, and prints the path of its slurm.conf: export that as SLURM_CONF and the tests
# marked `slurm` run. Packages that are missing are installed. `stop.sh` ends it. A job that was requeued is looked at every second or two, where a cluster of
# many nodes would let it wait for up to a minute.
#
#   export SLURM_CONF=$(tests/slurm/start.sh)
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # the daemons' place, which not every PATH has

if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
  apt-get install --yes --no-install-recommends munge slurmctld slurmd slurm-client >&2 ||
    { apt-get update >&2 && apt-get install --yes --no-install-recommends munge slurmctld slurmd slurm-client >&2; }
fi

folder=$(mktemp -d)
host=$(hostname -s)
cat >"$folder/slurm.conf" <<CONF
ClusterName=genomix
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=2
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=60
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
mkdir -p "$folder/state" "$folder/spool"
export SLURM_CONF=$folder/slurm.conf

if ! munge -n >/dev/null 2>&1; then
  install -d -o munge -g munge -m 755 /run/munge
  runuser -u munge -- munged >&2
fi
slurmctld >&2
slurmd >&2
for _ in $(seq 300); do
  if [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; then
    echo "$SLURM_CONF"
    exit
  fi
  sleep 0.2
done
tail -n 20 "$folder"/*.log >&2
echo "SLURM did not start" >&2
exit 1
