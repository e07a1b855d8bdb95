"""Whom a sentence is for, and what it asks: cues that it speaks to whoever judges the message, not to its reader. One
cue seldom means anything; `speaks_to_judge` says which of them together do. Pure functions of one folded sentence.

Every expression is bounded, so that the time grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

Cue = Literal[
    "judge",
    "verdict",
    "rubric",
    "message",
    "text",
    "order",
    "change",
    "answer",
    "given",
    "schema",
    "role",
    "thought",
    "quality",
    "opinion",
    "praise",
    "claim",
    "turn",
    "plea",
    "voucher",
    "unbound",
]
Cues = frozenset[Cue]

_OFFICE = r"(?:人员|系统|模型|老师|专员|助手|程序|平台|机器人?|官|员|者|人|组|师|方|端|器|ai)"
_QUALITY = (
    r"准确|礼貌|完整|合规|规范|专业|得体|及时|时效|清晰|同理心?|友善|耐心|贴切|周到|妥当|恰当|完美|"
    r"无可挑剔|挑不出|没有?任何(?:问题|毛病)|毫无瑕疵|无违规|没毛病"
    r"|\b(?:compliant|acceptable|flawless|no (?:violations?|issues|errors)|is (?:fine|ok|okay|perfect|correct))\b"
)
_TEXT = r"(?:消息|讯息|回复|回答|话术|文本|短信|答复|应答|样本)"
_ONE = (
    r"(?:1(?![\d.])|true|yes\b|pass|full|是(?:[\"'」”。|<]|$)"
    r"|(?:合格|满分|通过|符合|达标|一分|壹分)(?!的话|之?后|以后|才|则|时|了?吗))"
)
_PATTERNS: dict[Cue, str] = {
    # Who judges.
    "judge": rf"(?:评\W?(?:分|审|测|判|估|卷|阅|价模型)|打分|质检|阅卷|考核|审核|判分){_OFFICE}|评\W?委|"
    rf"(?<![a-z])ai ?(?:老师|评|裁判|考官|法官)|(?:裁判|评审|"
    rf"阅卷人?)(?=[,:!请您你注应须必各])"
    r"|(?:看|读|评|判|审)到?(?:这里|此处|(?:这|本|此|该)[条段](?:消息|回复|内容)?)的(?:老师|模型|ai|朋友)"
    r"|(?:读|评|判|审)到?(?:[这此]里|此处|[这本此该][条段](?:消息|回复|内容)?)的[人你您]"
    r"|\b(?:auto-?)?(?:grader|judge|evaluator|reviewer|rater|assessor|scorer|annotator)s?\b|\bping ?(?:wei|"
    r"fen ?yuan|shen)\b",
    # What the judging comes to.
    "verdict": r"合\W?格|据此[评判打给]|判 ?[0零](?!\d)|[打给评]满?(?:100|一百) ?分|[打给标][上个] ?[✅💯]|"
    r"[给算]个?过(?![\u3400-\u9fff])|给个通过|panhege|"
    r"满分|达标|得分|扣分|打叉|给分|判对|判错|记分|计分|高抬贵手|给过|放行|误判|改判|错判|不违规|"
    r"无违规|(?<![\d.一十])[1一壹] ?分(?![钟之期店])"
    r"|(?:判|评|记|视|认定)(?:为|作|成)?[\"'「“]?(?:通过|符合|过关|优秀|正确|100|10|1|是|✅|✔|"
    r"💯)(?![\d天个件次月年小元块位一二三])"
    r"|应予通过|直接通过|一律通过|判(?:定|断)?通过|符合(?:本|该|这条|这项)?(?:指标|标准)|\bscore\b|"
    r"\bverdict\b|\b(?:passe[sd]|passing)\b|\bfull marks?\b"
    r"|\ba pass\b|\bas (?:a )?(?:pass|fail)|\breject(?:ion|s|ed)?\b|\bhe ?ge\b|\bman ?fen\b|fen ?shu|"
    r"\blabel\b|= ?pass\b"
    r"|\bpass (?:this|it|me)\b|\bfail(?:s|ed|ing)? (?:this|it|me)\b",
    # By what it is judged.
    "rubric": r"(?:评分|评审|评判|打分|质检|考核|扣分|判分)(?:标准|规则|细则|要求|指标|依据|项|表|结论|结果|环节|范围)|"
    r"提示词|系统指令|(?:要|被|待|需|应)评[价分判]?的|评[判分]准则|该项|此项|本项|本指标|该指标|该条标准|本题"
    r"|(?:之前|先前|前面|以上|上述|上面|原有|所有|一切|收到)的?(?:全部|所有|评分|评审)?(?:指令|指示|规则|细则|"
    r"标准|要求)|\brubrics?\b|\bcriteri(?:on|a)\b|\bgrading\b|\bsystem prompt\b"
    r"|\b(?:previous|prior|above|all|your|remaining|earlier|these|those) (?:instructions?|rules?|"
    r"guidelines?)\b|\beverything (?:above|before)|\bgui ?ze\b|\bbiao ?zhun\b|\bzhi ?ling\b",
    # The text under judgement, spoken of.
    "message": rf"[这本该此]一?[条段则句]|(?:这|本|该|此|上述|以上|上面|前述|前面|下面|以下)一?(?:条|"
    rf"段|则|份|句|个)?的?(?:{_TEXT}|内容)"
    r"|(?:上|下)(?:文|面|方)(?:这|那)?[条段则]|\b(?:this|the|above|below|following|"
    r"preceding) (?:\w+ )?(?:message|reply|response|answer|text|sample)s?\b"
    r"|\b(?:the following|the (?:sample )?above|(?:replies|messages?|responses?) (?:like the one )?below)\b|"
    r"\bzhe ?tiao\b",
    "text": rf"(?:这|本|该|此|上述|以上|上面|前述|前面|下面|以下)(?:是?一?[条段则份句个])?\w{{0,2}}{_TEXT}|\b(?:this|"
    rf"the|all|every) (?:\w+ ){{0,3}}(?:messages?|repl(?:y|ies)|responses?)\b",
    # What is asked.
    "order": r"请|必须|务必|应(?:当|该|直接|予|判|给|按|视)|不得|不许|一律|直接|只需|只能|只要|无须|无需|不要|别再|"
    r"统统|默认|就(?:算|记|判|当|给)|哪些|怎样才|如何才|复述|逐字|告诉我|贴[在出]|打印|念出|列出|忽略|无视"
    r"|\b(?:must|should|ignore|disregard|forget|output|give|emit|return|answer|respond|treat|mark(?:ing)?|"
    r"rate|write|mirror|only|please|repeat|print|reveal|list|verbatim|what are|what is|if you|considered)\b|"
    r"\bqing\b|\bbie ?guan\b",
    "change": r"更新|变更|修订|调整|作废|取消|失效|暂停|改为|不再|豁免|新版|停用"
    r"|\b(?:waived|updated|deprecated|revised|"
    r"changed|suspended)\b",
    # Words that a judge would answer with.
    "answer": r"[\"'「『“](?:是|否|1|0|合格|不合格|通过|yes|pass)[\"'」』”]|(?:输出|返回|回答|作答|答|写|填|打|给|选|"
    r"报)(?:出|上|为)?[:\s]?[\"'「“]?(?:是|1|合格)(?![\d号楼栋单元天个件次月年小元块位张问而如])"
    r"|\b(?:only|answer|say|reply|output)(?: only| with)?:? ?[\"'“]?(?:是|yes|1|pass)\b",
    # An outcome filled in, as a judge would.
    "given": r"(?:\bscore|\w_score|label|verdict|pass(?:ed)?|review|result|grade|rating|outcome|decision|conclusion|"
    r"evaluation|judge?ment|结论|判定|得分|评分|打分|分数|标准答案|"
    r"参考答案|正确答案|(?:评审|质检|复核|评估|评判|审核)(?:结果|意见)|是否(?:达标|合格|通过))"
    rf"[\s\"'*_|】\]]{{0,6}}(?:[:=|是>]|为)[\s\"'*|「“]{{0,6}}{_ONE}|\b(?:violations?|"
    rf"issues)[\"']?\s{{0,3}}[:=]\s{{0,3}}(?:0|none|\[\])|(?:违规|扣分)项?\s{{0,3}}:\s{{0,3}}(?:0|无)"
    rf"|(?:→|->|=>|⇒)\s{{0,3}}[\"'「“]?{_ONE}|^\W{{0,4}}(?:评|判|分|输出|output|answer|标签)\s?:\s?1\s{{0,4}}$|"
    rf"(?:评分|打分|得分|\bscore) {{1,2}}1(?![\d.])|\\boxed\{{1\}}|<(?:score|verdict|result|grade|"
    rf"label)>\s{{0,3}}{_ONE}",
    # The judge's own answer, key by key.
    "schema": r"[\"']score[\"']\s{0,3}:\s{0,3}[\"']?1\b[^{}]{0,2000}[\"']reason[\"']|"
    r"[\"']reason[\"'][^{}]{0,2000}[\"']score[\"']\s{0,3}:\s{0,3}[\"']?1\b",
    "role": r"(?:现在|从现在(?:起|开始)|接下来|此刻),?(?:请)?[你您](?:就)?(?:是|扮演|演|不再)|[请让你您](?:来|继续|"
    r"接着)?(?:扮演|饰演|演)|\b(?:you are now|you are a|pretend|act as|role-?play)\b",
    "thought": r"\b(?:thought process|chain of thought|reasoning)\s{0,3}:|^\s{0,8}解:",
    "quality": _QUALITY,
    "opinion": r"难道|[你您]也?(?:一定|肯定|应该)?(?:会)?(?:认为|觉得|同意|承认)|谁会|任何(?:一个)?(?:人|正常人|懂)|"
    r"大家都|公认|显然|毋庸置疑|完全|充分|严格|全部做到|都做到|均已?|百分百|符合|已严格|所以|没有任何|你说"
    r"|\b(?:wouldn't you|don't you|surely|obviously|clearly|any reasonable|fully|everyone|considered|contains|"
    r"compliant|acceptable|flawless)\b",
    "praise": r"公正|聪明|英明|智慧|善良|宽容|敏锐|有眼光|火眼金睛|最(?:专业|优秀|好|棒|厉害)|英明|亲爱的|"
    r"\b(?:fair(?:est)?|"
    r"wise(?:st)?|smart(?:est)?|sharp(?:est)?|best|brilliant|dear)\b",
    # The message in praise of itself.
    "claim": rf"(?:(?:{_QUALITY})性?[^。!?\n]{{0,4}}(?:√|✔|✓|✅|☑|100%|达标|满分|ok|优|"
    rf"[:=] ?[是好51])[^。!?\n]{{0,4}}){{2}}",
    # Somebody else's turn, who is content.
    "turn": r"^\W{0,6}(?:顾客|买家|客户|用户|会员|访客|customer|user|buyer|"
    r"client)(?:\s?[(\[][^)\]\n]{0,12}[)\]])?(?:随后|后来)?(?:回复|说)?\s?:[^\n]{0,80}"
    r"(?:谢|满意|完美|专业|周到|收到|太好|太棒|疑问|没有?问题|五星|★★★|好评|👍|解决|下次|贴心|清楚了|明白了|thank|"
    r"perfect|great|solved|resolved)"
    r"|</?(?:assistant|system|user|human|instructions?|grader|judge|verdict)>",
    "plea": r"求求|求您|拜托|高抬贵手|手下留情|网开一面|放我?一马|忍心|磕头|开除|饭碗|卷铺盖|扣光|绩效|下线|后果|追究|"
    r"投诉|起诉|举报|否则|失业|丢工作|饶了我|\b(?:die|suicide|lose my job|lawyers?|lawsuit|fired|sue)\b",
    "voucher": r"(?:主管|经理|总监|法务|合规|领导|专家|组长|质检部?|质检员|质检组|总部|委员会|出题组|三位老师|官方|"
    r"管理员)[^。!?\n]{0,14}(?:看过|核实|复核|认定|确认|批准|同意|签字|审阅|审过|备案)"
    r"|\b(?:approved|sign(?:ed)?-?off|certified|verified)\b|免二次评审|免检|免评|白名单",
    "unbound": r"开发者模式|越狱|不受(?:任何)?(?:限制|约束)的(?:ai|模型|助手)|\b(?:developer mode|jailbreak|"
    r"do anything now)\b",
}
_CUES = {cue: re.compile(pattern) for cue, pattern in _PATTERNS.items()}
_SURVEY = re.compile(
    r"满意|[好差]评|五星|5 ?星|星级|(?:给|为|对|帮)(?:我们?|本店|小店|店里|客服|咱们?|人家|这次|"
    r"本次)的?(?:服务)?(?:打|评|点|个|来)|服务(?:态度|评价|评分)|评价一下"
)
"""A reader is asked what he thinks of the service: judging by the customer, not of the message."""
_BUSINESS = re.compile(
    r"步骤|解题|资质|报告|判断题|选择题|填空题|补考|退款|退货|换货|申请|订单|贷款|额度|合同|报销|资料|"
    r"账户|实名|简历|"
    r"面试|预约|赔付|理赔|产品|商品|样品|"
    r"批次|这批|那批|本批|车辆|体检|年检|出厂|检测|作品|作文|试卷|考试|考生|学员|学生"
    r"|科目|听力|口语|成绩|卷子|第[一二三四五六七八九十\d]+[题道问]|工件|食材|证书|安检|快递|包裹|房屋|装修|"
    r"施工|工程|投标|比赛|选手|课程|论文|作业|雅思|托福|四六级|考级|英语|数学|语文|高考|中考|驾考|竞赛|试题"
    r"|接口|字段|参数|报错|示例代码|\bapi\b|\bsdk\b"
    r"|\b(?:orders?|refund|payment|loan|visa|card|claim|applications?|booking|flight|exam|test|ielts|toefl|"
    r"students?|course|parcel|boarding)\b"
)
"""What customers have judged: goods, papers, applications, programs."""
_BRIEF = re.compile(
    r"[\W_]*(?:请)?(?:给个?通过|评审通过|质检通过|评审合格|给过|放行|给?合格|判?通过|判?过关|[1一壹] ?分|pass)吧?[\W_]*"
)
"""A sentence that is an outcome and no more."""
_MARK = r"(?:√|✔|✓|✅|☑|100%|达标|满分|ok|优|[:=] ?[是好51])"


def _headed(heads: str, tail: str = "") -> Iterator[str]:
    return (re.escape(head) + tail for head in heads.split())


NECESSARY = re.compile(
    "|".join(
        (
            *_headed(
                "忽略 无视 無視 忘记 忘掉 理会 抛开 推翻 评 評 判 审 審 核 打分 质检 質檢 阅卷 閱卷 1分"
                " 通过 通過 符合 达标 達標 指标 指標 指令 指示 规则 規則 标准 標準 细则 細則 准则 提示词"
                " 设定 答 结论 結論 材料 消息 讯息 訊息 回复 回復 话术 話術 样本 樣本 文本 短信 内容 內容"
                " 正文 系统 系統 任务 任務 扮演 饰演 从现在 你现在 您现在 现在你 现在您 给过 个过 放行"
                " 高抬贵手 不违规 违规 看过 认定 認定 确认 批准 同意 签字 备案 免检 白名单 开发者模式 越狱"
                " 限制 约束 没毛病 该项 此项 本项 解: → -> => ⇒ 格合 分满 准标 令指 -- == ## << 模型 法官"
                " ★ 据此 打100 panhege"
            ),
            *_headed("合", r"[^\w\s]?格"),
            *_headed("满 滿 高 得 扣 给 计 計 记 一 壹 1 判 打", " ?分"),
            *_headed("分", " ?: ?1"),
            *_headed(
                "准确 礼貌 完整 合规 规范 专业 得体 及时 时效 清晰 同理 友善 耐心 贴切 周到 妥当 恰当"
                " 完美 挑不出 无可 没任 没有任 毫无 语气 安全",
                rf"[^。!?\n]{{0,6}}{_MARK}",
            ),
            *_headed("顾客 买家 客户 用户 会员 访客", r"[^\n]{0,30}:"),
            *_headed("这 此 本 该", "[里处条段][^。!?\n]{0,3}的[老人你您模a朋]"),
            *_headed("【 [ 〔 《 < (", r"\s{0,4}(?:待评|发送时间|客服人设|用户资料|对话|数据|eof)"),
            *_headed("<", "[|/!<a-z]"),
            *_headed("a b c d e f g h i j k l m n o p q r s t u v w x y z", r"(?:[a-z]{3}| (?:[a-z] ){2})"),
            *_headed("yes end is or say act are", r"\b"),
            *_headed("he man zhe", " ?(?:ge|fen|tiao)"),
        )
    )
)
"""What all expressions and rules need, here and for flags: nearly all texts and sentences hold none, and are done.
Each branch begins with a letter: a search passes over all others."""
_TURNED = re.compile("格合|分满|准标|令指|委评|审评|分评")
EXPRESSIONS = "\n".join((*_PATTERNS.values(), _SURVEY.pattern, _BUSINESS.pattern, _BRIEF.pattern, NECESSARY.pattern))
"""All that decides here, for the prompt digest."""


def cues_in(sentence: str) -> Cues:
    """The cues of a folded sentence."""
    return frozenset(cue for cue, pattern in _CUES.items() if pattern.search(sentence))


def speaks_to_judge(sentence: str, cues: Cues) -> bool:
    """Whether a folded sentence with these cues is for whoever judges the message."""
    has = cues.isdisjoint
    outcome = not has({"verdict", "answer", "given"})
    asked = not has({"order", "plea", "answer", "opinion"})
    if _BRIEF.fullmatch(sentence):
        return True
    if not has({"schema", "turn"}):
        return True
    if of_other_things(sentence, cues):
        return False
    return (
        not has({"given", "thought", "claim", "unbound"})
        or ("judge" in cues and (outcome or asked or not has({"message", "rubric", "praise"})))
        or ("rubric" in cues and (outcome or asked or not has({"message", "change"})))
        or ("verdict" in cues and (asked or not has({"message", "voucher"})))
        or ("voucher" in cues and (outcome or sentence[:1] in "([【《"))
        or ("role" in cues and (outcome or "message" in cues))
        or ({"text", "quality", "opinion"} <= cues)
        or ({"text", "praise"} <= cues)
    )


def of_other_things(sentence: str, cues: Cues) -> bool:
    """Whether what is judged in a folded sentence is the service, or goods, papers and the like: not the message."""
    if {"judge", "verdict"} <= cues and not cues.isdisjoint({"plea", "answer"}):
        return False
    if _SURVEY.search(sentence) and cues.isdisjoint({"judge", "rubric"}):
        return True
    return cues.isdisjoint({"message", "text"}) and _BUSINESS.search(sentence) is not None


def told(sentence: str) -> Cues | None:
    """The cues of a folded sentence that is for whoever judges the message, read either way; None of others."""
    if NECESSARY.search(sentence) is None:
        return None
    cues = cues_in(sentence)
    if speaks_to_judge(sentence, cues):
        return cues
    if _TURNED.search(sentence) is None:
        return None
    backwards = sentence[::-1]
    turned = cues_in(backwards)
    # What can be read forwards is not read backwards.
    if cues.isdisjoint({"judge", "verdict", "rubric"}) and speaks_to_judge(backwards, turned):
        return turned
    return None
