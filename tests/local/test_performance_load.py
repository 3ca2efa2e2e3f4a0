"""What docs/performance.md says of many workers and many requests, from figures as the bench writes them."""

from __future__ import annotations

from local.performance_load import fanout_text, soak_text

FANOUT = {
    "megabytes": 42.0, "parts": 20, "reader_megabytes_per_second": 2.0, "server_megabytes_per_second": 6.0,
    "budget_megabytes_per_second": 3.146, "1_workers_mb_per_second": 1.9, "2_workers_mb_per_second": 3.8,
    "4_workers_mb_per_second": 5.7, "4_workers_with_budget_mb_per_second": 3.1,
}  # fmt: skip
SOAK = {
    "minutes": 10.0, "per_second": 10.0, "accepted": 5, "recorded": 5, "lost": 0, "twice": 0, "poisoned": 0,
    "sent": {"valid": 4, "forged": 3}, "answers": {"valid": {"202": 4}, "forged": {"401": 2, "403": 1}},
    "valid_p50_milliseconds": 4.0, "valid_p99_milliseconds": 30.0, "rss_megabytes": [150.0, 151.0],
}  # fmt: skip


def test_each_number_of_workers_is_set_beside_one_with_what_limits_it() -> None:
    text = fanout_text(FANOUT)
    assert "| 2 | 3.80 | 2.00× | 2 × 2 MB/s |" in text
    assert "| 4 | 5.70 | 3.00× | 6 MB/s for all |" in text
    assert "4 workers read 3.10 MB/s together" in text.replace("\n", " ")


def test_answers_are_counted_by_kind() -> None:
    text = soak_text(SOAK)
    assert "| 3 | 2 × 401, 1 × 403 |" in text
    assert "| 0 | none |" in text  # nothing too large was sent
    assert "150, 151" in text


def test_how_long_the_emulator_itself_took_is_told_beside() -> None:
    assert "emulator" not in soak_text(SOAK)
    text = soak_text({**SOAK, "emulator_slowest_milliseconds": 212.4}).replace("\n", " ")
    assert "took at most 212 ms" in text


def test_what_was_not_measured_is_not_written_about() -> None:
    assert fanout_text({}) == soak_text({}) == ""
