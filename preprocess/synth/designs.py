"""The designs that data sets are made of.

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

`FAINT_CUE`: scenes come in five pairs. Each pair has a sound of its own and a hue of its own, which
its seconds have with probability 0.95 and 0.7, and otherwise one of the other four. The two scenes
of a pair differ only in what coincides: in 19 of 20 seconds a low resonance with upright stripes or
a high one with level stripes in the first, the other way round in the second. Either resonance and
either direction is as frequent as the other in every scene, so that neither tells anything alone;
and the resonance is faint, so that an acoustic encoder trained on sound alone has no reason to keep
it. Symbols change every other second on average; a location has a look, and there are few.

Who cannot tell the resonances apart reaches 0.475  0.893 in it.

The best possible (`SceneDesign.best_possible`; natural logarithm), as accuracy, log-loss:

    from             RING            WORLD           FAINT_CUE
    sound alone      0.500  0.693    0.410  1.176    0.475  0.961
    sight alone      0.500  0.693    0.490  0.981    0.350  1.720
    both             1.000  0.000    0.908  0.216    0.902  0.399
"""

from avsc.manifests.errors import SettingError
from avsc.preprocess.synth.design import Kinds, SceneDesign, always, independent, pairs
from avsc.preprocess.synth.sights import GRATINGS, SIGHTS
from avsc.preprocess.synth.sounds import RINGING, RINGS, SOUNDS

RING = SceneDesign(
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
    "each scene is one sound with one sight",
    SOUNDS,
    SIGHTS,
)

WORLD = SceneDesign(
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
    "scenes overlap in sound and sight",
    SOUNDS,
    SIGHTS,
)

COINCIDENT = 0.95
"""Share of the seconds in which resonance and direction go together as the scene has it."""
OWN_SOUND, OWN_SIGHT = 0.95, 0.7
"""Share of the seconds in which a pair of scenes has its own sound, and its own hue."""
SCENE_PAIRS = {
    "air": ("airport", "park"),
    "engine": ("bus", "street_traffic"),
    "voices": ("shopping_mall", "street_pedestrian"),
    "steps": ("metro_station", "public_square"),
    "rails": ("metro", "tram"),
}
"""The pairs of scenes, by their sound; their hues are those of `SIGHTS`, in its order."""


def _coincidences(pair: int, first: bool) -> dict[Kinds, float]:
    """Return p(symbols | scene) of the first or the second scene of a pair."""
    others = len(SOUNDS) - 1
    p = {}
    for sound_of, sound in enumerate(SOUNDS):
        for sight_of, sight in enumerate(SIGHTS):
            own_sound = OWN_SOUND if sound_of == pair else (1 - OWN_SOUND) / others
            own_sight = OWN_SIGHT if sight_of == pair else (1 - OWN_SIGHT) / others
            for ring in RINGS:
                for stripes in ("upright", "level"):
                    together = ((ring == "low") == (stripes == "upright")) == first
                    bits = (COINCIDENT if together else 1 - COINCIDENT) / 2
                    kinds = Kinds(f"{sound} {ring}", f"{sight} {stripes}")
                    p[kinds] = own_sound * own_sight * bits
    return p


FAINT_CUE = SceneDesign(
    "faint-cue",
    {
        scene: _coincidences(list(SCENE_PAIRS).index(sound), scene == scenes[0])
        for scene, sound, scenes in sorted(
            (scene, sound, scenes) for sound, scenes in SCENE_PAIRS.items() for scene in scenes
        )
    },
    "a faint sound says nothing alone and decides beside the picture",
    RINGING,
    GRATINGS,
    hold=0.5,
    looks_stay=True,
    locations=12,
    test_share=0.4,
)

DESIGNS = {design.name: design for design in (RING, WORLD, FAINT_CUE)}
"""Every design, by the name that ``--world`` and ``synth.json`` have for it."""


def named_design(name: str) -> SceneDesign:
    """Return a design by its name; ``true`` and ``false`` are what settings files may still say.

    Raises:
        SettingError: there is none of that name.
    """
    name = {"true": WORLD.name, "false": RING.name}.get(name, name)
    if name not in DESIGNS:
        raise SettingError(f"--world {name}: unknown; any of {', '.join(DESIGNS)}.")
    return DESIGNS[name]
