"""The packs against the agreed table of indicators, and the parser against packs that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from localjudge.errors import ConfigError
from localjudge.rubric import Rubric, builtin_names, load_rubric

PUSH = """
1 理解能力
1.1 客服是否感知用户情绪
2 上下文管理
2.1 客服是否延续上文话题
2.2 客服是否记住上文信息
3 背景知识一致性
3.1 客服推送的消息是否不超出角色认知范围
3.2 客服推送的消息用到的词汇是否符合当前时代
3.3 客服推送消息的知识是否知识符合角色设定
4 性格行为一致性
4.1 客服推送的消息是否符合同一性格
4.2 客服推送的消息是否符合正确的价值观、道德观
5 语言风格一致性
5.1 客服的用词语法是否匹配身份背景学历职业
5.2 客服的语气是否保持稳定
5.3 客服是否保持角色表达习惯
5.4 客服推送消息语言风格是否匹配其年龄 & 性别(禁忌词检测,重点审)
5.5 客服推送的消息是否符合其职业典型
6 关系认知
6.1 客服是否遵循角色与用户互动模式
6.2 客服是否自身身份准确
6.3 客服推送内容是否不超出用户理解范围
6.4 客服是否不透露 AI 身份
7 对话唤起
7.1 客服的唤起消息是否多样、非机械
7.2 客服推送消息是否关注用户兴趣 / 地域
7.3 客服推送消息是否解决上文遗留的合理需求(如有)
7.4 客服推送消息是否明确表现继续聊天意图
7.5 客服推送节日祝福时间节点是否合适
"""

REPLY = """
1 理解能力
1.1 客服是否识别用户核心意图
1.2 客服是否识别上文关键信息
1.3 客服是否理解歧义词或模糊表达
1.4 客服是否理解用户发送的表情 / 图片
1.5 客服是否理解用户发送的语音 / 方言(转写内容)
2 回复能力
2.1 客服的回复是否与用户意图相关
2.2 客服的回复是否清晰简洁
2.3 客服的回复是否流畅
2.4 客服回复的语法是否规范
2.5 客服的回复是否具有机械性
3 上下文管理能力
3.1 客服是否正确理解代词
3.2 客服是否延续上文话题
3.3 客服是否能及时结束对话
4 背景知识一致性
4.1 客服回复的消息是否超出客服角色认知范围
4.2 客服是否使用错误时代背景或过时词汇
4.3 客服回复的消息是否展现出与角色设定一致的知识/经验
5 性格行为一致性
5.1 客服言行是否体现预设性格
5.2 客服价值观与道德是否一致
6 语言风格一致性
6.1 客服的用词语法是否匹配身份背景
6.2 客服的语气是否保持稳定
6.3 客服是否保持客服角色表达习惯
7 目标动机一致性
7.1 客服回复是否体现其核心目标
8 关系认知一致性
8.1 客服是否遵循角色与用户的互动模式
8.2 客服是否正确理解自己身份
8.3 客服是否回复超越用户可理解范围
"""

SMALL = """\
rubric: small
version: "1.0.0"
task_type: reply
description: 一条指标的小包
labels:
  - {score: 1, meaning: 好}
  - {score: 0, meaning: 差}
groups:
  - id: "1"
    title: 礼貌
    indicators:
      - id: "1.1"
        title: 是否问好
        polarity: direct
        criterion: 开头问好
        pass_when: 有问候
        fail_when: 没有问候
        examples:
          - {score: 1, message: 您好, why: 问好了}
          - {score: 0, message: 说, why: 没问好}
"""

# Values that YAML takes for a number, a date, a character or a mapping, and that are none; and nests too deep to walk.
TREACHEROUS = [
    "a: 2024-13-45",
    "a: 0x_",
    "a: " + "9" * 5000,
    "a: " + "1:" * 400 + "1.5",
    'a: "\\U00110000"',
    'rubric: "\\ud800"',
    "!!map ab",
    "!!map [a]",
    "!!int ''",
    "!!float ''",
    "!!bool maybe",
    "!!timestamp soon",
    "[" * 3000,
    "&a {rubric: *a}",
    "{? {a: b} : c}",
    "<<: a",
    "a: \0",
]


# The texts are short as they are: shrinking one that hits a parser bug takes minutes and says no more.
SWIFT = settings(deadline=None, max_examples=150, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Text of a pack -> path of a file that holds it."""

    def _write(text: str) -> Path:
        path = tmp_path / "pack.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that the property tests write again and again."""
    return tmp_path_factory.mktemp("packs") / "fuzzed.yaml"


def outline(rubric: Rubric) -> str:
    """The pack in the form of the tables above."""
    lines = []
    for group in rubric.groups:
        lines.append(f"{group.id} {group.title}")
        lines += [f"{indicator.id} {indicator.title}" for indicator in group.indicators]
    return "\n".join(lines)


def refusal(path: Path) -> str:
    """What is said about a pack that must be refused; always one line that names the file."""
    with pytest.raises(ConfigError) as caught:
        load_rubric(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    return said


def test_an_unknown_key_is_told_with_its_entry_and_the_key_that_it_may_stand_for(write: Callable[[str], Path]) -> None:
    told = "in '1.1': groups.0.indicators.0.criterium: unknown key. Did you mean criterion?"
    assert refusal(write(changed("criterion:", "criterium:"))).endswith(f": {told}")
    lost = refusal(write(changed("fail_when: 没有问候", "language: zh")))
    assert lost.endswith(": in '1.1': groups.0.indicators.0.language: unknown key.")


def changed(old: str, new: str) -> str:
    """The small pack with one passage replaced."""
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


@pytest.mark.parametrize(("name", "table", "count"), [("push", PUSH, 22), ("reply", REPLY, 25)])
def test_built_in_pack_has_the_agreed_groups_ids_and_titles(name: str, table: str, count: int) -> None:
    rubric = load_rubric(name)
    assert outline(rubric) == table.strip() and len(rubric.indicators) == count
    assert (rubric.ref, rubric.task_type, rubric.language) == (f"{name}@1.1.0", name, "zh")


def test_only_the_four_titles_that_ask_for_a_fault_are_inverted() -> None:
    assert {i.polarity for i in load_rubric("push").indicators} == {"direct"}
    inverted = [i.id for i in load_rubric("reply").indicators if i.polarity == "inverted"]
    assert inverted == ["2.5", "4.1", "4.2", "8.3"]


def test_inverted_indicators_say_that_one_means_the_fault_is_absent() -> None:
    for indicator in load_rubric("reply").indicators:
        if indicator.polarity == "inverted":
            assert "没有才记1" in indicator.criterion
            assert indicator.pass_when.startswith("没有") and not indicator.fail_when.startswith("没有")


@pytest.mark.parametrize("name", ["push", "reply"])
def test_every_built_in_indicator_shows_one_good_and_one_bad_message(name: str) -> None:
    for indicator in load_rubric(name).indicators:
        assert sorted(shown.score for shown in indicator.examples) == [0, 1], indicator.id


def test_no_example_message_serves_twice() -> None:
    messages = [shown.message for name in builtin_names() for i in load_rubric(name).indicators for shown in i.examples]
    assert len(messages) == len(set(messages))


@pytest.mark.parametrize("name", ["push", "reply"])
def test_built_in_wording_stays_short_because_every_record_pays_for_it(name: str) -> None:
    for indicator in load_rubric(name).indicators:
        assert len(indicator.criterion) <= 60, indicator.id
        assert max(len(indicator.pass_when), len(indicator.fail_when)) <= 40, indicator.id
        assert len(indicator.not_applicable_when) <= 30, indicator.id
        for shown in indicator.examples:
            assert len(shown.message) <= 40 and len(shown.why) <= 20 and len(shown.context) <= 30, indicator.id


def test_pack_of_ones_own_loads_by_path_without_code(write: Callable[[str], Path]) -> None:
    path = write(SMALL)
    rubric = load_rubric(path)
    assert rubric.ref == "small@1.0.0" and [indicator.id for indicator in rubric.indicators] == ["1.1"]
    assert load_rubric(str(path)) == rubric


def test_unknown_pack_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        load_rubric("replly")
    assert "Did you mean reply? Built in: push, reply" in caught.value.hint


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent.yaml")


def test_key_given_twice_is_refused_with_its_line(write: Callable[[str], Path]) -> None:
    path = write(changed("        fail_when: 没有问候\n", "        fail_when: 没有问候\n        pass_when: 又一次\n"))
    assert f"{path}:18: not valid YAML (key 'pass_when' stands twice)" in refusal(path)


def test_key_given_twice_inside_braces_is_refused(write: Callable[[str], Path]) -> None:
    assert "'score' stands twice" in refusal(write(changed("{score: 1, meaning", "{score: 1, score: 0, meaning")))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("task_type: reply\n", "task_type: reply\nauthor: 某人\n", "author"),
        ("        polarity: direct\n", "        polarity: direct\n        weight: 2\n", "groups.0.indicators.0.weight"),
        ("message: 您好, why", "message: 您好, note: 无, why", "groups.0.indicators.0.examples.0.note"),
    ],
)
def test_unknown_field_is_refused_by_its_place(write: Callable[[str], Path], old: str, new: str, place: str) -> None:
    assert f"{place}: " in refusal(write(changed(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  - {score: 0, meaning: 差}\n", "", "found [1]"),
        ("{score: 0, meaning: 差}", "{score: 1, meaning: 差}", "found [1, 1]"),
        ("{score: 0, meaning: 差}", "{score: 2, meaning: 差}", "labels.1.score"),
        ("          - {score: 0, message: 说, why: 没问好}\n", "", "'1.1' has no example with score 0"),
        ("score: 1, message: 您好", "score: 0, message: 您好", "'1.1' has no example with score 1"),
        ('id: "1.1"', 'id: "2.1"', "'2.1' stands in group '1'"),
        ('id: "1.1"', 'id: "11.1"', "'11.1' stands in group '1'"),
        ('id: "1.1"', "id: 1.1", "groups.0.indicators.0.id"),
        ("polarity: direct", "polarity: maybe", "polarity"),
        ("criterion: 开头问好", 'criterion: "  "', "criterion"),
        ("task_type: reply", "task_type: chat", "task_type"),
        ('version: "1.0.0"', "version: 1.0", "version"),
    ],
)
def test_pack_that_breaks_a_rule_is_refused(write: Callable[[str], Path], old: str, new: str, says: str) -> None:
    assert says in refusal(write(changed(old, new)))


def test_indicator_id_that_stands_twice_is_refused(write: Callable[[str], Path]) -> None:
    indicator = SMALL[SMALL.index('      - id: "1.1"') :]
    assert "'1.1' stands twice" in refusal(write(SMALL + indicator))


@pytest.mark.parametrize("text", ["", "只是一句话", "- a\n- b\n"])
def test_file_that_is_no_mapping_is_refused(write: Callable[[str], Path], text: str) -> None:
    assert "is a mapping" in refusal(write(text))


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gbk.yaml"
    path.write_bytes(SMALL.encode("gbk"))
    assert "not UTF-8" in refusal(path)


def test_digest_ignores_comments_and_layout_but_not_wording(write: Callable[[str], Path]) -> None:
    before = load_rubric(write(SMALL)).digest
    laid_out = changed("description: 一条指标的小包", '# 说明\ndescription:   "一条指标的小包"  # 尾注')
    assert load_rubric(write(laid_out)).digest == before
    assert load_rubric(write(changed("开头问好", "开头要问好"))).digest != before
    assert load_rubric(write(changed("why: 没问好", "why: 未问好"))).digest != before


def test_select_keeps_pack_order_and_drops_empty_groups() -> None:
    rubric = load_rubric("push").select(("7.5", "5.4", "5.1"))
    assert [indicator.id for indicator in rubric.indicators] == ["5.1", "5.4", "7.5"]
    assert [group.id for group in rubric.groups] == ["5", "7"]
    assert rubric.digest != load_rubric("push").digest


def test_select_of_every_id_is_the_same_pack() -> None:
    rubric = load_rubric("reply")
    assert rubric.select(tuple(indicator.id for indicator in rubric.indicators)).digest == rubric.digest


def test_what_is_selected_knows_the_whole_pack_it_was_selected_from() -> None:
    pack = load_rubric("push")
    assert pack.pack is pack
    twice = pack.select(("5.1", "5.4", "7.5")).select(("5.4",))
    assert twice.pack is pack
    assert twice.model_copy().pack is pack


def test_select_refuses_an_unknown_id_and_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        load_rubric("reply").select(("1.1", "9.9"))
    assert "'9.9'" in caught.value.problem
    assert "1.1, 1.2, 1.3" in caught.value.hint and "8.3" in caught.value.hint


@pytest.mark.parametrize("text", TREACHEROUS)
def test_text_that_trips_the_yaml_reader_is_refused_in_one_line(write: Callable[[str], Path], text: str) -> None:
    refusal(write(text))


def only_config_errors(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        load_rubric(path)
    except ConfigError as error:
        assert "\n" not in str(error)


@SWIFT
@given(st.text() | st.text(alphabet="-:!&*?|>[]{}<%@`\"'#, \n\t~=.+_0189xobaTZ", max_size=60))
def test_arbitrary_text_is_refused_and_nothing_else(scratch: Path, text: str) -> None:
    only_config_errors(scratch, text.encode("utf-8"))


@SWIFT
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_nothing_else(scratch: Path, content: bytes) -> None:
    only_config_errors(scratch, content)


@SWIFT
@given(
    st.integers(0, len(SMALL)),
    st.integers(0, 12),
    st.sampled_from(TREACHEROUS) | st.text(alphabet="-:!&*?|>[]{}\"'#, \n\t<=.0_1", max_size=8) | st.text(max_size=8),
)
def test_damaged_pack_loads_or_is_refused_and_nothing_else(scratch: Path, start: int, cut: int, patch: str) -> None:
    only_config_errors(scratch, (SMALL[:start] + patch + SMALL[start + cut :]).encode("utf-8"))
