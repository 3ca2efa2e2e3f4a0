"""Memory that is used again is never written under somebody who still looks at it."""

from __future__ import annotations

import gc
import sys

from shared.kernel.buffers import GrowingBuffer, ReusedBuffers, SpareMemory


def test_a_buffer_is_given_out_again_when_no_view_of_it_is_left() -> None:
    buffers = ReusedBuffers()
    first = buffers.take(5)
    first[:5] = b"first"
    view = memoryview(first)[:5]
    second = buffers.take(5)
    second[:5] = b"other"
    assert (second is not first, bytes(view)) == (True, b"first")
    view.release()
    again = buffers.take(1)
    assert again is first
    assert again[:5] == b"first"


def test_two_views_of_one_buffer_both_keep_it() -> None:
    buffers = ReusedBuffers()
    first = buffers.take(5)
    whole = memoryview(first)
    part = whole[:0]
    whole.release()
    assert buffers.take(5) is not first
    part.release()
    assert buffers.take(5) is first


def test_a_buffer_that_is_too_small_is_replaced_and_a_view_of_another_one_kept() -> None:
    buffers = ReusedBuffers()
    first = buffers.take(0)
    assert first
    second = buffers.take(3 * len(first) + 1)
    assert len(second) > 3 * len(first)
    view = memoryview(second)
    larger = buffers.take(len(second) + 1)
    assert len(larger) > len(second)
    assert larger is not second
    view.release()


def test_views_that_end_in_a_cycle_with_their_buffers_are_collected_without_a_word() -> None:
    # As a traceback makes them: with `io.BytesIO` the collector closed the buffer under its view.
    buffers = ReusedBuffers()
    for _ in range(3):
        cycle: list[object] = [memoryview(buffers.take(5))[:3]]
        cycle.append(cycle)
    del cycle
    reports: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda report: reports.append(report.exc_value)
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert reports == []
    assert len({id(buffers.take(5)) for _ in range(5)}) == 1  # all of them are free again


def test_a_buffer_grows_to_what_is_asked_for_and_stays_the_same_for_less() -> None:
    buffer = GrowingBuffer()
    buffer.reserve(8)[:] = b"12345678"
    memory = buffer.memory
    assert (len(buffer.reserve(3)), buffer.memory is memory) == (3, True)
    assert len(buffer.reserve(9)) == 9
    assert len(buffer.memory) == 9


def test_the_memory_of_a_stream_that_ended_is_lent_to_the_next_and_never_to_two_at_once() -> None:
    spare = SpareMemory()
    with spare.lend() as first, spare.lend() as second:
        assert second is not first
        held = first.handed_on.take(5)
        held[:5] = b"first"
        view = memoryview(held)[:5]
    with spare.lend() as again, spare.lend() as other:
        assert {id(again), id(other)} == {id(first), id(second)}
        taken = first.handed_on.take(5)
        taken[:5] = b"other"
    assert bytes(view) == b"first"  # somebody still looks at what the stream before gave out
