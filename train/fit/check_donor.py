"""Whether an encoder of another run may be used: it has not seen what the new one is tested on."""

from avsc.features.store.reader import Store
from avsc.manifests.errors import SettingError
from avsc.train.fit.console import Console
from avsc.train.fit.encoders import DonorEncoder
from avsc.train.fit.split import Split, check_unseen, named_among, part_clips


def check_donor(
    donor: DonorEncoder, product: str, store: Store, split: Split, console: Console
) -> None:
    """Check that an encoder was trained on what the store has, and not on clips for test.

    Warns if validation clips were in the encoder's own training set.

    Args:
        product: what it encodes of the store.
        store: the store of the new run.
        split: of the new run.
        console: shown the warning.

    Raises:
        SettingError: it was trained on the product with other parameters.
        AvscError: it was trained, or its best epoch chosen, on clips for test.
    """
    path, specs = donor.run.folder.path, donor.run.record.store.specs
    if product in specs and store.spec(product).digest != specs[product]:
        raise SettingError(
            f"{path}: trained on {product} {specs[product][:12]}, and {store.path} has "
            f"{store.spec(product).digest[:12]}: they were made with other parameters. Name a run "
            "on this store."
        )
    check_unseen(donor.run, store, split)
    if shared := named_among(store, split.validation, set(part_clips(donor.run, "training"))):
        console.say(
            f"{path}: was trained on {len(shared)} of these {len(split.validation)} validation "
            "clips, so that validation will look too good; give both runs the same --seed and "
            "--validation"
        )
