"""What API documents and command line help say of options comes from the structs themselves."""

from __future__ import annotations

import pytest

from whisper_service.core.domain import Options, Preset, Script, Task
from whisper_service.core.options_schema import OptionField, option_fields
from whisper_service.export.captions.style import Style
from whisper_service.export.layout import Layout


def test_the_options_of_a_job_have_their_types_bounds_and_choices() -> None:
    found = {field.name: field for field in option_fields(Options)}
    assert list(found) == list(Options.__struct_fields__)
    assert (found["model"].type, found["model"].max_length) == ("string", 300)
    assert (found["task"].choices, found["task"].default) == (tuple(Task), Task.TRANSCRIBE)
    assert found["preset"].choices == tuple(Preset)
    assert (found["script"].choices, found["script"].default) == (tuple(Script), None)
    assert (found["language"].type, found["language"].default) == ("string", None)
    assert (found["word_timestamps"].type, found["word_timestamps"].default) == ("boolean", True)


@pytest.mark.parametrize("kind", [Options, Style, Layout])
def test_every_option_has_a_description(kind: type[Options] | type[Style] | type[Layout]) -> None:
    assert all(field.description.endswith(".") for field in option_fields(kind))


def test_the_options_of_a_style_stand_among_those_of_a_layout() -> None:
    layout = option_fields(Layout)
    assert layout[: len(Style.__struct_fields__)] == option_fields(Style)
    assert (
        OptionField(
            name="max_s", type="number", description="Longest time on screen.", default=7.0, minimum=0.5, maximum=60
        )
        in layout
    )
    assert layout[-1].name == "bom"
