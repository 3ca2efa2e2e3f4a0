"""The policy.yaml to begin with: it backs up, and stops, starts, removes and deploys nothing.

What would do so stands in comments, ready to be taken in. The repository's own policy.yaml is this text, so
that an app which is published with it unedited does no harm.
"""

from __future__ import annotations

import re

_TEXT = """\
# yaml-language-server: $schema=docs/policy.schema.json
# What the team decides. docs/policy.md explains every key; `groundcrew policy check` finds every mistake.
# As it stands it backs up every night and says what it costs; it stops, starts, removes and deploys nothing.
# Lines that begin with # and no space are settings that are off: remove the # from all lines of a block.
timezone: {timezone}

backup:
  databases: all
  exclude: []
  part_target: 512 MiB
  compression: fast
  retention: lifecycle
  keep:
    daily: 14d
    weekly: 8w
    monthly: 400d
    minimum: 3
  when_vm_off: wake
  alarm_after: 36h

# The machine runs in these windows and is stopped outside of them; people are warned before.
# Look first at what would happen: groundcrew power plan
#power:
#  machines:
#    - name: {machine}
#      windows:
#        - Mon-Fri 07:00-19:00
#      alternatives: [Standard_D4as_v5, Standard_D4s_v5]
#  holidays:
#    country: DE
#  vacations:
#    - first: 2026-12-24
#      last: 2027-01-01
#      name: Christmas break
#  warning: 15m
#  graceful_stop: 5m
#  min_up: 30m

# Snapshots of the disks that have this tag, and their pruning. Look first: groundcrew snapshots list
#snapshots:
#  disks: groundcrew=snapshot
#  every: 24h
#  keep:
#    daily: 14d
#    minimum: 2
#  lock: auto

cost:
  currency: EUR
  region: westeurope

# Without a repository nothing is deployed.
# Look first at what a commit would change: groundcrew deploy plan SHA
deploy:
  #repository: {repository}
  branch: main
  environments: [production]
  namespace: rocketchat
  release: rocketchat
  approvals: 1
  allowed_chart_hosts: [rocketchat.github.io, charts.bitnami.com, registry-1.docker.io, nats-io.github.io]
  helm_timeout: 20m
  # A new version is started on a copy of last night's backup first. Needs infra/chart/rbac-rehearsal.yaml.
  #rehearsal:
  #  when: majors
  #  images: ["docker.io/library/mongo:8.0.15"]

# After each deploy and each start: is every way to sign in there, does a message arrive? The channel needs
# a user of its own, see GROUNDCREW_PROBE_USER. Try it: groundcrew probes run
#probes:
#  enabled: true
#  sign_in: [password]
#  channel: groundcrew-probes

# The addresses of these routes are in the setting GROUNDCREW_NOTIFY_URLS. Try them: groundcrew notify test
notify:
  routes:
    critical: [oncall, chat]
    warning: [chat]
    info: [chat]
  fallback: oncall
  repeat_after: 4h

# Who is who: one person's ids at every platform. An approval needs another person than the requester.
#people:
#  - id: ana
#    name: Ana Example
#    roles: [operator]
#    rocketchat: [rbAXPnMktTFbNpwtJ]
#    entra: [00000000-0000-0000-0000-000000000001]
#    login: [ana]

# Who may order what from chat, and in which rooms. docs/chatops.md has the commands.
#chat:
#  rules:
#    - who: [role:operator]
#      rooms: [rocketchat:GENERAL, laptop]
#      commands: [help, status, up, down, auto, backup, backups, approve, deny, who]
"""


def starter_policy(
    *, timezone: str = "Europe/Berlin", machine: str = "rocketchat", repository: str = "example/rocketchat"
) -> str:
    """The text of a policy.yaml in which all that stops or changes something is off."""
    return _TEXT.format(timezone=timezone, machine=machine, repository=repository)


def switch_all_on(text: str) -> str:
    """The policy with every setting taken in that is off: what tests hold the examples to."""
    # `# Prose` has one space and a word behind the sign, a setting its own indentation or none.
    # The comment above the key `$schema` has a space as well, and stays one.
    return re.sub(r"(?m)^( *)#(?! \S)", r"\1", text)
