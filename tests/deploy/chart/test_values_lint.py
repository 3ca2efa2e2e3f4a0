"""The traps in values files: what is found, on which line, and what is left alone."""

from __future__ import annotations

import pytest

from local.chart import rocketchat
from shared.deploy.chart.read_paths import find_paths_in_values, find_read_paths
from shared.deploy.chart.secret_scan import find_copied_secrets, find_manifest_secrets, find_values_secrets
from shared.deploy.chart.values_lint import ChartValues, lint_values
from shared.formats.chartyaml import find_anchored, merged, read_manifests, read_values
from shared.kernel.errors import Refused

GOOD = """\
host: chat.example.org
image:
  tag: "8.2.0"
existingMongodbSecret: chat-mongodb
mongodb:
  enabled: false
"""


CHART = rocketchat()
READS = find_read_paths({path: data for path, data in CHART.items() if path.startswith("templates/")})
INNER = ("mongodb", "nats", "postgresql", "global", "tags")


def lint(text: str, *, version: str = "8.2.0") -> list[tuple[str, str, int]]:
    file = read_values(text, "values.yaml")
    anchored = {str(path[0]) for path in find_anchored(file, text)}
    reads = READS | find_paths_in_values(file.values)
    values = ChartValues(
        file.values, file.lines, "rocketchat", version, reads=reads, inner_keys=INNER, anchored=anchored
    )
    found = lint_values(values)
    return [(one.rule, one.severity, one.line) for one in found]


def test_good_values_have_no_findings():
    assert lint(GOOD) == []


def test_the_charts_own_keys_are_all_known():
    own = read_values(CHART["values.yaml"].decode(), "values.yaml")
    values = ChartValues(own.values, own.lines, "rocketchat", "8.2.0", reads=READS, inner_keys=INNER)
    found = {one.where for one in lint_values(values) if one.rule == "ignored-key"}
    # Keys of the official chart, whose templates for them the stand-in lacks.
    assert found == {"registrationToken", "smtp"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("extraEnvFrom: []\n", ("ignored-key", "error", 7), id="a key the chart never had"),
        pytest.param(
            "monitoring:\n  enabled: true\n", ("ignored-key", "error", 7), id="a key it has no more"
        ),
        pytest.param("hots: typo\n", ("ignored-key", "error", 7), id="a typo"),
        pytest.param(
            "livenessProbe:\n  pth: /livez\n", ("ignored-key", "warning", 8), id="a typo further down"
        ),
        pytest.param("extraEnv: 'A=b'\n", ("extra-env", "error", 7), id="a text that is no list"),
        pytest.param(
            "extraEnv: |\n  - name: A\n    value: 1\n", ("extra-env", "error", 7), id="a number in a text"
        ),
        pytest.param(
            'replicaCount: "2"\npersistence:\n  enabled: true\n',
            ("replicas-on-one-volume", "error", 7),
            id="replicas in quotes",
        ),
        pytest.param(
            "extraSecret: rocketchat-rocketchat\n",
            ("self-named-secret", "error", 7),
            id="the chart's own secret",
        ),
        pytest.param(
            "fullnameOverride: chat\nextraSecret: chat\n",
            ("self-named-secret", "error", 8),
            id="the chart's own secret by another name",
        ),
        pytest.param(
            "smtp:\n  existingSecret: rocketchat-rocketchat\n",
            ("self-named-secret", "error", 8),
            id="of the mail",
        ),
        pytest.param(
            "replicaCount: 3\npersistence:\n  enabled: true\n",
            ("replicas-on-one-volume", "error", 7),
            id="replicas on one volume",
        ),
        pytest.param("microservices:\n  enabled: true\n", ("missing-license", "error", 8), id="no license"),
        pytest.param(
            "microservices:\n  enabled: true\nextraSecret: license\n",
            ("missing-license", "warning", 8),
            id="a license may be in a secret",
        ),
        pytest.param("livenessProbe:\n  path: /health\n", ("probe-path", "warning", 8), id="an old probe"),
        pytest.param("extraEnv:\n  A: b\n", ("extra-env", "error", 7), id="variables as a mapping"),
        pytest.param("extraEnv:\n  - name: A\n    value: 1\n", ("extra-env", "error", 8), id="a number"),
        pytest.param(
            "extraEnv:\n  - {name: A, value: x}\n  - {name: A, value: y}\n",
            ("extra-env", "error", 9),
            id="twice",
        ),
        pytest.param("extraEnv:\n  - value: x\n", ("extra-env", "error", 8), id="without a name"),
        pytest.param("extraEnv: true\n", ("extra-env", "error", 7), id="variables as a switch"),
        pytest.param("fullnameOverride: [a]\n", ("not-a-text", "error", 7), id="a list for a name"),
    ],
)
def test_each_trap_is_found_on_its_line(text, expected):
    assert expected in lint(GOOD + text)


@pytest.mark.parametrize(
    "text",
    [
        "replicaCount: 3\n",
        "replicaCount: 3\npersistence:\n  enabled: true\n  accessMode: ReadWriteMany\n",
        "microservices:\n  enabled: true\nlicense: ENC[AES256_GCM,data:x]\n",
        "microservices:\n  enabled: true\nextraEnv:\n  - name: ROCKETCHAT_LICENSE\n    valueFrom: {}\n",
        "livenessProbe:\n  path: /livez\n",
        "sops:\n  version: 3.9.0\n",
        "extraEnv:\n",
        "nameOverride:\n",
    ],
    ids=[
        "stateless",
        "shared volume",
        "licensed",
        "licensed by a variable",
        "new probe",
        "sops",
        "empty",
        "nothing",
    ],
)
def test_what_is_fine_is_left_alone(text):
    assert lint(GOOD + text) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("host: x\nimage:\n  tag: latest\nmongodb:\n  enabled: false\n", "floating-tag"),
        ("host: x\nimage:\n  tag: 8.2\nmongodb:\n  enabled: false\n", "floating-tag"),
        ("mongodb:\n  enabled: false\n", "no-host"),
        ("host: x\nmongodb: {image: {repository: bitnami/mongodb}}\n", "bundled-bitnami"),
        ("host: x\nexistingMongodbSecret: db\n", "two-databases"),
        ("host: x\nmongodb:\n  image: {repository: mongo}\n  auth: {enabled: false}\n", "mongodb-open"),
    ],
)
def test_what_is_missing_or_open_is_found(text, rule):
    assert [found for found, _severity, _line in lint(text)] == [rule]


@pytest.mark.parametrize(("repository", "found"), [("bitnamilegacy/mongodb", 0), ("bitnami/mongodb", 1)])
def test_the_charts_own_image_of_mongodb_counts_where_the_values_name_none(repository, found):
    file = read_values("host: x\n", "values.yaml")
    effective = {"mongodb": {"image": {"repository": repository}}}
    values = ChartValues(file.values, file.lines, "rocketchat", "8.6.1", effective=effective)
    assert len([one for one in lint_values(values) if one.rule == "bundled-bitnami"]) == found


def test_a_version_with_the_digest_of_its_image_is_a_version():
    pinned = GOOD.replace('"8.2.0"', f'"8.2.0@sha256:{"a" * 64}"')
    assert lint(pinned) == []


def test_a_probe_of_a_version_that_does_not_have_it_yet_is_an_error():
    text = GOOD + "readinessProbe:\n  path: /readyz\n"
    assert lint(text, version="7.10.0") == [("probe-path", "error", 8)]


SECRETS = """\
mongodb:
  auth:
    rootPassword: hunter22
    usernames: [rocketchat]
    passwords:
      - one-more-hunter
smtp:
  existingSecret: smtp
license: ENC[AES256_GCM,data:abc,type:str]
extraEnv:
  - name: MAIL_URL
    value: smtp://user:pass1234@mail
  - name: OTHER
    value: fine
externalMongodbUrl: ""
token: "{{ .Values.x }}"
sops:
  mac: ENC[AES256_GCM,data:x]
  age: [{recipient: age1x, enc: "-----BEGIN AGE ENCRYPTED FILE-----"}]
"""


def test_plaintext_secrets_in_values_are_found_and_not_shown():
    file = read_values(SECRETS, "prod.yaml")
    found = find_values_secrets(file.values, file.lines, file="prod.yaml")
    assert [(one.line, one.where) for one in found] == [
        (3, "prod.yaml: mongodb.auth.rootPassword"),
        (6, "prod.yaml: mongodb.auth.passwords[0]"),
        (12, "prod.yaml: extraEnv[0].value"),
    ]
    said = " ".join(map(str, found))
    assert not any(secret in said for secret in ("hunter", "pass1234"))


MANIFESTS = """\
kind: Secret
metadata: {name: fine}
data: {password: aHVudGVyMjI=}
---
kind: ConfigMap
metadata: {name: settings}
data:
  smtp-password: hunter22
  policy: strict
---
kind: Deployment
metadata: {name: web}
spec:
  containers:
    - name: web
      args: [--token=abcdefgh, --port=3000, --password=$(FROM_ENV)]
      env:
        - {name: MONGO_URL, value: "mongodb://root:hunter22@db/x"}
        - name: SECRET
          valueFrom: {secretKeyRef: {name: fine, key: password}}
"""


def test_plaintext_secrets_outside_of_secret_objects_are_found():
    found = find_manifest_secrets(read_manifests(MANIFESTS))
    assert [one.where for one in found] == [
        "ConfigMap/settings: data.smtp-password",
        "Deployment/web: spec.containers[0].args[0]",
        "Deployment/web: spec.containers[0].env[0].value",
    ]
    assert "hunter" not in " ".join(map(str, found))


COPIED = """\
kind: Secret
metadata: {name: smtp}
stringData: {smtp-password: hunter22, user: mailer, random: a8Zk2x9Q, license: ""}
---
kind: Secret
metadata: {name: database}
data: {mongo-uri: bW9uZ29kYjovL3Jvb3Q6aCU0MG50ZXIyMkBkYi94, raw: //79, port: MjcwMTc=}
---
kind: Secret
metadata: {name: written}
stringData: {api-token: straight-from-it}
---
kind: Secret
metadata: {name: sealed}
stringData: {password: from-sops}
"""
COMMITTED = {
    "values.yaml": {"smtp": {"pass": "hunter22", "user": "mailer"}, "weak": "from-sops", "port": 27017},
    "production.yaml": {"mongodb": {"pw": "h@nter22"}, "sops": {"mac": "a8Zk2x9Q"}},
}
TEMPLATES = {"templates/token.yaml": 'stringData:\n  api-token: "straight-from-it"\n'}


def test_what_a_secret_holds_must_not_stand_in_plain_text_in_the_repository():
    found = find_copied_secrets(read_manifests(COPIED), COMMITTED, templates=TEMPLATES, secrets=["from-sops"])
    assert [(one.where, one.message) for one in found] == [
        ("Secret/database: mongo-uri", "production.yaml: mongodb.pw has it in plain text"),
        ("Secret/smtp: smtp-password", "values.yaml: smtp.pass has it in plain text"),
        ("Secret/written: api-token", "templates/token.yaml has it in plain text"),
    ]
    assert "nter22" not in " ".join(map(str, found))


@pytest.mark.parametrize("shape", [[], "x", 1, None, {"a": []}], ids=repr)
def test_a_secret_of_another_shape_holds_nothing(shape):
    manifests = [{"kind": "Secret", "metadata": shape, "data": shape, "stringData": shape}]
    assert find_copied_secrets(manifests, COMMITTED) == []
    assert find_manifest_secrets(manifests) == []


# As charts write it who know what a secret is

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PODS = """\
kind: Deployment
metadata: {{name: web, annotations: {{{own}}}}}
spec:
  template:
    metadata: {{annotations: {{{pods}}}}}
    spec:
      containers: [{{name: web, env: [{{name: {name}, value: "{value}"}}]}}]
"""


@pytest.mark.parametrize("value", ["yes", "no", "on", "off", "true"])
def test_a_switch_is_no_secret_whatever_its_name(value):
    text = PODS.format(own="", pods="", name="ALLOW_EMPTY_PASSWORD", value=value)
    assert find_manifest_secrets(read_manifests(text)) == []


@pytest.mark.parametrize(
    "annotation",
    [
        f"checksum/secret: {DIGEST}",
        f'checksum/secret-passwords: "sha256:{DIGEST}"',
        f"secret-hash: {DIGEST[:40]}",
        f"example.org/token-sha256: {DIGEST}",
    ],
)
@pytest.mark.parametrize("where", ["own", "pods"])
def test_a_digest_by_which_pods_are_restarted_is_no_secret(annotation, where):
    text = PODS.format(**{"own": "", "pods": "", where: annotation}, name="A", value="b")
    assert find_manifest_secrets(read_manifests(text)) == []


@pytest.mark.parametrize(
    "annotation",
    [
        f"example.org/token: {DIGEST}",
        "checksum/secret: hunter22",
        "checksum/secret: correct-horse-battery",
        f"checksum/secret: ghp_{DIGEST[:36]}",
    ],
    ids=["another name", "no digest", "words", "a token's form"],
)
def test_what_only_looks_like_a_digest_is_found(annotation):
    found = find_manifest_secrets(read_manifests(PODS.format(own="", pods=annotation, name="A", value="b")))
    assert ["annotations" in one.where for one in found] == [True]


def test_a_digest_outside_of_annotations_is_found():
    text = PODS.format(own="", pods="", name="PASSWORD_HASH", value=DIGEST)
    assert len(find_manifest_secrets(read_manifests(text))) == 1
    settings = f"kind: ConfigMap\nmetadata: {{name: a}}\ndata: {{password-hash: {DIGEST}}}\n"
    assert len(find_manifest_secrets(read_manifests(settings))) == 1


# The YAML itself


def test_values_are_read_as_helm_reads_them_with_the_line_of_each():
    file = read_values("a: yes\nb:\n  - x: 2024-01-01\n  - z\n", "v")
    assert file.values == {"a": True, "b": [{"x": "2024-01-01"}, "z"]}
    assert (file.lines[("b", 0, "x")], file.lines[("b", 1)]) == (3, 4)
    assert "2024" not in repr(file)


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n"])
def test_an_empty_file_has_no_values(text):
    assert read_values(text, "v").values == {}


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "- 1\n",
        "a: 1\n---\nb: 2\n",
        "a: 1\na: 2\n",
        "a: !!python/object/apply:os.system [id]\n",
        "a: &a [*a]\n",
        "a: &a\n  <<: *a\n",
        "k: " + "[" * 500,
        "a: \x00",
        BOMB,
        MERGES,
    ],
    ids=[
        "broken",
        "a list",
        "two documents",
        "a key twice",
        "a tag",
        "a circle",
        "a merging circle",
        "deep",
        "nul",
        "bomb",
        "merge bomb",
    ],
)
def test_values_that_cannot_be_read_are_refused_by_name(text):
    with pytest.raises(Refused, match="prod"):
        read_values(text, "prod.yaml")


def test_an_error_names_the_line_and_does_not_quote_it():
    with pytest.raises(Refused) as caught:
        read_values("a: 1\npassword: 'hunter22\n", "prod.yaml")
    assert "hunter22" not in str(caught.value)
    assert "line" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: *Hunter2Secret\n",
        "a: !Hunter2Secret\n",
        "a: !Hunter2Secret x\n",
        "a: !<tag:Hunter2Secret> x\n",
        "a: !!python/object:Hunter2Secret {}\n",
        "a: 'a'Hunter2Secret\n",
        'a: {b: "\\Hunter2Secret"}\n',
        "%Hunter2Secret x\na: 1\n",
        "a: &Hunter2Secret x\nb: &Hunter2Secret y\n",
        "? [Hunter2Secret]\n: 1\n",
        "Hunter2Secret: 1\nHunter2Secret: 2\n",
        "a:\n\t- Hunter2Secret\n",
        "a: !!int Hunter2Secret\n",
    ],
)
def test_an_error_quotes_no_alias_no_tag_and_no_key(text):
    with pytest.raises(Refused) as caught:
        read_values(text, "prod.yaml")
    assert "Hunter2" not in str(caught.value)
    assert "line" in str(caught.value)
    assert "column" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("!!str 5", "5"),
        ("!!null ''", None),
        ("!!binary aGk=", "hi"),
        ("'yes'", "yes"),
        ("|-\n  1e3", "1e3"),
    ],
)
def test_a_tag_or_a_quote_says_what_a_value_is(text, value):
    made = read_values(f"a: {text}\n", "v").values["a"]
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    "text", ["!!int ''", "!!float x", "!!bool 1", "!!int true", "!!map x", "!!timestamp 2001-01-01"]
)
def test_a_value_that_is_not_what_its_tag_says_is_refused(text):
    with pytest.raises(Refused, match="tag"):
        read_values(f"a: {text}\n", "v")


def test_later_values_win_key_by_key_and_null_removes():
    layers = [{"a": {"b": 1, "c": 2}, "l": [1]}, {"a": {"c": 3}, "l": [2]}, {"a": {"b": None}}]
    assert merged(layers) == {"a": {"c": 3}, "l": [2]}


def test_rendered_lists_are_unfolded_and_empty_documents_left_out():
    text = "---\n# nothing\n---\nkind: A\n---\nkind: ConfigMapList\nitems: [{kind: B}, {kind: C}]\n"
    assert [one["kind"] for one in read_manifests(text)] == ["A", "B", "C"]
    with pytest.raises(Refused):
        read_manifests("just text")


def test_a_license_is_needed_where_the_charts_own_values_switch_microservices_on() -> None:
    own = read_values(GOOD, "values.yaml")
    for switched in (True, False):
        effective = {"microservices": {"enabled": switched}}
        values = ChartValues(own.values, own.lines, "rocketchat", "8.6.1", effective=effective)
        assert [one.rule for one in lint_values(values)] == (["missing-license"] if switched else [])


def test_what_the_chart_offers_without_reading_it_is_warned_of_only() -> None:
    text = GOOD + "older: {a: 1}\n"
    file = read_values(text, "values.yaml")
    for own, severity in (((), "error"), (("older",), "warning")):
        values = ChartValues(
            file.values, file.lines, "rocketchat", "8.2.0", own, reads=READS, inner_keys=INNER
        )
        assert [(one.where, one.severity) for one in lint_values(values)] == [("older", severity)]
