"""A quick start: no garbage is looked for, models wait for their use, and afterwards all is as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from flowrunner.functions.starting import models_built_late, quick_start
from pydantic import BaseModel


@pytest.fixture
def unfrozen() -> Iterator[None]:
    """What a start has set aside is looked at again."""
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("unfrozen")
def test_no_garbage_is_looked_for_meanwhile() -> None:
    """What is made while a function starts stays: it is set aside, and later collections do not look at it."""
    before = gc.get_freeze_count()
    with quick_start():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before


@pytest.mark.usefixtures("unfrozen")
def test_a_start_that_fails_leaves_the_collector_on() -> None:
    """Lambda tries again in a new process; ours goes on all the same."""

    def fail() -> None:
        with quick_start():
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert gc.isenabled()


def test_models_are_built_when_they_are_used() -> None:
    """A model of somebody else's waits for its first use if it is defined then, and works; later ones do not wait."""
    with models_built_late():

        class Late(BaseModel):
            number: int

    class Soon(BaseModel):
        number: int

    assert (Late.__pydantic_complete__, Soon.__pydantic_complete__) == (False, True)
    assert Late.model_validate({"number": "7"}).number == 7
