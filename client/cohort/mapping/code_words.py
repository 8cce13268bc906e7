"""What codes and units are called in several languages."""

from __future__ import annotations

from collections.abc import Mapping

YES = frozenset(
    """
    1 j ja o oui positiv positive present s si sim sì sí t true vorhanden waar y yes あり はい 是 有
    presente positivo     有り 有病 阳性
    """.split()  # noqa: SIM905 - a list of words is read as one
)
NO = frozenset(
    """
    0 absent f false keine n nao nee negativ negative nein no non none não onwaar いいえ なし 否 无
    ausente assente negativo     无明显 没有 無 無し 阴性
    """.split()  # noqa: SIM905 - a list of words is read as one
)
_PAIRS = """
    y/n yes/no ja/nein j/n oui/non o/n si/no sì/no sí/no sim/não true/false t/f positive/negative
    positiv/negativ 是/否 有/无 阳性/阴性 はい/いいえ あり/なし 有り/無し present/absent waar/onwaar
    presente/ausente positivo/negativo
    1/0 s/n
"""
PAIRS: Mapping[str, str] = dict(pair.split("/") for pair in _PAIRS.split())
"""Codes of yes with those of no: who writes the one writes the other."""
UNKNOWN = frozenset(
    """
    - -- . / ? desconhecido desconocido fehlend fehlt inconnu k.a. ka missing n.a. n/a na nan nb nd nr
    null onbekend sconosciuto unbekannt unk unknown 不明 不详 未查 未知 缺失
    """.split()  # noqa: SIM905 - a list of words is read as one
)
LEVELS: Mapping[str, Mapping[str, str]] = {
    "sex": {
        "male": """
            =male =m =man =men =mannlich =maennlich =mann =masculin =homme =h =masculino =hombre =varon
            =maschio =uomo =maschile =mannelijk =homem =boy 男 男性 男子
        """,
        "female": """
            =female =f =w =woman =women =weiblich =frau =feminin =femme =femenino =mujer =femmina =donna
            =femminile =vrouwelijk =vrouw =feminino =mulher =girl 女 女性 女子
        """,
    },
    "location": {
        "lobar": """
            lobar lobaire lobare lobair =cortical kortikal frontal parietal occipital temporal okzipital lobe
            lappen =lobar 脑叶 叶 皮层 额叶 颞叶 顶叶 枕叶 皮質下 皮質 脳葉 subcortical subkortikal
            前頭葉 頭頂葉 側頭葉 後頭葉
        """,
        "deep": """
            deep tief basal_ganglia stammganglien basalganglien ganglia thalam ~thalam putam ~putam caudat
            kaudat pallid capsule kapsel profond profunda profundo profonda nuclei_della_base ganglios
            ganglions noyaux gangli_della_base basale_kernen diep 基底节 基底核 丘脑 壳核 尾状核 内囊 深部
            视床 視床 被殻 大脳基底核 talam talamo nucleo_caudado lenticul striat capsula_interna
        """,
        "infratentorial": """
            infratent infratentorial infratentoriell cerebell kleinhirn zerebell brainstem brain_stem
            hirnstamm pons pontin medulla mesenceph tronc cervelet tronco cerebelo cervelletto
            tronco_encefalico hersenstam kleine_hersenen posterior_fossa 小脑 脑干 脑桥 幕下 延髓 小脳 脳幹 橋
            テント下 fosa_posterior fossa_posterior fossa_posteriore fosse_posterieure hintere_schadelgrube
            protuberancia 後頭蓋窩 后颅窝
        """,
    },
}
"""Codes by variable and level, as concepts."""

_UNITS = {
    "minutes": "min mins minute minutes minuten minuti minutos 分 分钟 分鐘",
    "hours": "h hr hrs hour hours std stunden stunde heure heures hora horas ore ora uur uren 小时 时 時間",
    "days": "d day days tage tagen jours dias giorni dagen 天 日",
    "kPa": "kpa",
    "mm Hg": "mmhg 毫米汞柱",
    "cm Hg": "cmhg",
    "ml": "ml 毫升 mls",
    "cm³": "cm3 ccm cm^3",
    "cc": "cc",
    "mm³": "mm3 mm^3",
    "litres": "l liter litre litres",
    "years": "years year yrs yr y jahre jahren j ans anni anos años jaar 岁 歳 才 a",
    "months": "months month monate mois mesi meses 月 个月 月龄",
    "mmol/L": "mmol/l",
    "mg/dL": "mg/dl",
    "umol/L": "umol/l",
    "mm": "mm",
    "cm": "cm",
    "m": "m",
    "seconds": "s sec 秒",
    "%": "%",
    "kg": "kg",
    "g": "g",
    "lb": "lb lbs",
    "°C": "°c",
    "°F": "°f",
    "mm²": "mm2",
    "cm²": "cm2",
    "bar": "bar",
    "IU/L": "iu/l",
    "mbar": "mbar",
    "hPa": "hpa",
    "weeks": "weeks wochen",
    "h:mm": "hh:mm h:mm hh:mm:ss",
    "g/L": "g/l",
    "g/dL": "g/dl",
}
UNIT_WORDS: Mapping[str, str] = {word: unit for unit, words in _UNITS.items() for word in words.split()}
"""Units as headings write them, and as site.toml names them."""
