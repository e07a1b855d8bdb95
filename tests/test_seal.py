"""The Merkle root over verdicts, and verdicts made fit for other eyes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store import PLAN, verdict

from localjudge.errors import ConfigError
from localjudge.redact import own_key, pseudonym, redacted
from localjudge.seal import merkle_root, sealed_names
from localjudge.store import RunStore
from localjudge.verdicts import NOT_APPLICABLE, Grade, Stage

HEX = ",00,10,2021,3031,40414243,5051525354555657,606162636465666768696a6b6c6d6e6f"
LEAVES = [bytes.fromhex(text) for text in HEX.split(",")]
"""The leaves of Certificate Transparency's own tests, and the roots of its first ones."""
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", ROOTS)
def test_the_root_is_that_of_rfc_6962(count: int) -> None:
    assert merkle_root(LEAVES[:count]) == ROOTS[count]


def recursive_root(leaves: list[bytes]) -> bytes:
    """Section 2.1 of RFC 6962, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=3), max_size=40))
def test_the_root_built_leaf_by_leaf_is_the_recursive_one(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == recursive_root(leaves).hex()


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=12), st.data())
def test_any_leaf_changed_dropped_or_doubled_changes_the_root(leaves: list[bytes], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(leaves) - 1))
    changed = [*leaves[:place], leaves[place] + b"!", *leaves[place + 1 :]]
    doubled = [*leaves[: place + 1], *leaves[place:]]
    assert merkle_root(leaves) not in map(merkle_root, (changed, doubled, leaves[:place] + leaves[place + 1 :]))


def written(folder: Path, *names: str, **fields: Any) -> RunStore:
    store = RunStore.create(folder, PLAN)
    for name in names:
        store.append(verdict(name, **fields))
    store.close()
    return store


def test_the_root_does_not_depend_on_the_order_of_writing(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one", "甲", "乙", "丙"), written(tmp_path / "two", "丙", "甲", "乙")
    seals = [store.write_seal() for store in (one, two)]
    assert seals[0].merkle_root == seals[1].merkle_root
    assert seals[0].files["plan.json"] == seals[1].files["plan.json"]
    assert sealed_names(one.folder) == list(seals[0].files)


# Other eyes


def told(**fields: Any) -> Grade:
    values: dict[str, Any] = {"id": "1.1", "indicator": "题", "score": 1, "applicable": True, "reason": "张三的原话"}
    return Grade(**values | fields)


def test_a_redacted_verdict_keeps_its_scores_and_no_words(tmp_path: Path) -> None:
    stage = Stage(stage="explain", score=1, applicable=True, reason="张三的原话")
    away = told(applicable=False, reason=NOT_APPLICABLE)
    detail = (told(stages=(stage,), thinking="张三想", p_pass=0.9), away)
    store = written(tmp_path / "run", "工单1001", "工单1002", detail=detail, extra={"手机": "13800000000"})
    key = own_key(tmp_path / "home" / "redaction.key")
    found = list(redacted(store.stored(), key))
    text = "".join(each.model_dump_json() for each in found)
    assert not [word for word in ("工单", "张三", "138") if word in text]
    assert [each.id for each in found] == sorted(pseudonym(name, key) for name in ("工单1001", "工单1002"))
    assert {(grade.score, grade.p_pass, grade.reason) for each in found for grade in each.detail} == {
        (1, 0.9, ""),
        (1, None, NOT_APPLICABLE),
    }


def test_a_key_is_made_once_kept_private_and_decides_the_names(tmp_path: Path) -> None:
    path = tmp_path / "home" / "redaction.key"
    key = own_key(path)
    assert own_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert pseudonym("a", key) != pseudonym("a", own_key(tmp_path / "other.key"))
    path.write_bytes(b"short")
    with pytest.raises(ConfigError, match="no redaction key"):
        own_key(path)
