"""The shell scripts that run inside a machine, as root, by Azure's run-command.

`microk8s stop` tears services down before pods react to their signal, and returns 0 with containers left
(https://github.com/canonical/microk8s/issues/2895, 3969). So the workloads are scaled to zero first, the chat
before its database, and what is left at the end is looked at. MicroK8s' store (dqlite) does not survive every
power loss (issues/2997, 3485, 4548): it is copied when it is cleanly stopped, and put back when it is broken.

`$` of the shell is written `$$`. Everything said is a line `groundcrew:name=value` on standard output.
"""

from __future__ import annotations

COMMON = r"""
PATH="$$PATH:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
say() { printf 'groundcrew:%s=%s\n' "$$1" "$$2"; }
facts() {
  say kernel "$$(uname -r)"; say host "$$(uname -n)"
  say snap "$$(readlink '$state/current')"; say address "$$(hostname -I 2>/dev/null | cut -d' ' -f1)"
}
command -v microk8s >/dev/null 2>&1 || { say none microk8s; exit 0; }
k() { microk8s kubectl --request-timeout=15s -n '$namespace' "$$@"; }
"""

WORKLOADS = r"""
guard='$state/common/groundcrew'; backend='$state/current/var/kubernetes/backend'
keep_newest() {
  # shellcheck disable=SC2012 # names are times that this script gave
  ls -1 "$$1" 2>/dev/null | sort | head -n "-$$2" | while read -r old; do rm -rf "$${1:?}/$$old"; done
}
workloads_with() {
  k get deployments,statefulsets \
    -o "jsonpath={range .items[*]}{.kind}/{.metadata.name} {$$1}{\"\\n\"}{end}" 2>/dev/null
}
group_of() { case "$$1" in *[Mm]ongo*) echo database;; *) echo app;; esac; }
"""

STOP = r"""
answered=yes
workloads=$$(workloads_with .spec.replicas) || { answered=''; say problem 'the cluster did not answer'; }
scale_down() {
  printf '%s\n' "$$workloads" | while read -r name replicas; do
    { [ "$$(group_of "$$name")" = "$$1" ] && [ "$${replicas:-0}" -gt 0 ]; } 2>/dev/null || continue
    { k annotate --overwrite "$$name" '$replicas_key='"$$replicas" \
      && k scale "$$name" --replicas=0; } >/dev/null 2>&1 || say problem "could not scale down $$name"
  done
}
pods_of() {
  pods=$$(k get pods -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase}{"\n"}{end}' \
    2>/dev/null) || { echo '(not known)'; return; }
  printf '%s\n' "$$pods" | while read -r pod phase; do
    case "$$phase" in Succeeded|Failed) continue;; esac
    [ "$$(group_of "$$pod")" = "$$1" ] || continue
    printf '%s\n' "$$workloads" | while read -r name _; do
      { [ -n "$$name" ] && [ "$$(group_of "$$name")" = "$$1" ]; } || continue
      case "$$pod" in "$${name#*/}"-*) echo "$$pod"; break;; esac
    done
  done
}
end=$$(( $$(date +%s) + $pods_seconds ))
for group in app database; do
  scale_down "$$group"
  while left=$$(pods_of "$$group"); [ -n "$$left" ] && [ "$$(date +%s)" -lt "$$end" ]; do sleep 2; done
  [ -z "$$left" ] || say problem "pods still running: $$(echo "$$left" | tr '\n' ' ' | sed 's/ *$$//')"
done
microk8s stop >/dev/null 2>&1; say stop_exit "$$?"
tries=0
while containers=$$(pgrep containerd-shim | wc -l); [ "$$containers" -gt 0 ] && [ "$$tries" -lt 10 ]; do
  tries=$$((tries + 1)); sleep 2
done
say containers "$$((containers))"
# A cluster that did not answer may have a broken store: seven such evenings would push out every good copy.
if [ -n "$$answered" ] && [ "$$containers" -eq 0 ] && [ -d "$$backend" ]; then
  at=$$(date -u +%Y%m%dT%H%M%SZ); copies="$$guard/backend"
  { mkdir -p "$$copies" && chmod 700 "$$copies" && rm -rf "$$copies"/*.new \
    && cp -a "$$backend" "$$copies/$$at.new" && mv "$$copies/$$at.new" "$$copies/$$at" \
    && say copied "$$at"; } || say problem 'the cluster store could not be copied'
  keep_newest "$$copies" $copies_kept
fi
facts
"""

HOLD = r"""
# Snaps refresh at a bad time (https://github.com/canonical/microk8s/issues/1022, 4691): never by themselves.
hold_refreshes() {
  command -v snap >/dev/null 2>&1 || return 0
  snap refresh --hold microk8s >/dev/null 2>&1 && { say refreshes held; return 0; }
  # snapd before 2.58 holds all snaps, and 90 days at most.
  until=$$(date -u -d '+60 days' +%Y-%m-%dT%H:%M:%SZ 2>/dev/null) \
    && snap set system "refresh.hold=$$until" >/dev/null 2>&1 && say refreshes held
  return 0
}
"""

START = r"""
fail() { say problem "$$1"; facts; exit 1; }
is_ready() { microk8s status --wait-ready --timeout "$$1" >/dev/null 2>&1; }
store_is_broken() {
  # Killed in the middle of putting a copy back.
  [ ! -d "$$backend" ] && [ -d "$$guard/backend" ] && return 0
  since=$$(cat "$$guard/restored" 2>/dev/null || echo '-20min')
  journalctl --no-pager --quiet --since "$$since" -u snap.microk8s.daemon-k8s-dqlite \
    -u snap.microk8s.daemon-kubelite 2>/dev/null | tail -n 50 \
    | grep -Eq 'raft_start\(\)|no available dqlite leader'
}
restore_store() {
  copy=''
  for one in "$$guard"/backend/*; do
    case "$$one" in *.new) continue;; esac
    { [ -d "$$one" ] && ! grep -qxF "$${one##*/}" "$$guard/tried" 2>/dev/null; } && copy=$$one
  done
  [ -n "$$copy" ] || fail 'the cluster store is broken, and there is no copy of it to put back'
  microk8s stop >/dev/null 2>&1
  at=$$(date -u +%Y%m%dT%H%M%SZ)
  { mkdir -p "$$guard/broken" && chmod 700 "$$guard/broken" && rm -rf "$$backend.new" \
    && cp -a "$$copy" "$$backend.new" \
    && { [ ! -d "$$backend" ] || mv "$$backend" "$$guard/broken/$$at"; } \
    && mv "$$backend.new" "$$backend" \
    && printf '%s\n' "$${copy##*/}" >> "$$guard/tried" \
    && printf '@%s\n' "$$(date +%s)" > "$$guard/restored"; } \
    || fail 'the cluster store is broken, and its copy could not be put back'
  say store_saved "$$guard/broken/$$at"; say store_restored "$${copy##*/}"
  keep_newest "$$guard/broken" 3
  microk8s start >/dev/null 2>&1
}
hold_refreshes
microk8s start >/dev/null 2>&1
if ! is_ready $ready_seconds; then
  store_is_broken || fail 'MicroK8s is not ready'
  restore_store
  is_ready $restored_seconds || fail 'the cluster store was put back from a copy; MicroK8s is not ready yet'
fi
rm -f "$$guard/tried" "$$guard/restored"
scaled=$$(workloads_with ".metadata.annotations['$replicas_key']") || fail 'the cluster did not answer'
for group in database app; do
  # Right before the chat, and only where it was stopped: then its report at the start is the one that counts.
  [ "$$group" = database ] || ! printf '%s\n' "$$scaled" | grep -q ' [1-9]' \
    || probe_collector
  printf '%s\n' "$$scaled" | while read -r name replicas; do
    { [ "$$(group_of "$$name")" = "$$group" ] && [ "$${replicas:-0}" -gt 0 ]; } 2>/dev/null || continue
    { k scale "$$name" --replicas="$$replicas" \
      && k annotate "$$name" '$replicas_key-'; } >/dev/null 2>&1 || fail "could not scale up $$name"
    say restored "$$name"
  done || exit 1
done
facts
"""

# Whether Rocket.Chat will reach the collector of its statistics: without that it is read-only after ten days,
# and it asks at its start and once a day (apps/meteor/server/cron/usageReport.ts). From a pod, since a
# cluster's DNS that comes late keeps it from it, and by Rocket.Chat's own image, which is there and has node.
COLLECTOR = r"""
collector_pod='groundcrew-collector'
ask_collector() {
  k delete pod "$$collector_pod" --ignore-not-found >/dev/null 2>&1
  printf '%s' '$collector_pod_spec' | sed "s|@IMAGE@|$$1|" | k create -f - >/dev/null 2>&1 || return 0
  tries=0; line=''
  # By its log and not attached to it: what a short pod says before that is lost.
  while [ -z "$$line" ] && [ "$$tries" -lt 10 ]; do
    sleep 2; tries=$$((tries + 1))
    line=$$(k logs "$$collector_pod" 2>/dev/null | sed -n 's/^collector=//p' | head -n 1)
  done
  k delete pod "$$collector_pod" --ignore-not-found --wait=false >/dev/null 2>&1
  printf '%s\n' "$$line"
}
probe_collector() {
  image=$$(k get deployments,statefulsets \
    -o 'jsonpath={range .items[*].spec.template.spec.containers[*]}{.image}{"\n"}{end}' 2>/dev/null \
    | grep -i 'rocket\.chat' | head -n 1)
  [ -n "$$image" ] || { say collector 'not known: no image of Rocket.Chat'; return 0; }
  end=$$(( $$(date +%s) + $collector_seconds )); answer=''
  while :; do
    answer=$$(ask_collector "$$image")
    { [ "$$answer" = reached ] || [ "$$(date +%s)" -ge "$$end" ]; } && break
    sleep 3
  done
  # A pod that was not run says nothing of the network.
  say collector "$${answer:-not known: no pod could be run}"
}
"""

CHECK = r"""
for file in '$root'/boot/vmlinuz-*; do
  [ -e "$$file" ] && printf '%s\n' "$${file##*/vmlinuz-}"
done | sort -V | tail -n 1 | while read -r newest; do say next_kernel "$$newest"; done
k get pods -o 'jsonpath={range .items[*].spec.containers[*]}{.image}{"\n"}{end}' 2>/dev/null \
  | grep -i mongo | grep -iv exporter | sort -u | head -n 1 \
  | while read -r image; do say mongodb "$$image"; done
for name in ca server front-proxy-client kubelet; do
  ends=$$(openssl x509 -noout -enddate -in '$state/current/certs/'"$$name.crt" 2>/dev/null) || ends=''
  say "cert_$$name" "$${ends#notAfter=}"
done
facts
"""

HOLD_ONLY = r"""
hold_refreshes
facts
"""

# A refresh of a named snap goes past the hold (https://github.com/snapcore/snapd/pull/12035), so the hold is
# never lifted, and a run that dies has nothing to put back. snapd answers with the number of its change, and
# goes on by itself.
REFRESH = r"""
command -v snap >/dev/null 2>&1 || { say problem 'there is no snap on the machine'; exit 0; }
hold_refreshes
said=$$(LC_ALL=C snap refresh --no-wait microk8s 2>&1 | head -n 1)
case "$$said" in
  *'no updates available'*) say refresh none;;
  *'in progress'*) say refresh begun;;
  ''|*[!0-9]*) say problem "snap refresh: $$said";;
  *) say refresh begun; say change "$$said";;
esac
facts
"""

WATCH = r"""
# shellcheck disable=SC2046 # the columns: number, status, times, summary
set -- $$(LC_ALL=C snap changes microk8s 2>/dev/null | grep '^$change ')
say change_status "$${2:-unknown}"
microk8s status --wait-ready --timeout 30 >/dev/null 2>&1 && say ready yes
facts
"""
