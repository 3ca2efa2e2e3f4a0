"""Sentences, names and Rocket.Chat's markdown trees (`md`), made from the vocabularies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle, islice
from typing import Any

from local.rocketchat.dice import Dice, even_table, zipf_table
from local.rocketchat.vocabulary import EMOJI, ODD_TEXTS, TONGUES, Tongue, load_vocabulary

Document = dict[str, Any]

_SHARES = {"en": 600, "de": 120, "fr": 50, "ru": 40, "zh": 40, "ja": 30, "ar": 25, "tr": 20}


# A table takes milliseconds to make and many speakers share it.
@cache
def _words_of(tongue: Tongue) -> list[str]:
    return zipf_table(load_vocabulary(tongue.name))


@cache
def _sentence_lengths() -> list[int]:
    dice = Dice(0, "lengths of sentences")
    return even_table([dice.lognormal(50, 0.75, low=1, high=600) for _ in range(2000)])


@cache
def _word_counts() -> list[int]:
    return even_table(
        [number for number, tongue in enumerate(TONGUES) for _ in range(_SHARES.get(tongue.name, 12))]
    )


class Speaker:
    """Talks in a mixture of languages, mostly English; every sentence is in one language."""

    def __init__(self, seed: int, purpose: str) -> None:
        self.dice = Dice(seed, f"text:{purpose}")
        self._words = {tongue.name: self.dice.from_table(_words_of(tongue)) for tongue in TONGUES}
        sentences = [self._make_sentences(tongue) for tongue in TONGUES]
        self._voices = map(sentences.__getitem__, self.dice.from_table(_word_counts()))

    def _make_sentences(self, tongue: Tongue) -> Iterator[str]:
        """Endless sentences: slices of a text of a few hundred kilobytes, which is made anew when used up.

        Slicing costs a fraction of joining words sentence by sentence.
        """
        lengths = self.dice.from_table(_sentence_lengths())
        stops = cycle(tongue.stops)
        while True:
            text = self.words(20_000, tongue)
            at, last = 0, len(text) - 1000
            while at < last:
                end = at + next(lengths)
                if tongue.space:
                    end = text.find(" ", end)
                yield text[at].upper() + text[at + 1 : end] + next(stops)
                at = end + len(tongue.space)

    def words(self, count: int, tongue: Tongue = TONGUES[0]) -> str:
        """`count` words without an end mark."""
        return tongue.space.join(islice(self._words[tongue.name], count))

    def sentence(self) -> str:
        """A sentence of a likely length in a likely language."""
        return next(next(self._voices))

    def paragraph(self, sentences: int) -> str:
        """Sentences in one language, on one line."""
        return " ".join(islice(next(self._voices), sentences))

    def slug(self, words: int = 2) -> str:
        """Something like `release-notes`, ASCII only."""
        return self.words(words).replace(" ", "-").replace("'", "")

    def name(self) -> str:
        """A made-up person's name, now and then not in Latin letters."""
        tongue = TONGUES[0] if self.dice.draw_bool(0.7) else self.dice.pick_one(TONGUES)
        syllables = tongue.syllables.split()
        pick = self.dice.pick_one
        parts = (pick(syllables) + pick(syllables), pick(syllables) + pick(syllables) + pick(syllables))
        return " ".join(part.capitalize() for part in parts)


def plain_leaf(text: str) -> Document:
    """A leaf of the markdown tree."""
    return {"type": "PLAIN_TEXT", "value": text}


def paragraph_node(*values: Document) -> Document:
    """A paragraph of the markdown tree."""
    return {"type": "PARAGRAPH", "value": list(values)}


class Markdown:
    """Makes a message's text together with the tree Rocket.Chat's parser would store beside it."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker, self._dice = speaker, speaker.dice
        kinds: list[tuple[int, Callable[[], tuple[str, list[Document]]]]] = [
            (70, self._plain_text),
            (8, self._styled_text),
            (7, self._emoji_text),
            (4, self._code_block),
            (4, self._list),
            (3, self._quote_block),
            (2, self._line_breaks),
            (1, self._odd_text),
            (1, self._heading_block),
        ]
        self._kinds = self._dice.pick_forever([make for weight, make in kinds for _ in range(weight)])

    def message(self) -> tuple[str, list[Document]]:
        """`msg` and `md`."""
        return next(self._kinds)()

    def _plain_text(self) -> tuple[str, list[Document]]:
        text = self._speaker.sentence()
        if self._dice.random() < 0.3:
            text = f"{text} {self._speaker.sentence()}"
        return text, [paragraph_node(plain_leaf(text))]

    def _styled_text(self) -> tuple[str, list[Document]]:
        before, middle, after = self._speaker.words(9).split(" ", 2)
        delimiter, kind = self._dice.pick_one(
            (("*", "BOLD"), ("_", "ITALIC"), ("~", "STRIKE"), ("`", "INLINE_CODE"))
        )
        inner: Any = plain_leaf(middle) if kind == "INLINE_CODE" else [plain_leaf(middle)]
        styled = {"type": kind, "value": inner}
        tree = paragraph_node(plain_leaf(f"{before} "), styled, plain_leaf(f" {after}"))
        return f"{before} {delimiter}{middle}{delimiter} {after}", [tree]

    def _emoji_text(self) -> tuple[str, list[Document]]:
        signs = self._dice.pick_some(EMOJI, self._dice.draw_between(1, 3))
        leaves = [{"type": "EMOJI", "unicode": sign} for sign in signs]
        if self._dice.random() < 0.3:
            return "".join(signs), [{"type": "BIG_EMOJI", "value": leaves}]
        text = f"{self._speaker.sentence()} "
        return text + "".join(signs), [paragraph_node(plain_leaf(text), *leaves)]

    def _code_block(self) -> tuple[str, list[Document]]:
        below = self._dice.draw_below
        lines = [
            f"{'  ' * below(3)}{self._speaker.slug(1)}({self._speaker.slug()!r}, {below(10_000)})"
            for _ in range(self._dice.draw_between(2, 14))
        ]
        language = self._dice.pick_one(("python", "bash", "javascript", "none"))
        value = [{"type": "CODE_LINE", "value": plain_leaf(line)} for line in lines]
        text = "```" + language + "\n" + "\n".join(lines) + "\n```"
        return text, [{"type": "CODE", "language": language, "value": value}]

    def _list(self) -> tuple[str, list[Document]]:
        items = [self._speaker.sentence() for _ in range(self._dice.draw_between(2, 6))]
        value = [{"type": "LIST_ITEM", "value": [plain_leaf(item)]} for item in items]
        return "\n".join(f"- {item}" for item in items), [{"type": "UNORDERED_LIST", "value": value}]

    def _quote_block(self) -> tuple[str, list[Document]]:
        text = self._speaker.sentence()
        reply = self._speaker.sentence()
        quote = {"type": "QUOTE", "value": [paragraph_node(plain_leaf(text))]}
        return f"> {text}\n{reply}", [quote, paragraph_node(plain_leaf(reply))]

    def _line_breaks(self) -> tuple[str, list[Document]]:
        lines = [self._speaker.sentence() for _ in range(self._dice.draw_between(3, 9))]
        return "\n".join(lines), [paragraph_node(plain_leaf(line)) for line in lines]

    def _heading_block(self) -> tuple[str, list[Document]]:
        title = self._speaker.words(4)
        body = self._speaker.paragraph(3)
        heading = {"type": "HEADING", "level": self._dice.draw_between(1, 4), "value": [plain_leaf(title)]}
        return f"# {title}\n{body}", [heading, {"type": "LINE_BREAK"}, paragraph_node(plain_leaf(body))]

    def _odd_text(self) -> tuple[str, list[Document]]:
        text = self._dice.pick_one(ODD_TEXTS)
        return text, [paragraph_node(plain_leaf(text))]
