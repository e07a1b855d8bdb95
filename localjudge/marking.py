"""A run's noise bands, laid on its verdicts as they are read. What is stored stays as it was judged."""

from __future__ import annotations

from collections.abc import Iterable

from localjudge.decisions import Band
from localjudge.noise import Noise, marked
from localjudge.stats import Summary, summarize
from localjudge.store import RunStore
from localjudge.verdicts import Verdict


def noise_of(store: RunStore, band: Band | None = None) -> Noise | None:
    """The widest band of the run's shards; None where one of them was not probed, or none is finished.

    `band` is the cascade's uncertain band, the plan's own if not given. Raises StoreError.
    """
    bands = store.noise_bands()
    known = [each.margin for each in bands if each is not None]
    if not known or len(known) < len(bands):
        return None
    plan = store.plan()
    return Noise(
        margin=max(known),
        cascade=plan.strategy == "cascade",
        band=band or (Band(*plan.band) if plan.band else None),
        doubts=plan.doubt_budget is not None,
        calibration=store.calibration() if plan.calibration else None,
    )


def summed(store: RunStore, verdicts: Iterable[Verdict], band: Band | None = None) -> Summary:
    """Counts a run's verdicts, those that its noise could turn among them."""
    noise = noise_of(store, band)
    return summarize(marked(verdicts, noise), noise_band=noise.margin if noise else None)
