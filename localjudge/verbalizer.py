"""A verbalizer: from the log-probabilities of many words as the next token to one margin. A read asks for one of three
labels; what a model takes a message for shows in many other words too, each of them next to impossible as an answer
and still likelier behind one message than behind another. Weighs them; `calibrate` finds the weights.

The term is that of Schick and Schuetze (2021), who map words to classes by hand; weights that are learned make it a
linear probe (Alain and Bengio 2016) of the model's last layer, as far as these words show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pydantic import BaseModel, ConfigDict, field_validator

from localjudge.reads import READ_LABELS

WORDS = tuple(
    "年 数 日 的 月 用 成 名 时 件 一 请 中 据 码 不 新 文 下 分 入 人 功 上 户 为 间 号 取 回 在 页 字"
    " 有 个 成功 作 示 用户 数据 出 时间 失 表 除 加 败 生 信 类 置 理 本 失败 息 行 定 改 市 期 以 修 元"
    " 方 录 区 单 位 型 法 县 存 品 前 称 注 修改 值 输 建 能 大 例 度 始 文件 到 面 载 信息 点 密 动 果"
    " 图 提 发 式 国 删除 登 错 者 认 误 接 关 重 第 地 如 设 目 开 事 名称 可 要 代 小 选 标 明 编 求".split()
)
"""What is asked for beside the labels when a verbalizer is to be fitted: the first words of one or two characters in
Qwen's vocabulary, which are common ones. Chosen without a look at any label: each is one more direction in which the
last layer is seen, and which of them tell anything is left to the fit. With the labels 128, as many as vLLM takes.
"""
_FLOOR = -40.0
"""Stands in for smaller log-probabilities: below it, arithmetic and not the model decides."""


class Verbalizer(BaseModel):
    """The weights of the labels' and of further words' log-probabilities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: dict[str, float]
    """Of each label and each word, in any order. Their sum is zero: what raises all alike says nothing."""
    offset: float

    @field_validator("weights")
    @classmethod
    def _weighs_the_labels(cls, weights: dict[str, float]) -> dict[str, float]:
        if not set(READ_LABELS) <= set(weights):
            raise ValueError(f"there is no weight for one of {', '.join(READ_LABELS)}")
        return weights

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Read beside the labels, in this order."""
        return tuple(word for word in self.weights if word not in READ_LABELS)

    @cached_property
    def _in_order(self) -> tuple[float, ...]:
        return tuple(self.weights[word] for word in (*READ_LABELS, *self.words))

    def margin(self, logprobs: Sequence[float]) -> float:
        """Log-odds of passing, before the indicator's own map, from natural log-probabilities of labels and words."""
        pairs = zip(self._in_order, logprobs, strict=True)
        return self.offset + sum(weight * max(value, _FLOOR) for weight, value in pairs)


def centred(logprobs: Sequence[float]) -> list[float]:
    """How far each lies above their mean."""
    floored = [max(value, _FLOOR) for value in logprobs]
    mean = sum(floored) / len(floored)
    return [value - mean for value in floored]
