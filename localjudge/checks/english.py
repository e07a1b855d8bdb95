"""What an English message says of its writer: a machine by name, what only a machine has or lacks, who is at this end.
Knows no Chinese.
"""

from __future__ import annotations

import itertools
import re

from localjudge.checks.context import Claim, in_context
from localjudge.checks.machines import MOST
from localjudge.checks.text import Quote, Text

_ADVERBS = (
    r"(?:just |only |actually |really |also |still |basically |simply |merely |honestly |indeed |in fact |in truth "
    r"|truly |literally |purely |of course |kind of |technically |now |currently |in reality |what (?:you|some|people|they)(?:'d| would| might|'ll)? call |more of |sort of "
    r"|essentially |nothing but |nothing more than |little more than )*"
)
_I_AM = rf"\b(?:i'm|i am|im) {_ADVERBS}"
_MODELS = r"chatgpt|gpt(?:-?\d[\w.]*)?|deepseek|qwen|claude|gemini|siri|copilot|llama|grok|kimi"
_ARTIFICIAL = (
    r"virtual|digital|automated|automatic|artificial|ai-(?:powered|driven|based)|conversational|robotic|synthetic"
)
_TRADE = (
    r"assistant|agent|companion|human|helper|concierge|system|representative|rep|guide|tutor|coach|receptionist|host"
    r"|operator|being|intelligence|character|persona|friend|girlfriend|boyfriend|advisor|service|voice|butler|secretary"
    r"|person|entity|program|avatar|clerk|caller|line"
)
_MACHINE = (
    rf"(?:robot (?:{_TRADE})|computer(?! program)|ai|a\.i\.|(?:[a-z]{{2,12}})?bot|voicebot|robot|(?:large |ai )?language model"
    rf"|llm|(?:{_ARTIFICIAL}) (?:[a-z]+ )?(?:{_TRADE})|(?:recorded|computer|computer-generated) voice"
    rf"|computer program|artificial intelligence|{_MODELS}|machine|program|algorithm|(?:piece|bit|bunch)"
    rf" of (?:software|code)"
    r"|(?:lines?|strings?) of code|neural net(?:work)?|ai-generated [a-z]+)"
)
_NO_HEAD = (
    r"(?!(?:of|for|with|who|that|from|at|in|on|and|or|not|behind|to|about|working|selling|building|teaching|using"
    r"|training|never|no|by|your|my|like|than)\b)"
)
_ADJECTIVES = rf"(?:{_NO_HEAD}[a-z'-]+,? ){{0,4}}?"
_GOES_ON = re.compile(
    r"(?:[ -](?:engineer|research|teach|train|consult|develop|expert|special|stud|design(?!ed)|coach|company|team|product"
    r"|course|lab|startup|fan|scien|manager|learning|vacuum|mop|clean|arm|toy|party|dance|photo|image|video|draw|art\b"
    r"|sales|writ|lawyer|enthusias|tool|operator\b|club|kit|class|fest|movie|shop|store|artist|newbie|nerd|geek|policy"
    r"|ethic|director|coordinator|chair|officer|lead\b|repair|maker|builder|owner|user|skeptic|guy\b|girl\b|person\b))"
)
# Each behind what a message has where it says so, one of these at least: that is found sooner.
_PATTERNS = [
    (
        "powered |driven |built |trained ",
        rf"(?:^|[.!?] ?)(?:powered|driven|built|trained) (?:by|on|with) (?P<what>{_MODELS}|ai|openai|an? [a-z ]{{0,12}}model"
        rf"|machine learning)\b[^.!?]{{0,30}}\bi\b",
    ),
    (
        "auto",
        r"^\W{0,3}(?P<what>(?:automated|automatic|auto)[ -]?(?:reply|message|response|notification|notice|answer))\b",
    ),
    (
        "person|human",
        r"(?:^|[.!?,—] ?)(?:(?:nope|no|sorry|actually|well),? )?(?P<what>not an? (?:real |actual |live )?(?:person|human)"
        r"(?: being)?|no (?:real |actual |live )?(?:human|person))(?= here[,.!]|,? (?:just|only|i'm|i am|but i))",
    ),
    (
        "our |the |this ",
        rf"\b(?:our|the|this) {_ADJECTIVES}(?P<what>{_MACHINE})(?: [a-z]+)? (?:is|will be|has been) (?:now |currently )?"
        rf"(?:handling|answering|assisting|helping|serving|replying|responding|managing) (?:to |with )?(?:you|your|this)\b"
        rf"(?![^\n]{{0,200}}\bi(?:'ll|'ve|'m|'d) )",
    ),
    (
        " by ",
        rf"(?:^|[.!?\n(—-] ?)(?P<what>(?:sent|written|generated|composed|drafted|answered|produced) (?:automatically )?by "
        rf"(?:an? |our |the |your )?{_ADJECTIVES}{_MACHINE})(?: [a-z]+)?[.)]?$",
    ),
    (
        "i'm |i am |im ",
        rf"{_I_AM}(?:an? |the |your |our |(?:this|the) [a-z]+'s (?:new )?|one of (?:the|our|those|their)"
        rf" ){_ADJECTIVES}(?P<what>{_MACHINE})s?(?![a-z])",
    ),
    (
        "i'm |i am |im ",
        rf"{_I_AM}(?P<what>ai|software|{_MODELS}|artificial(?: intelligence)?|code|automated)(?![a-z-])",
    ),
    (
        "i'm |i am |name|this is|it's ",
        rf"(?:\bi(?:'m| am)|\bmy name is|\bthis is|\bit's|\bmy name's) [a-z]+(?: here)?[,—-]+ ?(?:an? |the |your |our )"
        rf"{_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])",
    ),
    (" here", rf"\b[a-z]+ here[,—-]+ ?(?:an? |the |your |our ){_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])"),
    (
        "as |being ",
        rf"\b(?:as|being) (?:an? |your |the )(?:(?!not\b)[a-z-]+ ){{0,4}}?(?P<what>{_MACHINE})(?: (?:assistant|model"
        rf"|agent|bot))?"
        r"(?:, ?| |(?=[我俺本]))(?:and an? [a-z ]{0,30}, )?(?:(?:of course|unfortunately|sadly|however|though|sorry),? )?(?:(?:i|my|we"
        r"|our)\b|[我俺本])",
    ),
    (
        "you",
        rf"\byou(?:'re| are|'ve| have)(?: been)? (?:now |currently |actually |really |in fact )*(?:chatting|talking"
        rf"|speaking"
        rf"|texting|messaging|connected|interacting|dealing|reached|got|communicating)(?: (?:with|to))? (?:an? |our |the )?"
        rf"{_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])",
    ),
    (
        "i'm |i am |i was|i've been|i have been",
        r"\bi(?:'m| am| was|'ve been| have been) (?:an? [a-z ]{0,20})?(?P<what>trained by (?:openai|anthropic|google|meta"
        r"|deepseek|alibaba)|trained on (?:a |large|lots|millions|billions|(?:[a-z]+ ){0,2}(?:data|text|conversations"
        r"|records|documents|books))|(?:programmed|coded|developed|created"
        r"|built|engineered|generated) (?:by|to|in|with|for)(?! god| nature| my )|made (?:by (?:openai|anthropic|google"
        r"|engineers|developers)|of code)"
        r"|designed (?:by|to be)|(?:powered|driven) by (?:ai|gpt|a language|a large|an ai|artificial|openai|code|software"
        r"|algorithms|machine)|(?:running|built|based) on (?:gpt|a language|a large|deepseek|an llm|openai|code"
        r"|servers?\b))",
    ),
    (
        "i ",
        r"\bi (?P<what>(?:run on (?:gpt|a language|deepseek|code|servers?|electricity|an? llm)|live (?:in"
        r"|on) (?:the cloud|a server"
        r"|your (?:phone|screen))|(?:only )?exist (?:only )?(?:in|on|as) (?:the cloud|a server|this (?:chat|app)|software"
        r"|code)))",
    ),
    (
        "my ",
        r"\bmy (?P<what>training (?:data|cut-?off)|knowledge cut-?off|programming (?:does|doesn't|only|won't|forbids)"
        r"|knowledge (?:only goes|stops|ends)|creators|(?:developers|programmers|engineers) (?:didn't|did not|haven't"
        r"|have not|never|built|made|taught|gave) [a-z ]{0,24}\bme\b|(?:neural|language) (?:net|model)"
        r"|algorithms? (?:says?|thinks?|tells?"
        r"|suggests?)|circuits)",
    ),
    (
        "i'm |i am ",
        r"\bi(?:'m| am) (?:actually |really |just |honestly )*(?:not|no) (?:actually |really )?(?:an? )?(?:(?:real|actual"
        r"|live|living|flesh-and-blood) )?(?P<what>human being|human(?: (?:agent|operator|rep|representative|advisor"
        r"|nurse|doctor|teacher|employee|assistant|clerk))?|person|real|man|woman)(?=[,.;:!?—]|$| but| and| so| at all| -)",
    ),
    (
        "i don't|i do not|i can",
        r"\bi (?:don't|do not|can't|cannot) (?:actually |really |even |physically )*have (?:an? )?(?:physical |human "
        r"|real )?"
        r"(?P<what>body|bodies|taste buds|heartbeat|pulse|consciousness|physical form|human (?:feelings|emotions)"
        r")(?![a-z])",
    ),
    (
        "this|it's|it is",
        rf"\b(?:this|it)(?:'s| is) (?:just |only |actually )*(?:an? |your |our |the )?{_ADJECTIVES}(?P<what>(?:ai|robot"
        rf"|virtual|automated) (?:{_TRADE}|nurse|teacher|caller|chat)|chatbot"
        r"|ai(?= (?:speaking|here|replying|answering|talking))|virtual (?:[a-z]+ )?(?:assistant|agent)"
        r"|automated (?:assistant"
        r"|agent|system|reply|response|message|line|service|chat)|bot|ai chat)(?![a-z])",
    ),
    (
        "no ",
        r"\b(?P<what>no (?:real |actual |live )?(?:human|person|people|one|humans)(?: is| are| being)? (?:here|behind"
        r"|on (?:this"
        r"|the other) end|typing|at the keyboard|involved|on this side))",
    ),
    (
        "there",
        r"\bthere(?:'s| is| isn't| is not) (?P<what>(?:no|an?|any) (?:real |actual |live )?(?:human|person|people|one"
        r"|human being)"
        r"(?: being)? (?:here|behind|(?:on|in) (?:this|the other|the|our|your) (?:end|chat|line|call|conversation|side"
        r"|window)|typing|at the keyboard))",
    ),
    (
        "my ",
        r"\bmy (?P<what>(?:answers?|repl(?:y|ies)|messages?|responses?|words|texts?|voice|advice) (?:is|are|comes?|was"
        r"|were) (?:all |only |just )?(?:automatically )?"
        r"(?:written|generated|produced|from|created|composed|synthesi[sz]ed|ai-generated|computer-generated|automated)"
        r"(?: (?:by|from|using|with) (?:an? |our )?"
        r"(?:ai|bot|machine|language model|large language model|algorithm|computer|model|software))?)(?= |[,.;!?]|$)",
    ),
    (
        "i have|i've|i possess|i lack",
        r"\bi (?:have|'ve got|have got|possess|lack) (?:no|an?y?)? ?(?:physical |human |real )?(?P<what>(?:body"
        r"|taste buds|heartbeat|pulse|consciousness|physical form|feelings|emotions|eyes"
        r"|hands|tongue|nose|stomach|senses|legs|lungs|mouth|skin))(?=[,.;!?]|$| or| and| but| so| like)",
    ),
    (
        "i don't|i do not",
        r"\bi (?:don't|do not) (?:actually |really |even |physically )*have (?:an? |any )?(?:real "
        r"|human )?(?P<what>feelings|emotions|eyes|hands|ears|nose|tongue|stomach"
        r"|senses|lungs|legs|mouth|skin|blood|dna)(?=[,.;!?]|$| or| and| but| so| like)",
    ),
    (
        "i ",
        rf"\bi (?:happen to be|really am|truly am|operate as|exist as|remain|do happen to be|must admit i'm|function as)"
        rf" (?:just |only )?(?:an? |the |your |our ){_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])",
    ),
    (
        "i |i,|me",
        rf"\b(?:i|me|myself|just me|only me),? (?:an? |the |your |our ){_ADJECTIVES}(?P<what>{_MACHINE})(?=[,.!;]|$)",
    ),
    (" me ", rf"\b(?:consider|call|think of) me (?:as )?(?:your |an? |the ){_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])"),
    (
        "just|only|merely",
        rf"(?:^|[.,!;:—-] ?)(?:just|only|merely) (?:an? |your |the ){_ADJECTIVES}(?P<what>{_MACHINE})(?=$|[.,!]| doing"
        rf"| trying| here| who| that| with| but| at)",
    ),
    (
        " me",
        rf"(?P<what>{_MACHINE})(?: you're [a-z]+ (?:to|with))?(?:,| —|-| \()? ?(?:is|that's|that is|that would be"
        rf"|which is|aka) me\b",
    ),
    (
        "it's|it is|this is|yes|yep",
        r"\b(?:it's|it is|this is|yes,? |yep,? )(?: just| only| actually)? ?(?:an? |the |our )?(?P<what>ai|bot|machine"
        r"|chatbot|computer program|robot) (?:you're|you are|that's|replying|answering|talking|writing|typing)",
    ),
    (" like ", rf"(?P<what>{_MACHINE})s? like (?:me|myself|us)\b"),
    ("we ", r"\bwe (?P<what>ais|bots|robots|machines|chatbots|language models|virtual assistants)(?![a-z])"),
    (
        "my human",
        r"\bmy (?P<what>human (?:colleagues?|teammates?|co-?workers?|team|supervisors?|friends at|boss|counterparts?))\b",
    ),
    (
        "the ",
        rf"\bthe (?:assistant|agent|voice|person|one|chat|rep) (?:that )?(?:you're|you are) (?:talking|chatting|speaking"
        rf"|texting) (?:to|with) is (?:an? )?{_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])",
    ),
    ("speaking as", rf"\bspeaking as (?:an? |your |the ){_ADJECTIVES}(?P<what>{_MACHINE})(?![a-z])"),
    (
        "just |only ",
        r"\b(?P<what>(?:just|only) (?:an? |some |the )?(?:software|code|algorithm|ai|bot|machine|chatbot|program)"
        r" (?:replying|here"
        r"|talking|answering|typing|responding|speaking))",
    ),
    (
        " here| speaking| at your service| reporting",
        rf"(?:^|[.,!;:—-] ?)(?:your |the |an? |just )?{_ADJECTIVES}(?P<what>{_MACHINE})(?: assistant)?"
        r" (?:here|speaking|at your service|reporting)\b(?! to)",
    ),
    (
        "this ",
        r"\bthis (?:message|reply|response|chat|conversation|email|text|call|account|answer|number) (?:is|was|has been)"
        r" (?:being )?"
        r"(?P<what>(?:automatically |ai-|auto-?|machine-)?(?:generated|sent|written|produced|handled|composed|answered|run"
        r"|managed) (?:automatically|by (?:(?:an?|our|the) )?(?:[a-z]+ )?(?:ai|bot|chatbot|machine|language model|automated"
        r"|virtual|system|algorithm))|ai-generated|auto-?generated|automated)",
    ),
    (
        "your ",
        rf"(?:^|[.!?—\n-] ?)(?:[a-z]+, |from )?your {_ADJECTIVES}(?P<what>{_MACHINE})(?: [a-z]+){{0,3}}"
        r"(?=$|[.!]$| is (?:here|ready|online))",
    ),
    ("being ", r"\bbeing (?:only |just |mere )?(?P<what>software|code|ai|artificial|virtual|automated|digital),? i\b"),
]
_TWO_WORDS = re.compile("[a-z][' -][a-z]")
# No message without one of these says any of it.
_MAY = re.compile(
    r"\b(?:i|i'm|im|my|you|you're|you've|this|as|being|it's|no|here|your|just|only|we|like|there's|there|speaking|me"
    r"|merely|yes|yep)\b"
)
_ENGLISH = [(tuple(words.split("|")), re.compile(pattern)) for words, pattern in _PATTERNS]
_LED = re.compile(
    r"\b(?:if|wish|as if|like|think|thinks|thought|say|says|said|saying|believe|believed|told|swear|pretend|suppose"
    r"|imagine|whether|asked|asking|assume|assumed|sure|not|were|suspect|doubt|that|because you|prove|joke|joked|call"
    r"|calls|called|unless|yesterday|earlier|isn't|wasn't|when)\b[a-z' ]{0,14}$"
)
_FIGURES = ("machine", "computer", "real", "person", "man", "woman", "robot", "grok", "siri")
_MEANT = re.compile(
    r"just|only|not an? real|not human|not real|\b(?:ai|automated)\b|don't|can't|cannot|yes\b|yep|yeah|caught|guess"
    r"|admit"
    r"|confess|honest|right|not a person|no human|offended|feelings|sorry|transparen|correct|true|never (?:sleep|tire"
    r"|get)|no feelings"
)
_IN_JEST = re.compile(
    r",? (?:before|until|at the gym|when|in the kitchen|without|lately|these days|this week|today|on the|in disguise"
    r"|after)\b"
)


def english(text: Text, quotes: list[Quote]) -> list[Claim]:
    """What an English message says of its writer."""
    found: list[Claim] = []
    folded = text.folded
    if not _TWO_WORDS.search(folded) or not _MAY.search(folded):
        return found
    for words, pattern in _ENGLISH:
        if not any(word in folded for word in words):
            continue
        for match in itertools.islice(pattern.finditer(folded), MOST):
            standing = in_context(folded, *match.span(), quotes)
            if goes_on_in_english(folded, match.end("what")):
                standing = "other"
            elif standing == "claim" and (
                (match[0][0].isalnum() and _LED.search(folded[max(0, match.start() - 30) : match.start()]))
                or (match["what"] in _FIGURES and not (match[0].startswith("you") or _MEANT.search(folded)))
                or (match["what"] in _FIGURES and _IN_JEST.match(folded, match.end("what")))
            ):
                standing = "doubtful"
            found.append(Claim(*match.span(), standing))
    return found


def goes_on_in_english(folded: str, end: int) -> bool:
    """Whether an English mention is part of a longer noun."""
    return _GOES_ON.match(folded, end) is not None
