"""The tables of docs/encoders.md name every encoder of smp and say what is measured."""

import re
import sys

import pytest
from conftest import ROOT

from unetlift.encoders.smp import smp_names

sys.path.append(str(ROOT / "benchmarks"))

PAGE = (ROOT / "docs" / "encoders.md").read_text()


def rows() -> dict[str, str]:
    """The tables' lines, by encoder."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| \S+ \| [\d.e+-]+ \| (yes|no) \|", line)]
    return {line.split()[1]: line for line in lines}


def test_every_name_of_smp_stands_in_the_table() -> None:
    assert len(smp_names()) == 76
    assert set(smp_names()) <= rows().keys()


def test_what_is_refused_has_a_reason() -> None:
    for name, line in rows().items():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[-1] or "no" not in cells, name


def test_deprecated_and_broken_names_are_called_so() -> None:
    for name, line in rows().items():
        assert ("deprecated" in line or "broken" in line) == name.startswith("timm-"), name


def test_the_page_is_what_the_results_say() -> None:
    import encoders

    results = encoders.read()
    assert set(results) == set(encoders.names())
    assert encoders.tables(results) in PAGE


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["resnet18", "dpn68", "mobileone_s0", "timm-skresnet18", "mit_b0", "densenet121", "tu-resnetblur50", "tu-mobilevit_xxs",
     "tu-hgnetv2_b0", "tu-nf_regnet_b0", "tu-hrnet_w18_small", "tu-mambaout_femto", "tu-eca_nfnet_l0", "tu-tresnet_m"],
)  # fmt: skip
def test_measured_again_it_is_the_same(name: str) -> None:
    import encoders

    found, written = encoders.measure(name), encoders.read()[name]
    for variant in (encoders.FIXED, encoders.DENSE, encoders.PHASES):
        assert encoders.works(found, variant) == encoders.works(written, variant)
    assert encoders.remark(found) == encoders.remark(written)
    for variant in (encoders.BOTH, encoders.PHASES):
        assert not isinstance(found.get(variant), float) or found[variant] < 1e-9
