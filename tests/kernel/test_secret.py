"""A secret leaves its type by `reveal` alone."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from shared.formats.manifest import Signer
from shared.kernel.secret import Secret

TEXT = "hunter2-hunter2"


def test_no_way_to_print_a_secret_shows_it() -> None:
    secret = Secret(TEXT)
    printed = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{[secret]}",
    ]
    assert set(printed[:4]) == {"**redacted**"}
    assert not [text for text in printed if TEXT in text]
    with pytest.raises(TypeError) as caught:
        secret + "x"  # type: ignore[operator]
    assert TEXT not in "".join(traceback.format_exception(caught.value))
    assert secret.reveal() == TEXT


def test_a_secret_goes_into_no_pickle_and_no_copy() -> None:
    with pytest.raises(TypeError, match="not to be pickled") as caught:
        pickle.dumps(Secret(TEXT))
    assert TEXT not in str(caught.value)
    with pytest.raises(TypeError, match="not to be pickled"):
        copy.copy(Secret(TEXT))
    assert not hasattr(Secret(TEXT), "__dict__"), "vars() would show it"


def test_an_empty_secret_is_false_and_any_other_true() -> None:
    assert not Secret("")
    assert Secret(" ")


def test_a_signing_key_does_not_print_its_seed() -> None:
    signer = Signer.generate()
    for printed in (repr(signer), str(signer), f"{[signer]}"):
        assert str(signer.seed) not in printed
        assert signer.seed.hex() not in printed
        assert "seed" not in printed
