"""Orders at the command line in the words of the chat: which of them is the machine, and which the time."""

from __future__ import annotations

import pytest

from cli.power_orders import split_order
from shared.kernel.errors import UsageError

MACHINES = ["rocketchat", "2nd", "groundcrew=chat"]


@pytest.mark.parametrize(
    ("words", "machine", "when"),
    [
        ("", "", ""),
        ("rocketchat", "rocketchat", ""),
        ("Rocketchat until 22:00", "Rocketchat", "until 22:00"),
        ("until 22:00", "", "until 22:00"),
        ("for 2h", "", "for 2h"),
        ("Saturday 10-14", "", "saturday 10-14"),
        ("tomorrow machine rocketchat", "rocketchat", "tomorrow"),
        ("machine rocketchat", "rocketchat", ""),
        ("2nd for 2h", "2nd", "for 2h"),
        ("groundcrew=chat until Monday 7:00", "groundcrew=chat", "until Monday 7:00"),
        ("/subscriptions/s/x/vm1 for 2h", "/subscriptions/s/x/vm1", "for 2h"),
        ("other", "other", ""),
    ],
)
def test_the_words_of_the_chat_are_understood_with_the_machine_before_them(
    words: str, machine: str, when: str
) -> None:
    assert split_order(words.split(), MACHINES) == (machine, when)


@pytest.mark.parametrize("words", ["rocketchat soon", "x y z"])
def test_what_is_no_time_is_refused_with_how_it_is_written(words: str) -> None:
    with pytest.raises(UsageError, match="Write: "):
        split_order(words.split(), MACHINES)
