#!/usr/bin/env bash
# deploy.sh COMMIT: deploys a commit of the chart repository's branch, for those without the webhook. It takes no
# backup, so it refuses a commit with another version of Rocket.Chat: migrations cannot be taken back.
set -Eeuo pipefail
ROOT="${BOOTSTRAP_ROOT:-}"
CHECKOUT="$ROOT/opt/groundcrew/chart"

fail() {
    printf 'deploy: %s\n' "$*" >&2
    exit 1
}

commit="${1:-}"
[[ $commit =~ ^[0-9a-f]{40}$ ]] || fail "'${commit:0:60}' is not a commit's 40 hexadecimal digits"
# shellcheck source-path=SCRIPTDIR source=bootstrap.env
source "$ROOT/etc/groundcrew/bootstrap.env"
mkdir -p "$ROOT/run/lock"
exec 9>"$ROOT/run/lock/groundcrew-deploy"
flock -n 9 || fail "another deploy is running"
if [[ -r $ROOT/etc/groundcrew/deploy-key ]]; then
    export GIT_SSH_COMMAND="ssh -i $ROOT/etc/groundcrew/deploy-key -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
fi
git -C "$CHECKOUT" fetch -q origin "$CHART_BRANCH"
git -C "$CHECKOUT" merge-base --is-ancestor "$commit" "origin/$CHART_BRANCH" ||
    fail "$commit is not on $CHART_BRANCH: only what was merged is deployed"
git -C "$CHECKOUT" checkout -q --detach "$commit"

# version FILE…: the server's version as the chart is asked for it.
version() { sed -n "s/^ *image: .*rocket\.chat:\([0-9][^\"' ]*\).*/\1/p" | sort -u; }
microk8s helm dependency build "$CHECKOUT/$CHART_PATH" >/dev/null
now="$(microk8s helm get manifest "$RELEASE" -n "$NAMESPACE" | version)"
then="$(microk8s helm template "$RELEASE" "$CHECKOUT/$CHART_PATH" -n "$NAMESPACE" -f "$CHECKOUT/$CHART_VALUES" | version)"
[[ -n $now && -n $then ]] || fail "it cannot be seen which version runs ('$now') or would run ('$then')"
[[ $now == "$then" ]] ||
    fail "$now runs and $commit has $then. Take a backup, then upgrade by hand: docs/runbooks/restore-after-a-deploy.md"
microk8s helm upgrade "$RELEASE" "$CHECKOUT/$CHART_PATH" -n "$NAMESPACE" -f "$CHECKOUT/$CHART_VALUES" \
    --rollback-on-failure --wait --timeout 30m >/dev/null
printf 'deploy: %s is deployed\n' "$commit"
