"""avsc-fit: from a store to a trained, evaluated system."""

import os
from typing import NoReturn

from avsc.manifests.shell import LazyGroup, run_program
from avsc.train.systems import VERBS as FITS

VERBS = {
    **{
        verb: (f"avsc.train.commands.fit:{verb.replace('-', '_')}", system.about)
        for verb, system in FITS.items()
    },
    "embed": ("avsc.train.commands.embed:embed", "Make the embeddings of a run's encoders."),
    "places": (
        "avsc.train.commands.fit:places",
        "Train an image model on labelled images, for --visual-weights.",
    ),
    "evaluate": ("avsc.train.commands.evaluate:evaluate", "Evaluate a run as the official task."),
    "robustness": (
        "avsc.train.commands.robustness:robustness",
        "Evaluate a run with a modality missing or wrong.",
    ),
    "offset": (
        "avsc.train.commands.offset:offset",
        "Find by how much a recording's sound and images are apart.",
    ),
    "predict": (
        "avsc.train.commands.predict:predict",
        "Classify recordings by a trained run, second by second.",
    ),
    "export": ("avsc.train.commands.export:export", "Make a run a folder to be used elsewhere."),
    "table": ("avsc.train.commands.table:table", "Make a table of the paper, beside its figures."),
    "tsne": ("avsc.train.commands.tsne:tsne", "Draw the embeddings of two runs, as Figure 2."),
    "compare": ("avsc.train.commands.compare:compare", "Compare two systems, paired by location."),
    "doctor": ("avsc.train.commands.doctor:doctor", "Try out what training needs."),
}

program = LazyGroup(
    VERBS,
    help="Train systems of audio-visual scene classification on a store, evaluate and use them.",
    epilog="Exit status: 0 done; 1 bad data, store or environment; 2 wrong use; 3 done, with "
    "failures listed; 75 stopped by SIGTERM or SIGUSR1, state saved; 130 interrupted, state saved; "
    "143 terminated. The same command resumes.",
)


def main() -> NoReturn:
    """Run the program.

    PyTorch's threads sleep while they wait for each other. By default they spin, which holds up the
    threads that prepare images, and every other program on a shared machine: on two cores shared
    with ten others an epoch took 67 s spinning and 16 s sleeping, with the same numbers.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run_program(program, "avsc-fit", "fit")


if __name__ == "__main__":
    main()
