"""Groups of countries that a policy may name (``@eu``), and the continent of every country.

A group lists its members one by one, with the date from which that list holds and where it is
written down. It is a convenience for what changes once in years. There is no group of sanctioned
countries: such a list changes within days and differs by programme, and sanctions meet persons,
goods and regions more than countries, so a frozen one would only look as if it kept a law.

HK, MO, TW and XK stand for themselves: no group has them, unless its source names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A named group of countries, and on what authority.

    ``as_of`` is the day from which the list is as it stands here, ``note`` one sentence about what
    the group means and what it leaves out.
    """

    name: str  #: with the @
    members: frozenset[str]
    as_of: date
    source: str
    note: str


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EU = _codes("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK")
_GROUPS = (
    Group(
        name="@asean",
        members=_codes("BN ID KH LA MM MY PH SG TH TL VN"),
        as_of=date(2025, 10, 26),
        source="ASEAN Charter, Article 4; Declaration on the Admission of Timor-Leste",
        note="The members of the Association of Southeast Asian Nations, without observers.",
    ),
    Group(
        name="@british-overseas-territories",
        members=_codes("AI BM FK GI GS IO KY MS PN SH TC VG"),
        as_of=date(2002, 2, 26),
        source="British Nationality Act 1981, Schedule 6; British Overseas Territories Act 2002",
        note=(
            "The British overseas territories that have a code of their own, without Akrotiri and "
            "Dhekelia, the British Antarctic Territory and the crown dependencies."
        ),
    ),
    Group(
        name="@crown-dependencies",
        members=_codes("GG IM JE"),
        as_of=date(1978, 10, 30),
        source="Interpretation Act 1978, Schedule 1 (“British Islands”, “Channel Islands”)",
        note="Guernsey, Jersey and the Isle of Man, which GB does not contain.",
    ),
    Group(
        name="@eea",
        members=_EU | _codes("IS LI NO"),
        as_of=date(2020, 2, 1),
        source="Agreement on the European Economic Area, Articles 2 and 126",
        note=(
            "The European Union with Iceland, Liechtenstein and Norway, without Switzerland, "
            "Svalbard and the territories of @eu-territories."
        ),
    ),
    Group(
        name="@efta",
        members=_codes("CH IS LI NO"),
        as_of=date(1995, 1, 1),
        source="Convention establishing the European Free Trade Association",
        note="Iceland, Liechtenstein, Norway and Switzerland.",
    ),
    Group(
        name="@eu",
        members=_EU,
        as_of=date(2020, 2, 1),
        source="Treaty on European Union, Article 52",
        note=(
            "The member states of the European Union, without those parts of them that have a code "
            "of their own: add @eu-territories."
        ),
    ),
    Group(
        name="@eu-overseas",
        members=_codes("AW BL BQ CW GL NC PF PM SX TF WF"),
        as_of=date(2020, 2, 1),
        source="Treaty on the Functioning of the European Union, Article 198 and Annex II",
        note=(
            "The overseas countries and territories of Denmark, France and the Netherlands, which "
            "are associated with the European Union and not part of it."
        ),
    ),
    Group(
        name="@eu-territories",
        members=_codes("AX GF GP MF MQ RE YT"),
        as_of=date(2014, 1, 1),
        source="Treaty on the Functioning of the European Union, Articles 349 and 355(1) and (4)",
        note=(
            "The parts of the European Union that have a code of their own: Åland and the French "
            "outermost regions, without @eu-overseas and the Faroe Islands."
        ),
    ),
    Group(
        name="@eurozone",
        members=_EU - _codes("CZ DK HU PL RO SE"),
        as_of=date(2026, 1, 1),
        source="Council decisions under Article 140(2) TFEU, the last of 2025-07-08 (Bulgaria)",
        note=(
            "The member states of the European Union whose currency is the euro, without others "
            "who use it, such as AD, MC, ME, SM, VA and XK."
        ),
    ),
    Group(
        name="@g7",
        members=_codes("CA DE FR GB IT JP US"),
        as_of=date(2014, 3, 24),
        source="The Hague Declaration of the G7, 2014-03-24",
        note="The seven states of the G7, without the European Union, which takes part.",
    ),
    Group(
        name="@gcc",
        members=_codes("AE BH KW OM QA SA"),
        as_of=date(1981, 5, 25),
        source="Charter of the Cooperation Council for the Arab States of the Gulf, Article 5",
        note="The members of the Gulf Cooperation Council.",
    ),
    Group(
        name="@schengen",
        members=(_EU | _codes("CH IS LI NO")) - _codes("CY IE"),
        as_of=date(2025, 1, 1),
        source="Council Decision (EU) 2024/3212, and the association agreements of CH, IS, LI, NO",
        note=(
            "The states between which borders are crossed without checks, without Cyprus and "
            "Ireland, and without microstates with open borders (MC, SM, VA)."
        ),
    ),
    Group(
        name="@us-territories",
        members=_codes("AS GU MP PR UM VI"),
        as_of=date(1986, 11, 4),
        source="United States Code, Title 48; Proclamation 5564 (Northern Mariana Islands)",
        note="The territories of the United States that have a code, which US does not contain.",
    ),
)

#: Every group, by its name.
GROUPS: dict[str, Group] = {group.name: group for group in _GROUPS}

# What people look for and must not find; by the beginning of the word.
_NONE_WITH_REASON = {
    "@sanction": (
        "there is none, because a list of sanctioned countries is out of date within days and "
        "differs by programme; name the countries, with the date and the source in a comment"
    ),
    "@embargo": (
        "there is none, because embargoes change within days and differ by programme; name the "
        "countries, with the date and the source in a comment"
    ),
    "@ofac": "there is none; the programmes of OFAC meet more than countries; name the countries",
    "@europe": 'did you mean "@eu" or "@eea"? For the continent write continents = ["EU"]',
    "@uk": 'write "GB"; its crown dependencies are "@crown-dependencies"',
    "@world": "leave the word out: without it a rule is for every country",
    "@all": "leave the word out: without it a rule is for every country",
}


def expand(text: str) -> frozenset[str]:
    """Return the members of a group, which is written with an @.

    Raises:
        ValueError: if there is no such group, saying which was meant or why there is none.
    """
    name = text.lower()
    if name in GROUPS:
        return GROUPS[name].members
    for beginning, reason in _NONE_WITH_REASON.items():
        if name.startswith(beginning):
            raise ValueError(f"is not a group: {reason}")
    close = get_close_matches(name, GROUPS, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(GROUPS)}"
    raise ValueError(f"is not a group: {hint}")


# Continents as GeoNames draws them (countryInfo, the column "Continent"), and with it most
# geolocation data. UN M49 differs: it has no North and South America but one Americas, puts
# Cyprus into Asia, Timor-Leste into Asia, and gives Antarctica's neighbours to the continents.
_CONTINENTS = {
    "AF": """
        AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG
        ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW
    """,
    "AN": "AQ BV GS HM TF",
    "AS": """
        AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM
        MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE
    """,
    "EU": """
        AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI
        LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK
    """,
    "NA": """
        AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI
        PA PM PR SV SX TC TT US VC VG VI
    """,
    "OC": """
        AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS
    """,
    "SA": "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
}
_CONTINENT_OF = {code: name for name, codes in _CONTINENTS.items() for code in codes.split()}

#: The codes of the continents: Africa, Antarctica, Asia, Europe, North America, Oceania, South
#: America.
CONTINENTS: tuple[str, ...] = tuple(_CONTINENTS)


def continent_of(code: str) -> str:
    """Return the continent of a country, as GeoNames draws it (Russia and Cyprus: Europe).

    Raises:
        KeyError: if the code is not an assigned country in upper case.
    """
    return _CONTINENT_OF[code]
