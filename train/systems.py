"""The systems of the paper as points in one small space of choices.

A system says which inputs it hears and sees and which of its encoders are trained; everything else
is one network, one training loop and one evaluation for all. A further system is a further row.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One point of the space.

    Attributes:
        name: the verb of ``avsc-fit`` and the name in a run's records.
        about: one line for the help.
        sound: acoustic frames are an input.
        pictures: pictures are an input.
        acoustic_frozen: the acoustic encoder stays as it starts.
        visual_frozen: the visual encoder stays as pre-training left it.
    """

    name: str
    about: str
    sound: bool
    pictures: bool
    acoustic_frozen: bool = False
    visual_frozen: bool = True


SYSTEMS = {
    system.name: system
    for system in (
        System("audio", "Train on sound alone (Table 2).", sound=True, pictures=False),
        System("video", "Train on pictures alone (Table 2).", sound=False, pictures=True),
        System("joint", "Train on sound and pictures together.", sound=True, pictures=True),
    )
}
