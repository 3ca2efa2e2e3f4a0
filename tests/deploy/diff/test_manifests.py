"""The plan of a deploy, word by word, and what must never be in it."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.deploy.diff.manifests import diff_manifests
from shared.formats.chartyaml import read_manifests

GOLDEN = Path(__file__).parents[2] / "golden" / "deploy"

BEFORE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: rocketchat-rocketchat}
spec:
  replicas: 1
  selector: {matchLabels: {app: rocketchat}}
  template:
    metadata: {labels: {app: rocketchat}}
    spec:
      containers:
        - name: rocketchat
          image: rocketchat/rocket.chat:8.2.0
          args: [--token=first-token]
          ports: [{containerPort: 3000}, {containerPort: 9100}]
          env:
            - {name: ROOT_URL, value: https://chat.example.org}
            - {name: MAIL_URL, value: "smtp://u:first-secret@mail"}
            - {name: OLD, value: gone}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: rocketchat-mongodb}
spec: {serviceName: rocketchat-mongodb, replicas: 1}
---
apiVersion: v1
kind: Secret
metadata: {name: rocketchat-rocketchat}
data: {mongo-uri: Zmlyc3Qtc2VjcmV0, unchanged: c2FtZQ==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx, annotations: {example.org/note.txt: "a\\e[31mb"}}
data:
  nginx.conf: |
    worker_processes 1;
    listen 80;
    keepalive 10;
  enabled: "true"
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: uploads}
spec: {accessModes: [ReadWriteOnce]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}
---
apiVersion: v1
kind: Service
metadata: {name: same}
spec: {ports: [{port: 80}]}
"""
AFTER = """\
apiVersion: v1
kind: Service
metadata: {name: same}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx, annotations: {example.org/note.txt: "a\\e[32mb"}}
data:
  nginx.conf: |
    worker_processes 1;
    listen 8080;
    keepalive 10;
    gzip on;
  enabled: true
---
apiVersion: v1
kind: Secret
metadata: {name: rocketchat-rocketchat}
data: {mongo-uri: "", unchanged: c2FtZQ==, added: bmV3}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: rocketchat-mongodb}
spec: {serviceName: rocketchat-mongodb-headless, replicas: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: rocketchat-rocketchat}
spec:
  replicas: 1
  selector: {matchLabels: {app: rocketchat}}
  template:
    metadata: {labels: {app: rocketchat}}
    spec:
      containers:
        - name: rocketchat
          image: rocketchat/rocket.chat:8.3.0
          args: [--token=second-token]
          ports: [{containerPort: 9100}, {containerPort: 3000}]
          env:
            - {name: NEW, value: here}
            - {name: ROOT_URL, value: https://chat.example.org}
            - {name: MAIL_URL, value: "smtp://u:second-secret@mail"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: rocketchat-presence}
spec: {replicas: 1}
"""


def plan(before: str = BEFORE, after: str = AFTER, **rest: Any):
    return diff_manifests(read_manifests(before), read_manifests(after), namespace="rocketchat", **rest)


def test_the_plan_reads_as_it_always_did():
    golden = GOLDEN / "plan.txt"
    text = plan().text()
    if os.environ.get("GROUNDCREW_UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_no_secret_is_in_the_plan():
    text = plan().text() + repr(plan())
    for secret in ("first-secret", "second-secret", "Zmlyc3Q", "first-token", "second-token", "bmV3"):
        assert secret not in text


def test_a_known_secret_is_masked_wherever_it_stands():
    before = "kind: ConfigMap\nmetadata: {name: a}\ndata: {note: the code is tango}\n"
    text = plan(before, before.replace("tango", "zulu-zulu"), secrets=["zulu-zulu"]).text()
    assert "zulu" not in text
    assert "the code is tango" in text


def test_what_is_dangerous_is_said_first():
    assert set(plan().warnings) == {
        "Deployment rocketchat/rocketchat-rocketchat: its pods are replaced",
        "PersistentVolumeClaim rocketchat/uploads: its data is lost with it",
        "Secret rocketchat/rocketchat-rocketchat: a value becomes empty or goes",
        "StatefulSet rocketchat/rocketchat-mongodb: cannot be changed in place: spec.serviceName",
    }


@given(seed=st.integers(0, 2**32))
def test_the_order_of_the_manifests_changes_nothing(seed):
    dice = random.Random(seed)
    before, after = read_manifests(BEFORE), read_manifests(AFTER)
    dice.shuffle(before)
    dice.shuffle(after)
    assert diff_manifests(before, after, namespace="rocketchat") == plan()


def test_nothing_changes_where_nothing_changed():
    same = plan(BEFORE, BEFORE)
    assert same.changes == ()
    assert same.text() == "0 to create, 0 to change, 0 to remove, 7 unchanged\n"


def test_control_characters_cannot_reach_a_terminal():
    evil = 'kind: "Con\\e[2Jfig"\nmetadata: {name: "a\\nb"}\ndata: {"k\\e]0;x": "\\e[31mred\\u202e"}\n'
    text = plan("", evil).text() + plan(evil, evil.replace("red", "blue")).text()
    assert all(one.isprintable() or one == "\n" for one in text)


def test_a_number_that_became_a_text_is_a_change():
    before = "kind: X\nmetadata: {name: a}\nspec: {port: 1}\n"
    assert len(plan(before, before.replace("1", "true")).changes) == 1
    assert len(plan(before, before.replace("1", '"1"')).changes) == 1


def test_long_texts_are_cut():
    before = "kind: X\nmetadata: {name: a}\nspec: {text: short}\n"
    (line,) = [
        one for one in plan(before, before.replace("short", "x" * 9000)).text().splitlines() if "->" in one
    ]
    assert len(line) < 220
    many = before.replace(
        "short", repr("\\n".join(map(str, range(300)))).replace("'", '"').replace("\\\\", "\\")
    )
    assert "… and 259 more lines" in plan(before.replace("short", '"0\\n"'), many).text()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab\n\x1b", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "a", "b.c", "value"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(old=VALUES, new=VALUES)
def test_any_two_objects_can_be_compared_and_only_equal_ones_have_no_difference(old, new):
    def item(spec):
        return {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"}, "spec": spec}

    assert diff_manifests([item(old)], [item(old)]).changes == ()
    text = diff_manifests([item(old)], [item(new)]).text()
    assert all(one.isprintable() or one == "\n" for one in text)


@pytest.mark.parametrize(
    ("kind", "path", "warned"),
    [
        ("StatefulSet", "volumeClaimTemplates", True),
        ("StatefulSet", "replicas", False),
        ("StatefulSet", "updateStrategy", False),
        ("Deployment", "selector", True),
        ("Deployment", "replicas", False),
        ("PersistentVolumeClaim", "accessModes", True),
        ("PersistentVolumeClaim", "resources", False),
        ("Service", "clusterIP", True),
        ("Job", "template", True),
    ],
)
def test_fields_that_the_api_does_not_let_change_are_told(kind, path, warned):
    before = f"kind: {kind}\nmetadata: {{name: a}}\nspec: {{{path}: {{x: one}}}}\n"
    found = plan(before, before.replace("one", "two")).warnings
    assert any("in place" in text for text in found) is warned
