"""avsc-prep: from recordings to a store."""

from typing import NoReturn

from avsc.manifests.shell import LazyGroup, run_program

VERBS = {
    "download": (
        "avsc.preprocess.commands.download:download_command",
        "Download a known data set.",
    ),
    "plan": ("avsc.preprocess.commands.plan:plan_command", "Estimate time, storage and files."),
    "extract": ("avsc.preprocess.commands.extract:extract", "Extract what a store is missing."),
    "close": ("avsc.preprocess.commands.close:close", "Finish a store made by a job array."),
    "verify": ("avsc.preprocess.commands.verify:verify", "Recompute every checksum."),
    "info": (
        "avsc.preprocess.commands.info:info",
        "Show what a store holds, how complete and how big.",
    ),
    "browse": ("avsc.preprocess.commands.browse:browse", "A page of what a store holds."),
    "explain": (
        "avsc.preprocess.commands.explain:explain_command",
        "Explain why a clip will be extracted again or not.",
    ),
    "failures": (
        "avsc.preprocess.commands.failures:failures_command",
        "List, export and retry failures.",
    ),
    "doctor": ("avsc.preprocess.commands.doctor:doctor", "Check what extraction needs."),
    "synth": ("avsc.preprocess.commands.synth:synth", "Synthesise a miniature data set."),
}

program = LazyGroup(
    VERBS,
    help="From recordings to an HDF5 store of acoustic features and images.",
    epilog="Exit status: 0 done; 1 bad data, store or environment; 2 wrong use; 3 done, with "
    "failures listed; 5 verification failed; 130 interrupted, 143 terminated (run it again).",
)


def main() -> NoReturn:
    """Run the program."""
    run_program(program, "avsc-prep", "prep")
