"""Counters, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from yanlm.serving.metrics import Metrics


def test_what_is_counted_is_what_prometheus_reads() -> None:
    metrics, other = Metrics(), Metrics()
    metrics.filled(4, 20, 0.5)
    metrics.filled(2, 10, 0.25)
    metrics.queued(3)
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if not sample.labels
    }
    assert samples["yanlm_tokens_total"] == 30 and samples["yanlm_model_seconds_total"] == 0.75
    assert samples["yanlm_batch_texts_sum"] == 6 and samples["yanlm_queue_texts"] == 3
    assert b"yanlm_tokens_total 0.0" in other.text()
