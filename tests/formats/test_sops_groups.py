"""Files that take several groups of keys to open: sealed, edited, given to others; and `.sops.yaml`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from shared.formats.agekeys import Identity, generate_identity, parse_identities
from shared.formats.sops_config import find_creation_rule
from shared.formats.sops_keys import SealedKeys, SopsRecipients
from shared.formats.sops_writer import SealRules, open_text, reseal, rotate_recipients, seal
from shared.kernel.errors import Refused, UsageError

KEYS = [generate_identity(post_quantum=False) for _ in range(4)]
PUBLIC = [public for _, public in KEYS]
QUANTUM = generate_identity(post_quantum=True)[1]
THREE = SopsRecipients(tuple((one,) for one in PUBLIC[:3]), 2)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES = "# how it is reached\nhost: chat.example.org\npassword: p4ssw0rd\n"


def having(*places: int) -> list[Identity]:
    return parse_identities("\n".join(KEYS[place][0] for place in places))


def sealed() -> str:
    return seal(VALUES, "v", THREE, SealRules(), NOW)


def test_any_two_of_three_groups_open_it_and_one_does_not() -> None:
    text = sealed()
    for pair in ((0, 1), (1, 2), (2, 0), (0, 1, 2)):
        assert open_text(text, "v", having(*pair)) == VALUES
    for place in range(4):
        with pytest.raises(Refused, match="several groups together"):
            open_text(text, "v", having(place))
    section = yaml.safe_load(text)["sops"]
    assert section["shamir_threshold"] == 2
    assert [[one["recipient"] for one in group["age"]] for group in section["key_groups"]] == [
        [one] for one in PUBLIC[:3]
    ]
    assert "age" not in section  # who stood there would open it alone


def test_each_of_a_group_has_its_share_and_two_of_one_group_are_one() -> None:
    text = seal(VALUES, "v", SopsRecipients(((PUBLIC[0], PUBLIC[1]), (PUBLIC[2],))), SealRules(), NOW)
    assert open_text(text, "v", having(0, 2)) == open_text(text, "v", having(1, 2)) == VALUES
    with pytest.raises(Refused, match="1 of 2 groups, 2 are needed"):
        open_text(text, "v", having(0, 1))


def test_one_group_is_a_file_as_any_other() -> None:
    text = seal(VALUES, "v", SopsRecipients(((PUBLIC[0], PUBLIC[1]),)), SealRules(), NOW)
    assert "key_groups" not in text
    assert open_text(text, "v", having(1)) == VALUES


def test_an_edit_keeps_the_groups_and_what_in_them_is_not_ages() -> None:
    text = sealed()
    section = yaml.safe_load(text)["sops"]
    kms = {
        "arn": "arn:aws:kms:eu-1:1:key/k",
        "created_at": "2026-01-01T00:00:00Z",
        "enc": "AQI=",
        "aws_profile": "",
    }
    section["key_groups"][1]["kms"] = [kms]
    text = text[: text.index("sops:\n")] + yaml.safe_dump({"sops": section})
    after = reseal(VALUES.replace("p4ssw0rd", "an0ther"), text, "v", having(0, 2), NOW)
    kept = yaml.safe_load(after)["sops"]
    assert kept["key_groups"] == section["key_groups"]
    assert kept["shamir_threshold"] == 2
    assert "an0ther" in open_text(after, "v", having(0, 1))


def test_groups_are_exchanged_for_groups_under_a_new_key_and_never_for_people_alone() -> None:
    text, new = sealed(), SopsRecipients(((PUBLIC[2],), (PUBLIC[3],)))
    after = rotate_recipients(text, "v", having(0, 1), new, NOW)
    assert open_text(after, "v", having(2, 3)) == VALUES
    with pytest.raises(Refused):
        open_text(after, "v", having(0, 1, 2))
    for alone in ([PUBLIC[3]], SopsRecipients(((PUBLIC[3],),))):
        with pytest.raises(Refused, match="one of them could open it"):
            rotate_recipients(text, "v", having(0, 1), alone, NOW)


@pytest.mark.parametrize(
    "to",
    [
        SopsRecipients(tuple((one,) for one in PUBLIC[:2]), 1),
        SopsRecipients(tuple((one,) for one in PUBLIC[:2]), 3),
        SopsRecipients(((PUBLIC[0],), ())),
        SopsRecipients(((PUBLIC[0],), (QUANTUM,))),
        SopsRecipients(()),
        SopsRecipients(((PUBLIC[0],), ("age1nobody",))),
    ],
)
def test_groups_that_cannot_be_are_refused(to: SopsRecipients) -> None:
    with pytest.raises(UsageError):
        seal(VALUES, "v", to, SealRules(), NOW)


def config(folder: Path, *rules: object) -> Path:
    (folder / ".sops.yaml").write_text(json.dumps({"creation_rules": rules}))
    (folder / "charts").mkdir(exist_ok=True)
    file = folder / "charts" / "values-production.yaml"
    file.write_text(VALUES)
    return file


def test_the_first_rule_that_fits_the_path_is_taken(tmp_path: Path) -> None:
    file = config(
        tmp_path,
        {"path_regex": "^other/", "age": PUBLIC[3]},
        {"path_regex": r"^charts/.*\.yaml$", "age": ", ".join(PUBLIC[:2]), "encrypted_regex": "^pass"},
        {"age": PUBLIC[2]},
    )  # fmt: skip
    rule = find_creation_rule(file)
    assert rule is not None
    assert rule.recipients == SopsRecipients(((PUBLIC[0], PUBLIC[1]),))
    assert rule.rules == SealRules(encrypted_regex="^pass")
    (tmp_path / "else.yaml").write_text(VALUES)
    other = find_creation_rule(tmp_path / "else.yaml")
    assert other is not None
    assert other.recipients == SopsRecipients(((PUBLIC[2],),))


def test_key_groups_and_the_threshold_come_from_the_rule(tmp_path: Path) -> None:
    groups = [{"age": [one]} for one in PUBLIC[:3]]
    rule = find_creation_rule(
        config(tmp_path, {"shamir_threshold": 2, "key_groups": groups, "mac_only_encrypted": True})
    )
    assert rule is not None
    assert (rule.recipients, rule.only_encrypted) == (THREE, True)


def test_key_groups_without_a_threshold_are_needed_all(tmp_path: Path) -> None:
    rule = find_creation_rule(config(tmp_path, {"key_groups": [{"age": [one]} for one in PUBLIC[:3]]}))
    assert rule is not None
    assert (rule.recipients.threshold, rule.recipients.needed, rule.only_encrypted) == (0, 3, False)


def test_keys_are_written_as_sops_writes_them_whatever_their_length() -> None:
    group = {"age": [{"recipient": "age1" + "x" * 2000, "enc": "-----BEGIN\nabc\n"}]}
    lines = list(SealedKeys({"shamir_threshold": 1, "key_groups": [group]}).lines())
    assert lines == [
        "    shamir_threshold: 1",
        "    key_groups:",
        "        -   age:",
        "                -   recipient: age1" + "x" * 2000,
        "                    enc: |",
        "                        -----BEGIN",
        "                        abc",
    ]


def test_a_threshold_without_key_groups_is_of_nothing(tmp_path: Path) -> None:
    rule = find_creation_rule(config(tmp_path, {"shamir_threshold": 2, "age": PUBLIC[0]}))
    assert rule is not None
    assert rule.recipients == SopsRecipients(((PUBLIC[0],),))


def test_without_a_config_above_the_file_there_is_no_rule(tmp_path: Path) -> None:
    file = config(tmp_path, {"age": PUBLIC[0]})
    (tmp_path / ".sops.yaml").unlink()
    assert find_creation_rule(file) is None


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"path_regex": "^elsewhere", "age": PUBLIC[0]}, "has no rule for charts/values-production.yaml"),
        ({"pgp": "85D77543B3D624B63CEA9E6DBC17301B491B3F21"}, "not served: pgp"),
        ({"age": PUBLIC[0], "kms": "arn:aws:kms:x"}, "not served: kms"),
        ({"key_groups": [{"age": PUBLIC[:1]}, {"hc_vault": ["https://vault"]}]}, "not served: hc_vault"),
        ({"key_groups": [{"merge": [{"age": PUBLIC[:1]}]}]}, "not served: merge"),
        ({"age": "nobody"}, "not an age recipient"),
        ({}, "no recipients"),
        ({"path_regex": "(", "age": PUBLIC[0]}, "cannot read"),
        ("text", "cannot read"),
        ({"age": PUBLIC[0], "encrypted_comment_regex": "x"}, "comments, which is not served"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_refused_and_never_left_out(
    tmp_path: Path, rule: object, why: str
) -> None:
    with pytest.raises((UsageError, Refused)) as refused:
        find_creation_rule(config(tmp_path, rule))
    assert why in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "creation_rules: 1", "a: [", "other: 1"])
def test_a_config_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    file = config(tmp_path)
    (tmp_path / ".sops.yaml").write_text(text)
    with pytest.raises(UsageError):
        find_creation_rule(file)
