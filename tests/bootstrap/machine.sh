#!/usr/bin/env bash
# Stands for the programs that change a machine, under each of their names: notes what it is asked, and answers from
# what was done before, so that a second run finds what a first one left. State: $MACHINE, one file a fact.
# With DIE_AT=n the n-th command that changes something kills the script that asked, half of them before it was done.
set -u
name="${0##*/}"
have() { [[ -e $MACHINE/$1 ]]; }
count() { wc -l <"$MACHINE/changes" 2>/dev/null || echo 0; }
change() { # change FACT WORDS: note it, do it, perhaps die
    local fact="$1" number
    shift
    printf '%s\n' "$*" >>"$MACHINE/changes"
    number="$(count)"
    if [[ ${DIE_AT:-0} == "$number" ]]; then
        ((number % 2)) && touch "$MACHINE/$fact"
        kill -9 "$SCRIPT_PID" 2>/dev/null || kill -9 "$PPID"
        exit 137
    fi
    touch "$MACHINE/$fact"
}
fact() { printf '%s' "$*" | tr -c 'a-zA-Z0-9+.' _; }

case "$name $*" in
"id -u") echo 0 ;;
"dpkg-query "*) if have "package_${*: -1}"; then echo installed; else exit 1; fi ;;
"apt-get "*update) : ;;
"apt-get "*install*)
    while [[ $1 != --no-install-recommends ]]; do shift; done
    for one in "${@:2}"; do change "package_$one" apt-get install "$one"; done
    ;;
"mkfs.ext4 "*) "$REAL_MKFS" "$@" && change formatted mkfs.ext4 ;;
"mountpoint -q "*) have "mounted_$(fact "${2#"$BOOTSTRAP_ROOT"}")" ;;
"mount "*) change "mounted_$(fact "${1#"$BOOTSTRAP_ROOT"}")" mount "${1#"$BOOTSTRAP_ROOT"}" ;;
"systemctl is-enabled"*) have enabled ;;
"systemctl enable"*) change enabled systemctl enable ;;
"systemctl "*) printf '%s\n' "$*" >>"$MACHINE/restarts" ;;
"ufw show added")
    echo "Added user rules (see 'ufw status' for running firewall):"
    cat "$MACHINE/rules" 2>/dev/null || true
    ;;
"ufw status verbose")
    if have fire; then
        printf 'Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), allow (routed)\n'
    else echo "Status: inactive"; fi
    ;;
"ufw --force enable") change fire ufw enable ;;
"ufw default"*) : ;;
"ufw "*) change "$(fact "$@")" ufw "$@" && { grep -qxF "ufw $*" "$MACHINE/rules" 2>/dev/null || echo "ufw $*" >>"$MACHINE/rules"; } ;;
"snap list microk8s") have microk8s ;;
"snap install microk8s"*)
    mkdir -p "$BOOTSTRAP_ROOT/var/snap/microk8s/current/args" "$BOOTSTRAP_ROOT/var/snap/microk8s/current/certs"
    printf -- '--cluster-dns=10.152.183.10\n' >"$BOOTSTRAP_ROOT/var/snap/microk8s/current/args/kubelet"
    echo certificate >"$BOOTSTRAP_ROOT/var/snap/microk8s/current/certs/ca.crt"
    change microk8s snap "$@"
    ;;
"snap info microk8s") echo "tracking:     1.34/stable" ;;
"snap get system refresh.hold") have hold ;;
"snap set system refresh.hold=forever") change hold snap hold ;;
"microk8s status --addon "*) if have "addon_$3"; then echo enabled; else echo disabled; fi ;;
"microk8s status --wait-ready"*) have microk8s ;;
"microk8s enable "*) change "addon_$2" microk8s enable "$2" ;;
"git clone "*) target="${*: -1}" && mkdir -p "$target/.git" && cp -r "$CHART_SOURCE/." "$target" && change cloned git clone ;;
"microk8s kubectl diff -f "*) have "applied_$(basename "${@: -1}")" ;;
"microk8s kubectl apply "*) change "applied_$(basename "${@: -1}")" kubectl apply "$(basename "${@: -1}")" ;;
*"get serviceaccount groundcrew") have applied_rbac.yaml ;;
*"get secret groundcrew-token-"*) have bound ;;
*" create -f -") grep -q 'service-account.name: groundcrew' && change bound kubectl create secret ;;
*"create token groundcrew --duration=2160h --bound-object-kind=Secret --bound-object-name=groundcrew-token-"*)
    have bound && echo "token-$RANDOM" && change token kubectl create token
    ;;
*"get secret "*) have secrets ;;
"microk8s helm status "*) have deployed ;;
"microk8s helm dependency"*) : ;;
"microk8s helm upgrade --install "*) change deployed helm upgrade --install ;;
*)
    echo "machine.sh does not know: $name $*" >&2
    exit 97
    ;;
esac
