"""avsc-prep: from recordings to a store."""

from typing import NoReturn

from avsc.manifests.shell import LazyGroup, run_program

VERBS = {
    "download": ("avsc.preprocess.commands.download:download_command", "Get a known data set."),
    "plan": ("avsc.preprocess.commands.plan:plan_command", "Predict hours, bytes and files."),
    "extract": ("avsc.preprocess.commands.extract:extract", "Make what a store is missing."),
    "close": ("avsc.preprocess.commands.close:close", "Finish a store made in parts."),
    "verify": ("avsc.preprocess.commands.verify:verify", "Compute every checksum again."),
    "info": ("avsc.preprocess.commands.info:info", "What a store holds, how complete, how big."),
    "browse": ("avsc.preprocess.commands.browse:browse", "A page of what a store holds."),
    "explain": (
        "avsc.preprocess.commands.explain:explain_command",
        "Why a clip will or will not be made again.",
    ),
    "failures": (
        "avsc.preprocess.commands.failures:failures_command",
        "List, export and retry what could not be made.",
    ),
    "doctor": ("avsc.preprocess.commands.doctor:doctor", "Try out what extraction needs."),
    "synth": ("avsc.preprocess.commands.synth:synth", "Make a miniature data set."),
}

program = LazyGroup(
    VERBS,
    help="From recordings to an HDF5 store of acoustic features and pictures.",
    epilog="Exit status: 0 done; 1 bad data, store or environment; 2 wrong use; 3 done, with "
    "failures listed; 5 verification failed; 130 interrupted, 143 terminated (run it again).",
)


def main() -> NoReturn:
    """Run the program."""
    run_program(program, "avsc-prep", "prep")
