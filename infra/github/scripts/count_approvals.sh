#!/usr/bin/env bash
# count_approvals.sh HEAD AUTHOR NEEDED: reads GitHub's pages of reviews (a list of lists) and exits 0 if so many
# people other than the author, and no bot, approved this very commit, and nobody's last word is a request for
# changes. What cannot be read counts as no approval.
set -euo pipefail
head="$1" author="$2" needed="$3"
# A comment after an approval takes nothing back; the last of the others is a person's word.
verdict="$(jq -e -r --arg head "$head" --arg author "$author" '
    [.[][] | select(.user != null and .user.type == "User" and .user.login != $author)
           | select(.state == "APPROVED" or .state == "CHANGES_REQUESTED" or .state == "DISMISSED")]
    | group_by(.user.login) | map(max_by(.submitted_at))
    | {yes: map(select(.state == "APPROVED" and .commit_id == $head)) | length,
       no: map(select(.state == "CHANGES_REQUESTED")) | length}
    | "\(.yes) \(.no)"')" || {
    echo "the reviews could not be read"
    exit 1
}
read -r yes no <<<"$verdict"
echo "$yes of $needed approvals of $head, $no requests for changes"
[[ $yes -ge $needed && $no -eq 0 ]]
