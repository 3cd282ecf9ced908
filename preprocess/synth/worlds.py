"""The designs in use: the ring of the miniature, and a world whose scenes overlap.

`RING`: each scene is one sound with one sight; neighbours share by turns a sight and a sound, so
that neither modality tells more than half of what there is to tell:

    scene              sound   sight             scene              sound   sight
    airport            air     hall              park               air     green
    shopping_mall      voices  hall              public_square      steps   green
    street_pedestrian  voices  street            metro_station      steps   tunnel
    street_traffic     engine  street            metro              rails   tunnel
    bus                engine  carriage          tram               rails   carriage

`WORLD`: scenes draw their symbols. Some share acoustic symbols (bus and street_traffic the engine),
some visual ones (park and public_square the green); metro and tram share both with the same
frequencies and differ only in which goes with which, so that neither sound nor sight alone tells
them apart at all; and some overlap remains (steps in the street may be three scenes).

The best possible (`Design.best_possible`; natural logarithm):

    from          RING: accuracy, log-loss    WORLD: accuracy, log-loss
    sound alone         0.5       0.693               0.410     1.176
    sight alone         0.5       0.693               0.490     0.981
    both                1         0                   0.908     0.216
"""

from collections.abc import Mapping

from avsc.preprocess.synth.design import Design, Kinds


def always(sound: str, sight: str) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene that always sounds and looks alike."""
    return {Kinds(sound, sight): 1.0}


def independent(sounds: Mapping[str, float], sights: Mapping[str, float]) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene whose sound and sight are drawn independently."""
    return {
        Kinds(sound, sight): p * q for sound, p in sounds.items() for sight, q in sights.items()
    }


def pairs(*kinds: Kinds) -> dict[Kinds, float]:
    """Return p(symbols | scene) of a scene that draws one of some pairs, all equally likely."""
    return dict.fromkeys(kinds, 1 / len(kinds))


RING = Design(
    "miniature",
    {
        "airport": always("air", "hall"),
        "bus": always("engine", "carriage"),
        "metro": always("rails", "tunnel"),
        "metro_station": always("steps", "tunnel"),
        "park": always("air", "green"),
        "public_square": always("steps", "green"),
        "shopping_mall": always("voices", "hall"),
        "street_pedestrian": always("voices", "street"),
        "street_traffic": always("engine", "street"),
        "tram": always("rails", "carriage"),
    },
)

WORLD = Design(
    "world",
    {
        "airport": independent({"air": 0.8, "voices": 0.2}, {"hall": 1}),
        "bus": independent({"engine": 0.9, "voices": 0.1}, {"carriage": 1}),
        "metro": pairs(Kinds("rails", "tunnel"), Kinds("air", "carriage")),
        "metro_station": independent({"steps": 0.9, "voices": 0.1}, {"tunnel": 0.9, "hall": 0.1}),
        "park": independent({"air": 0.8, "steps": 0.2}, {"green": 1}),
        "public_square": independent({"steps": 0.8, "air": 0.2}, {"green": 0.8, "street": 0.2}),
        "shopping_mall": independent({"voices": 0.9, "steps": 0.1}, {"hall": 0.9, "street": 0.1}),
        "street_pedestrian": independent({"voices": 0.8, "steps": 0.2}, {"street": 1}),
        "street_traffic": independent({"engine": 1}, {"street": 0.9, "green": 0.1}),
        "tram": pairs(Kinds("rails", "carriage"), Kinds("air", "tunnel")),
    },
)
