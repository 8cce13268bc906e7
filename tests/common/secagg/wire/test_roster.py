import pytest
from pydantic import ValidationError
from secagg.world import AUTHORITY, AUTHORITY_PUBLIC, World, key

from common.errors import ProtocolError
from common.secagg.codes import SecAggError
from common.secagg.site.endpoint import approve_roster, approve_waiver
from common.secagg.site.files import SiteFiles
from common.secagg.wire.frames import MessageKind, pack, repack, sha256, unpack
from common.secagg.wire.roster import (
    Card,
    Identity,
    Member,
    Roster,
    Waiver,
    make_card,
    minimum_sites,
    read_card,
    read_roster,
    sign_roster,
    sign_waiver,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 4)


@pytest.mark.parametrize("sites", range(2, 51))
def test_minimum_leaves_two_honest_inputs_and_no_two_disjoint_sums(sites):
    for colluders in range(max(1, sites - 1)):
        minimum = minimum_sites(sites, colluders)
        assert minimum - colluders >= 2
        # Two sets that only colluders share would need this many sites
        assert 2 * minimum - colluders > sites


def test_card_names_its_site():
    identity = Identity(key("one"), 3)

    assert read_card(make_card(identity, "Utrecht")) == Member(
        id=3, name="Utrecht", key=identity.public.hex()
    )


def test_card_signed_by_another_key_is_refused():
    identity = Identity(key("one"), 3)
    stolen = Identity(key("another"), 3)
    card = make_card(identity, "Utrecht")
    body = card[16 : 16 + int.from_bytes(card[8:12], "little")]

    with pytest.raises(ProtocolError, match="not signed by its own key"):
        read_card(pack(MessageKind.CARD, body, stolen.key))


def test_roster_is_eighty_bytes_a_site_and_has_a_fingerprint(world):
    assert len(world.roster.body()) < 350 + 4 * 120
    assert len(world.roster.fingerprint.split()) == 8


def test_minimum_above_the_number_of_sites_is_refused(world):
    roster = world.roster.model_copy(update={"minimum": 5})

    with pytest.raises(SecAggError) as refused:
        read_roster(sign_roster(roster, AUTHORITY), AUTHORITY_PUBLIC)

    assert refused.value.code == "E_MIN"


@pytest.mark.parametrize("of", ["coordinator", "a site"])
@pytest.mark.parametrize(
    "key", ["01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 32, "ee" + "ff" * 30 + "7f", "ed" + "ff" * 31]
)
def test_no_roster_has_a_key_for_which_anybody_signs(world, of, key):
    """Points of small order, and such that have another encoding."""
    first, *others = world.roster.sites
    sites = (first.model_copy(update={"key": key}), *others)
    change = {"coordinator": key} if of == "coordinator" else {"sites": sites}
    forged = sign_roster(world.roster.model_copy(update=change), AUTHORITY)

    with pytest.raises(ProtocolError, match="a public key is"):
        read_roster(forged, AUTHORITY_PUBLIC)
    assert not unpack(sign_roster(world.roster, AUTHORITY)).is_signed_by(bytes.fromhex(key))


def test_a_card_of_a_key_of_small_order_is_refused():
    """The point at 1, with the factor 0, is a valid signature of any card under the key of order 1."""
    identity = bytes.fromhex("01" + "00" * 31)
    card = Card(id=3, name="Utrecht", key=identity.hex())
    forged = repack(MessageKind.CARD, card.body(), identity + bytes(32))

    with pytest.raises(ProtocolError, match="small order"):
        read_card(forged)


@pytest.mark.parametrize("twice", ["name", "key", "coordinator"])
def test_no_two_parties_share_a_name_or_key(world, twice):
    one, two, *rest = world.roster.sites
    changes = {"name": {"name": one.name}, "key": {"key": one.key}}
    changes["coordinator"] = {"key": world.roster.coordinator}
    sites = (one, two.model_copy(update=changes[twice]), *rest)

    with pytest.raises(SecAggError) as refused:
        read_roster(
            sign_roster(world.roster.model_copy(update={"sites": sites}), AUTHORITY), AUTHORITY_PUBLIC
        )

    assert refused.value.code == "E_DUP_KEY"


def test_later_version_replaces_the_approved_one(world):
    later = world.roster.model_copy(update={"version": 2})

    approve_roster(world.files(1), sign_roster(later, AUTHORITY), world.pin(1))

    assert read_roster(world.files(1).read_roster(), AUTHORITY_PUBLIC) == later


def test_unknown_site_is_named(world):
    with pytest.raises(ProtocolError, match="no site 'Atlantis'"):
        world.roster.find_by_name("Atlantis")


def test_roster_with_one_site_is_none():
    with pytest.raises(ValidationError):
        Roster(study="s", version=1, plan="0" * 64, minimum=2, colluders=0, sites=(), coordinator="0" * 64)


def waiver(world, signer=AUTHORITY, **changes):
    fields = {
        "study": world.roster.study,
        "roster": world.roster.digest,
        "kind": "absent",
        "phase": "train/a",
        "absent": (3,),
        "definition": "0" * 64,
        "site": 0,
        "number": 1,
    }
    return sign_waiver(Waiver(**(fields | changes)), signer)


def test_waiver_holds_once_it_is_approved(world):
    for _ in range(2):
        approve_waiver(world.files(1), waiver(world), world.pin(1))

    files = world.files(1)
    with files.lock():
        assert files.history.list_absent("train/a") == {3}
        assert files.history.list_absent("train/b") == frozenset()


def test_waiver_before_any_roster_is_refused(world, tmp_path):
    with pytest.raises(SecAggError, match="no roster"):
        approve_waiver(SiteFiles(tmp_path / "bare"), waiver(world), world.pin(1))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signer": key("coordinator")}, "E_ROSTER_SIG"),
        ({"roster": sha256(b"another")}, "E_CONTEXT"),
        ({"kind": "restored", "site": 2}, "E_CONTEXT"),
    ],
)
def test_waiver_of_another_is_refused(world, changes, code):
    with pytest.raises(SecAggError) as refused:
        approve_waiver(world.files(1), waiver(world, **changes), world.pin(1))

    assert refused.value.code == code
