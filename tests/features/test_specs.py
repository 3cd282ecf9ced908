"""Specs: the digests that name products' folders, and what is refused."""

import hashlib
from typing import Any

import pytest

from avsc.features.specs import FbankSpec, ImageSpec, ScalogramSpec, Spec
from avsc.manifests.errors import SettingError

# Written out, because every store in the world has these names: another one is made again whole.
WRITTEN_OUT = (
    (
        ScalogramSpec(),
        b'{"floor":1e-10,"hop":2736,"product":"scalogram","q":41,"sample_rate":16000,"t":8192,'
        b'"version":1,"window":8192}',
        "879a168b74a4",
    ),
    (
        FbankSpec(),
        b'{"bands":256,"floor":1e-10,"high":8000.0,"hop":2736,"low":0.0,"product":"fbank",'
        b'"sample_rate":16000,"version":1,"window":8192}',
        None,
    ),
    (
        ImageSpec(),
        b'{"product":"images","quality":90,"short_side":320,"version":1}',
        "8834978a446b",
    ),
)


@pytest.mark.parametrize(("spec", "canonical", "folder"), WRITTEN_OUT)
def test_digests_are_those_of_every_store_so_far(
    spec: Spec, canonical: bytes, folder: str | None
) -> None:
    digest = hashlib.sha256(canonical).hexdigest()
    assert spec.digest == digest
    assert folder is None or digest.startswith(folder)
    assert type(spec).from_dict({"product": spec.product}) == spec


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (ImageSpec, {"quality": 0}, "quality is 0; 1 to 100"),
        (ImageSpec, {"quality": 101}, "quality is 101; 1 to 100"),
        (ImageSpec, {"short_side": -1}, "short_side is -1"),
        (ImageSpec, {"per_second": 0}, "per_second is 0; 1 to 30 images a second"),
        (ImageSpec, {"per_second": 31}, "per_second is 31; 1 to 30 images a second"),
        (ImageSpec, {"per_second": 1.5}, r"per_second is 1\.5; a int"),
        (ScalogramSpec, {"floor": 0.0}, r"floor is 0\.0; a number > 0"),
        (ScalogramSpec, {"hop": 0}, "hop is 0; a whole number > 0"),
        (ImageSpec, {"quality": True}, "quality is True; a int"),
        (ImageSpec, {"qualty": 90}, "unknown parameter 'qualty'"),
    ],
)
def test_bad_parameters_are_named(kind: type[Spec], values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        kind.from_dict(values)


def test_a_parameter_that_specs_did_not_have_at_first_is_said_where_it_is_used() -> None:
    assert ImageSpec(per_second=1).digest == ImageSpec().digest
    two = ImageSpec(per_second=2)
    assert two.digest != ImageSpec().digest
    assert two.canonical() == (
        '{"per_second":2,"product":"images","quality":90,"short_side":320,"version":1}'
    )
    assert ImageSpec.from_dict(two.parameters()) == two


@pytest.mark.parametrize("bands", [0, 515, 10**9])
def test_bands_are_no_more_than_the_bins_of_a_window_can_fill(bands: int) -> None:
    with pytest.raises(SettingError, match=rf"bands is {bands}; 1 to 514 for a window of 512"):
        FbankSpec(window=512, bands=bands)
    assert FbankSpec(window=512, bands=514).bands == 514
