"""Words to talk with: the frequent ones of a dozen languages and scripts, and syllables for the long tail.

A vocabulary is a few thousand words in order of frequency. Word counts that follow Zipf's law compress about
as real chat does; one template repeated would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from local.rocketchat.dice import Dice, split_words

TAIL_WORDS = 6000


@dataclass(frozen=True)
class Tongue:
    """A language: its frequent words, the syllables of its rarer ones, how words are joined and "
    "sentences end."""

    name: str
    common: str
    syllables: str
    space: str = " "
    stops: str = "....!?"


TONGUES = (
    Tongue(
        "en",
        "the to a of and i it is in for that you we on this be have not with are can as was but if at "
        "so do will "
        "just from or what my an there they now up me out like about when how all one get need think no "
        "would "
        "your know then time work see good new should here more some only also he them could our by "
        "still has "
        "which thanks please sure today tomorrow meeting server update check issue build release test "
        "ok yes "
        "team channel file version deploy error customer call ticket report week data next done review "
        "maybe "
        "because after before again right back first last really look make take why where link page "
        "login "
        "password access backup database problem works working tried seems looks question answer send "
        "sent",
        "con ter ing re ver pro der al men tion per tal com est ri ate ble den ical or mar sen ful ness "
        "ly un dis "
        "ex lab net ster ware log ser vice form con text mod ule port fig ra ti on pre set cess ing er "
        "ed ment ance",
    ),
    Tongue(
        "de",
        "die der und das ist ich nicht es ein zu wir in den mit auf für sie noch auch dass an so hat "
        "wie war aber "
        "eine bei wenn nur oder schon mal bitte danke heute morgen gleich später gut genau prüfen läuft "
        "geht kein "
        "größe straße über müssen können möchte Änderung Übersicht Büro",
        "ver ge be sch keit ung er ein aus auf ab heit lich bar fel stra ßen wer kun den tag zeit über "
        "mög nis tech "
        "netz gerät än der te ren zu satz stell werk haus arb eit plan brü cke tür",
    ),
    Tongue(
        "fr",
        "de la le et les des en un une est que pour qui dans ce pas au sur plus par avec on je vous "
        "nous c'est ça "
        "merci d'accord demain réunion déjà très été même où être à",
        "con té ment tion ré é pre par leur dans ce fa çon ver su jet mai né cou ple prê teur lan gue "
        "ci vi dé ou",
    ),
    Tongue(
        "tr",
        "bir ve bu için de çok ama ne var gibi daha ben evet hayır tamam teşekkürler şimdi yarın "
        "toplantı değil iş",
        "lar ler mak mek dır dir ğı şı çı ola gör yap bil gel git sın siz iyi ün üm ka ra ba de ne ye",
    ),
    Tongue(
        "vi",
        "và của là có không được cho một các trong người những với này để đã cũng khi làm nhiều ngày "
        "tôi bạn cảm ơn",
        "nghiê\u0323m thuâ\u0323t quyê\u0301t phươ\u031bng hươ\u0301ng trươ\u0300ng đi\u0323nh công "
        "viê\u0323c hê\u0323 thô\u0301ng",
    ),
    Tongue(
        "ru",
        "и в не на я что он с это по к но мы как из у за да нет так уже спасибо завтра сервер работает "
        "проверь где "
        "можно надо ещё было только",
        "про вер ка ста но ть ска ния ого ем ра бо та сер ви со об ще за гру зка от дел при каз ло ги",
    ),
    Tongue(
        "el",
        "και το να η που με για δεν τι είναι στο ένα ναι όχι ευχαριστώ",
        "κα τα λη ση μα το πο ρε νε ια στη ους",
    ),
    Tongue(
        "ar",
        "في من على أن إلى هذا لا ما مع هل نعم شكرا غدا الخادم يعمل كان هو هي قد تم",
        "ال ات ون ين تر مس كت در سم عم لا ما بي ني كم هم",
        stops="..؟",
    ),
    Tongue(
        "he",
        "של את לא על זה אני הוא עם כן תודה מחר השרת עובד מה יש",
        "ים ות מ ה ש תי ני לי בר דב שר כת",
        stops="..?",
    ),
    Tongue(
        "hi",
        "है के में की और को से यह का एक नहीं पर हाँ धन्यवाद कल सर्वर काम क्या",
        "क र्म प्र ति स्था वि का स ना ही ता ओं यों रा मा",
        stops="।",
    ),
    Tongue(
        "th", "ที่ และ ใน การ เป็น ไม่ ได้ ของ มี ว่า ครับ ค่ะ ขอบคุณ พรุ่งนี้", "กา รณ์ ควา มส ำเร็จ ระ บบ ทำ งาน", space=""
    ),
    Tongue(
        "zh",
        "的 是 不 我 一 有 在 这 了 们 你 要 好 会 可以 谢谢 明天 服务器 更新 没有 问题 请 看",
        "系 统 数 据 备 份 会 议 文 件 版 本 用 户 测 试 开 发 部 署 报 告 恢 复 密 码",
        space="",
        stops="。。!?",
    ),
    Tongue(
        "ja",
        "の に は を た が で て と し れ です ます ありがとう 明日 サーバー 会議 お願い 了解",
        "確 認 更 新 対 応 バック アップ ファイル テスト 開 発 する して いる から まで",
        space="",
        stops="。。!?",
    ),
    Tongue(
        "ko",
        "이 그 저 것 수 네 아니요 감사합니다 내일 회의 서버 확인 그리고 하지만",
        "합 니 다 에 서 로 업 데 이 트 백 파 일 작 업",
    ),
)

EMOJI = split_words("👍 😀 🎉 ❤️ 🚀 😂 👀 🙏 ✅ 🔥 🤔 👋🏽 👩‍💻 👨‍👩‍👧‍👦 🏳️‍🌈 🇪🇺 ☕ 😅 💡 🐛 🧑🏿‍🚀 1️⃣ ⚠️ 🫠 𝕏 𐍈")
SHORTCODES = split_words(
    ":thumbsup: :tada: :heart: :rocket: :joy: :eyes: :pray: :white_check_mark: :fire: :thinking: "
    ":party_parrot:"
)
# What breaks careless code: combining marks without end, bidi controls, zero-width signs, a lone joiner,
# an astral sign, line separators, a byte order mark, and NFC next to NFD.
ODD_TEXTS = (
    "Z̸̢͓̑̓a̷̫͐l̵̹̈́g̶̞̈́o̴̞͝",
    "\u202eright to left override\u202c",
    "ze\u200bro wi\u200cdth\u200d \u2060joiner",
    "\U0010fffd \U0001f9d1\u200d\U0001f91d\u200d\U0001f9d1",
    "line\u2028separator\u2029paragraph\u0085next",
    "\ufeffwith a byte order mark",
    "caf\u00e9 = cafe\u0301",
    "tab\there, \\backslash\\, \"quotes\", 'single', `code`, $dollar, a.b.c, {json: 1}, %s, <b>html</b>",
)


@cache
def load_vocabulary(name: str) -> tuple[str, ...]:
    """The words of the language in order of frequency: the common ones, then a tail made of its "
    "syllables."""
    tongue = next(tongue for tongue in TONGUES if tongue.name == name)
    dice = Dice(0, f"vocabulary:{name}")
    syllables = tongue.syllables.split()
    words = dict.fromkeys(tongue.common.split())
    while len(words) < TAIL_WORDS:
        words["".join(dice.pick_one(syllables) for _ in range(dice.draw_between(2, 4)))] = None
        if len(words) > 400 and len(syllables) < 14:
            break  # too few syllables for a long tail; chat in these languages is short here anyway
    return tuple(words)
