"""Memory that is used again is never written under somebody who still looks at it."""

from __future__ import annotations

from shared.kernel.buffers import GrowingBuffer, ReusedBuffers, SpareMemory


def test_a_buffer_is_given_out_again_when_no_view_of_it_is_left() -> None:
    buffers = ReusedBuffers()
    first = buffers.take()
    first.write(b"first")
    view = first.getbuffer()[:5]
    second = buffers.take()
    second.write(b"other")
    assert (second is not first, bytes(view)) == (True, b"first")
    view.release()
    again = buffers.take()
    assert again is first
    again.write(b"1")  # from the beginning
    assert bytes(first.getbuffer()) == b"1irst"


def test_two_views_of_one_buffer_both_keep_it() -> None:
    buffers = ReusedBuffers()
    first = buffers.take()
    first.write(b"first")
    whole = first.getbuffer()
    part = whole[:2]
    whole.release()
    assert buffers.take() is not first
    part.release()
    assert buffers.take() is first


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
        held = first.handed_on.take()
        held.write(b"first")
        view = held.getbuffer()
    with spare.lend() as again, spare.lend() as other:
        assert {id(again), id(other)} == {id(first), id(second)}
        taken = first.handed_on.take()
        taken.write(b"other")
    assert bytes(view) == b"first"  # somebody still looks at what the stream before gave out
