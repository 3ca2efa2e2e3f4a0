#!/usr/bin/env bash
# From a fresh Ubuntu machine to MicroK8s with Rocket.Chat deployed and an account for Groundcrew.
#
# Each step looks first and changes only what is not as it should be, so it may be run again at any time, also after
# it was killed half-way: sudo /opt/groundcrew/bootstrap.sh. What it did and why goes to the log, one line each:
# journalctl -t groundcrew-bootstrap. Exit 0: all is as it should be; 1: a step failed, the last line says which.
set -Eeuo pipefail

# Tests give another root; on a machine it is empty.
ROOT="${BOOTSTRAP_ROOT:-}"
ETC="$ROOT/etc/groundcrew"
LABEL=groundcrew-data
COMMON=/var/snap/microk8s/common
ADDONS=(dns rbac hostpath-storage metrics-server ingress cert-manager)
PACKAGES=(ca-certificates git ufw unattended-upgrades)
SECRETS=(rocketchat-mongodb-auth rocketchat-mongodb-uri rocketchat-settings rocketchat-smtp)
WAIT_SECONDS="${BOOTSTRAP_WAIT:-300}"
STEP=begin

say() { printf 'bootstrap: %s\n' "$*"; }
fail() {
    printf 'bootstrap: %s failed: %s\n' "$STEP" "$*" >&2
    exit 1
}
trap '[[ $BASHPID != "$$" ]] || printf "bootstrap: %s failed; run it again when the cause is gone\n" "$STEP" >&2' ERR

kubectl() { microk8s kubectl "$@"; }

# put PATH MODE: the file has what is on standard input. True if it was changed, false if it was so already. Callers
# ask for that, which switches `set -e` off in here: hence each command's own `|| fail`. Never behind a pipe, whose
# subshell alone `fail` would end.
put() {
    local path="$ROOT$1" mode="$2" new
    mkdir -p "$(dirname "$path")" || fail "cannot make the folder of $1"
    new="$(mktemp "$path.XXXXXX")" || fail "cannot write beside $1"
    cat >"$new" || fail "cannot write $1: is the disk full?"
    chmod "$mode" "$new" || fail "cannot set the mode of $1"
    if [[ -e $path ]]; then
        chown --reference="$path" "$new" || fail "cannot give $1 its owner"
    fi
    if [[ -f $path ]] && cmp -s "$new" "$path" && [[ $(stat -c %a "$path") == "${mode#0}" ]]; then
        rm -f "$new"
        return 1
    fi
    mv -f "$new" "$path" || fail "cannot replace $1"
    say "wrote $1"
}

# For where a change has no consequence.
put_quietly() { put "$@" || true; }

read_settings() {
    STEP="reading $ETC/bootstrap.env"
    [[ -r $ETC/bootstrap.env ]] || fail "it is not there"
    # shellcheck source-path=SCRIPTDIR source=bootstrap.env
    source "$ETC/bootstrap.env"
    local time='^([01][0-9]|2[0-3]):[0-5][0-9]$' range='^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$'
    [[ $DATA_LUN =~ ^[0-9]{1,2}$ ]] || fail "DATA_LUN is '$DATA_LUN', not a number from 0 to 63"
    [[ $DATA_DIR =~ ^/[a-z][a-z0-9/-]*$ ]] || fail "DATA_DIR is '$DATA_DIR', not a path like /data"
    [[ $MICROK8S_CHANNEL =~ ^1\.[0-9]{2}/stable$ ]] || fail "MICROK8S_CHANNEL is '$MICROK8S_CHANNEL', not one like 1.34/stable"
    [[ $PRIVATE_ADDRESS =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || fail "PRIVATE_ADDRESS is '$PRIVATE_ADDRESS', not an IPv4 address"
    [[ $FUNCTIONS_RANGE =~ $range ]] || fail "FUNCTIONS_RANGE is '$FUNCTIONS_RANGE', not a range like 10.20.8.0/24"
    [[ -z $SSH_RANGE || $SSH_RANGE =~ $range ]] || fail "SSH_RANGE is '$SSH_RANGE', not empty or a range like 10.20.0.0/20"
    [[ $MAINTENANCE_TIME =~ $time ]] || fail "MAINTENANCE_TIME is '$MAINTENANCE_TIME', not a time like 12:30"
    [[ $PRUNE_TIME =~ $time ]] || fail "PRUNE_TIME is '$PRUNE_TIME', not a time like 12:45"
    [[ -z $CHART_REPOSITORY || $CHART_REPOSITORY =~ ^(https://|git@) ]] ||
        fail "CHART_REPOSITORY is '$CHART_REPOSITORY', not empty, https://… or git@…"
}

install_packages() {
    STEP="installing packages"
    local missing=() one
    for one in "${PACKAGES[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$one" 2>/dev/null | grep -qx installed || missing+=("$one")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
}

# The disk by its logical unit: names such as sdc move from start to start.
find_disk() {
    local path deadline=$((SECONDS + WAIT_SECONDS))
    while :; do
        for path in "/dev/disk/azure/scsi1/lun$DATA_LUN" "/dev/disk/azure/data/by-lun/$DATA_LUN"; do
            [[ -e $ROOT$path ]] && DISK="$ROOT$path" && return 0
        done
        ((SECONDS < deadline)) || fail "no disk at LUN $DATA_LUN after $WAIT_SECONDS seconds. Is it attached?"
        sleep 2
    done
}

mount_data() {
    STEP="mounting the data disk"
    local found label
    find_disk
    found="$(blkid -p -o export "$DISK")" || [[ $? == 2 ]] || fail "blkid cannot tell what is on the disk at LUN $DATA_LUN"
    label="$(sed -n 's/^LABEL=//p' <<<"$found")"
    if [[ -z $found ]]; then
        # Only what is surely empty is formatted. That nothing was recognised may also mean that nothing could be
        # read, so its beginning has to be read, and be zeros, as that of a new disk is.
        cmp -s -n 16777216 "$DISK" /dev/zero ||
            fail "the disk at LUN $DATA_LUN has no file system, but is not empty. It is left alone: clear it with wipefs if nobody needs it"
        say "formatting the empty disk at LUN $DATA_LUN"
        mkfs.ext4 -q -L "$LABEL" -m 1 "$DISK"
    elif [[ $label != "$LABEL" ]]; then
        fail "the disk at LUN $DATA_LUN has something on it, with label '$label', not $LABEL. It is left alone: label it with e2label if it is the right one"
    fi
    # nofail: without the disk the machine starts all the same and can be looked at. MicroK8s must not, see below.
    add_mount "LABEL=$LABEL $DATA_DIR ext4 defaults,nofail,x-systemd.device-timeout=120s 0 2" "$DATA_DIR"
    if [[ ! -d $ROOT$DATA_DIR/microk8s ]]; then mkdir -p "$ROOT$DATA_DIR/microk8s"; fi
    if snap list microk8s >/dev/null 2>&1 && ! mountpoint -q "$ROOT$COMMON"; then
        fail "MicroK8s was installed before $COMMON was on the data disk. Stop it, move the folder to $DATA_DIR/microk8s, and run this again"
    fi
    add_mount "$DATA_DIR/microk8s $COMMON none bind,nofail,x-systemd.requires-mounts-for=$DATA_DIR 0 0" "$COMMON"
}

# add_mount LINE PLACE: fstab has the line, and the place is mounted.
add_mount() {
    local fstab="$ROOT/etc/fstab" place="$2" rest
    mkdir -p "$ROOT$place"
    if ! grep -qxF "$1" "$fstab"; then
        rest="$(grep -vE "^[^#][^ ]* $place " "$fstab" || true)"
        put_quietly /etc/fstab 0644 <<<"$rest${rest:+$'\n'}$1"
        systemctl daemon-reload
    fi
    mountpoint -q "$ROOT$place" || { say "mounting $place"; mount "$ROOT$place"; }
}

# Without its disk MicroK8s would find no volumes, make new ones, and MongoDB would begin empty.
require_mount() {
    STEP="tying MicroK8s to its disk"
    local unit changed=
    for unit in kubelite containerd; do
        put "/etc/systemd/system/snap.microk8s.daemon-$unit.service.d/groundcrew.conf" 0644 <<<"[Unit]
RequiresMountsFor=$DATA_DIR $COMMON" && changed=1
    done
    [[ -z $changed ]] || systemctl daemon-reload
}

set_maintenance() {
    STEP="setting the hours of upgrades and pruning"
    local changed=
    put /etc/apt/apt.conf.d/52groundcrew 0644 <<<'APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
// The machine is off every night: a new kernel runs the next morning.
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";' && changed=1
    # Here-strings, and no `< <(…)`: where that cannot be opened (no /dev/fd) `&&` would swallow it.
    # At the distribution's hours, around 6:00 and at night, the machine is off, and what is missed would be made up
    # for in the minutes after a start.
    put /etc/systemd/system/apt-daily.timer.d/groundcrew.conf 0644 <<<"$(timer "$MAINTENANCE_TIME" 0)" && changed=1
    put /etc/systemd/system/apt-daily-upgrade.timer.d/groundcrew.conf 0644 <<<"$(timer "$MAINTENANCE_TIME" 5m)" && changed=1
    put /etc/systemd/system/groundcrew-prune-images.service 0644 <<<'[Unit]
Description=Remove images that no container uses
After=snap.microk8s.daemon-kubelite.service

[Service]
Type=oneshot
ExecStart=/snap/bin/microk8s ctr --namespace k8s.io images prune --all' && changed=1
    put /etc/systemd/system/groundcrew-prune-images.timer 0644 <<<"$(
        printf '[Unit]\nDescription=Prune images every Wednesday, when the machine runs\n\n'
        timer "$PRUNE_TIME" 0 'Wed '
        printf '\n[Install]\nWantedBy=timers.target\n'
    )" && changed=1
    [[ -z $changed ]] || systemctl daemon-reload
    systemctl is-enabled -q groundcrew-prune-images.timer 2>/dev/null || systemctl enable -q --now groundcrew-prune-images.timer
}

# timer TIME DELAY [DAYS]: the section of a timer that runs then, and not later if that was missed.
timer() {
    printf '[Timer]\nOnCalendar=\nOnCalendar=%s*-*-* %s %s\nRandomizedDelaySec=%s\nPersistent=false\n' \
        "${3:-}" "$1" "$MAINTENANCE_TIMEZONE" "$2"
}

# A second line behind the network's rules. MongoDB's port is forwarded to a pod, so its rule is one of routes.
set_firewall() {
    STEP="setting the firewall"
    local wanted rules status one words
    wanted="allow 80/tcp
allow 443/tcp
allow in on cali+
allow in on vxlan.calico
allow from $FUNCTIONS_RANGE to any port 16443 proto tcp${SSH_RANGE:+
allow from $SSH_RANGE to any port 22 proto tcp}"
    rules="$(ufw show added)"
    while read -r one; do
        grep -qxF "ufw $one" <<<"$rules" && continue
        say "firewall: $one"
        read -ra words <<<"$one"
        ufw "${words[@]}" >/dev/null
    done <<<"$wanted"
    status="$(ufw status verbose)"
    if ! grep -q '^Default: deny (incoming), allow (outgoing), allow (routed)' <<<"$status"; then
        ufw default deny incoming >/dev/null
        ufw default allow outgoing >/dev/null
        ufw default allow routed >/dev/null # pods; Calico and the NetworkPolicies decide there
    fi
    if ! grep -qx 'Status: active' <<<"$status"; then
        say "firewall: on"
        ufw --force enable >/dev/null
    fi
}

install_microk8s() {
    STEP="installing MicroK8s"
    local tracking one
    if ! snap list microk8s >/dev/null 2>&1; then
        say "installing MicroK8s $MICROK8S_CHANNEL"
        snap install microk8s --classic --channel="$MICROK8S_CHANNEL"
    fi
    tracking="$(snap info microk8s | sed -n 's/^tracking: *//p')"
    [[ $tracking == "$MICROK8S_CHANNEL" ]] ||
        say "MicroK8s follows $tracking, not $MICROK8S_CHANNEL: an upgrade is done by hand, one minor version at a time"
    # Snaps refresh when they like, and MicroK8s restarts then.
    snap get system refresh.hold >/dev/null 2>&1 || snap set system refresh.hold=forever
    microk8s status --wait-ready --timeout "$WAIT_SECONDS" >/dev/null || fail "it is not ready after $WAIT_SECONDS seconds: microk8s inspect"
    for one in "${ADDONS[@]}"; do
        [[ $(microk8s status --addon "$one") == enabled ]] && continue
        say "enabling the add-on $one"
        microk8s enable "$one" >/dev/null
    done
}

# The kubelet prunes images by itself from these shares on; its own 85 % is too late beside MongoDB.
set_kubelet() {
    STEP="setting the kubelet"
    local args=/var/snap/microk8s/current/args/kubelet rest
    rest="$(grep -vE '^--image-gc-(high|low)-threshold=' "$ROOT$args")"
    put "$args" 0660 <<<"$rest"$'\n--image-gc-high-threshold=75\n--image-gc-low-threshold=65' || return 0
    systemctl restart snap.microk8s.daemon-kubelite
    microk8s status --wait-ready --timeout "$WAIT_SECONDS" >/dev/null
}

fetch_chart() {
    STEP="fetching the chart"
    CHECKOUT="$ROOT/opt/groundcrew/chart"
    if [[ -r $ETC/deploy-key ]]; then
        export GIT_SSH_COMMAND="ssh -i $ETC/deploy-key -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new"
    fi
    if [[ ! -d $CHECKOUT/.git ]]; then
        rm -rf "$CHECKOUT"
        say "cloning $CHART_REPOSITORY"
        git clone -q --branch "$CHART_BRANCH" --single-branch "$CHART_REPOSITORY" "$CHECKOUT"
    fi
}

apply_cluster() {
    STEP="applying cluster/ of the chart repository"
    local one
    for one in namespaces rbac networkpolicies mongodb-service clusterissuer; do
        [[ -r $CHECKOUT/cluster/$one.yaml ]] || continue
        # Nothing is said and nothing is sent where nothing differs; exit 1 means that something does.
        kubectl diff -f "$CHECKOUT/cluster/$one.yaml" >/dev/null 2>&1 && continue
        say "applying cluster/$one.yaml"
        kubectl apply --server-side --field-manager=groundcrew-bootstrap -f "$CHECKOUT/cluster/$one.yaml" >/dev/null
    done
}

# What Groundcrew gets: the service account of rbac.yaml and a token of it, nobody's admin rights.
write_kubeconfig() {
    STEP="writing Groundcrew's kubeconfig"
    local path=$ETC/groundcrew.kubeconfig name token ca
    kubectl -n "$NAMESPACE" get serviceaccount groundcrew >/dev/null 2>&1 || {
        say "no kubeconfig yet: cluster/rbac.yaml makes the service account groundcrew"
        return 0
    }
    # Ninety days, and bound to a Secret, with which it ends: so Groundcrew's rotation can revoke it, which it does
    # as its first act (docs/runbooks/rotate-secrets.md). Where nothing rotates it, it is made anew after sixty days.
    if [[ -s $path && -z $(find "$path" -mtime +60) ]]; then return 0; fi
    # One a day: a run that was killed behind it goes on with the same.
    name="groundcrew-token-$(date -u +%Y%m%d)"
    kubectl -n "$NAMESPACE" get secret "$name" >/dev/null 2>&1 ||
        kubectl -n "$NAMESPACE" create -f - >/dev/null <<<"apiVersion: v1
kind: Secret
type: Opaque
metadata:
  name: $name
  annotations: {kubernetes.io/service-account.name: groundcrew}"
    token="$(kubectl -n "$NAMESPACE" create token groundcrew --duration=2160h \
        --bound-object-kind=Secret --bound-object-name="$name")"
    ca="$(base64 -w0 "$ROOT/var/snap/microk8s/current/certs/ca.crt")"
    put_quietly /etc/groundcrew/groundcrew.kubeconfig 0600 <<<"apiVersion: v1
kind: Config
clusters:
- name: microk8s
  cluster: {server: 'https://$PRIVATE_ADDRESS:16443', certificate-authority-data: $ca}
users:
- name: groundcrew
  user: {token: $token}
contexts:
- name: groundcrew
  context: {cluster: microk8s, user: groundcrew, namespace: $NAMESPACE}
current-context: groundcrew"
    say "put it into the vault, then remove it here only when a new one is wanted"
}

deploy_first() {
    STEP="deploying for the first time"
    local missing=() one
    if microk8s helm status "$RELEASE" -n "$NAMESPACE" >/dev/null 2>&1; then return 0; fi # from now on Groundcrew deploys
    for one in "${SECRETS[@]}"; do
        kubectl -n "$NAMESPACE" get secret "$one" >/dev/null 2>&1 || missing+=("$one")
    done
    if ((${#missing[@]})); then
        say "not deployed: these Secrets are missing in $NAMESPACE: ${missing[*]}. Apply secrets/ of the chart repository, and run this again"
        return 0
    fi
    say "deploying $RELEASE; this takes ten minutes and more"
    microk8s helm dependency build "$CHECKOUT/$CHART_PATH" >/dev/null
    microk8s helm upgrade --install "$RELEASE" "$CHECKOUT/$CHART_PATH" -n "$NAMESPACE" \
        -f "$CHECKOUT/$CHART_VALUES" --wait --timeout 30m >/dev/null
}

main() {
    [[ $(id -u) == 0 ]] || fail "it has to be run as root"
    read_settings
    install_packages
    mount_data
    require_mount
    set_maintenance
    set_firewall
    install_microk8s
    set_kubelet
    if [[ -n $CHART_REPOSITORY ]]; then
        fetch_chart
        apply_cluster
        write_kubeconfig
        deploy_first
    else
        say "CHART_REPOSITORY is empty in /etc/groundcrew/bootstrap.env: nothing is deployed"
    fi
    say "done"
}

main "$@"
