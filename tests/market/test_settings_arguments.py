"""Settings from the command line: files and single values together, and refusals in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import SettingsError
from engine.sandbox.settings_arguments import MAX_FILE_BYTES, parse_settings

STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Wind(BaseModel):
    model_config = STRICT
    speed: float = Field(default=1.0, ge=0)
    from_where: str = "north"


class Weather(BaseModel):
    model_config = STRICT
    wind: Wind = Wind()
    rain: tuple[int, ...] = ()
    days: int = Field(default=1, ge=1)


def parse(*arguments: str) -> Weather:
    return parse_settings("--weather", arguments, Weather)


def complaint(*arguments: str) -> str:
    with pytest.raises(SettingsError) as refusal:
        parse(*arguments)
    text = str(refusal.value)
    assert "\n" not in text and "--weather" in text and refusal.value.exit_code == 2
    return text


def test_nothing_given_is_the_defaults() -> None:
    assert parse() == Weather()


def test_a_file_and_values_are_merged_and_the_last_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "weather.json"
    file.write_text('{"wind": {"speed": 3.5, "from_where": "south"}, "rain": [1, 2]}')
    assert parse("days=4", str(file), "wind.speed=7") == Weather(
        wind=Wind(speed=7, from_where="south"), rain=(1, 2), days=4
    )
    assert parse("wind.speed=7", str(file)).wind.speed == 3.5
    file.write_text('{"wind": {"speed": 3.5}}')
    assert parse("wind.from_where=east", str(file)).wind == Wind(speed=3.5, from_where="east")


def test_a_value_is_json_or_else_text() -> None:
    assert parse("wind.from_where=west").wind.from_where == "west"
    assert parse('wind={"speed": 2.0}', "rain=[5]") == Weather(wind=Wind(speed=2.0), rain=(5,))


def test_every_wrong_key_and_value_is_named_in_one_line() -> None:
    text = complaint("wind.speed=-1", "snow=2", "days=many")
    assert "--weather wind.speed -1: input should be greater than or equal to 0" in text
    assert "--weather snow 2: extra inputs are not permitted" in text
    assert "--weather days 'many': input should be a valid integer" in text


def test_a_value_cannot_have_parts() -> None:
    assert "days is a value and has no parts" in complaint("days=1", "days.of.week=2")


def test_hostile_text_does_not_reach_the_terminal() -> None:
    assert "\x1b" not in complaint("wind.from_where=1", "days=\x1b[2J\nboo")
    assert "\x1b" not in complaint("\x1b]0;x\x07.json")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "holds no JSON object"),
        (b"\xff\xfe\x00", "is not a text file"),
        (b" " * (MAX_FILE_BYTES + 1), "has more than"),
    ],
)
def test_a_file_that_is_no_object_in_json_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "weather.json"
    file.write_bytes(content)
    assert expected in complaint(str(file))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "neither KEY=VALUE nor a file that can be read" in complaint(str(tmp_path / "none.json"))
    assert "neither KEY=VALUE nor a file" in complaint(str(tmp_path))
    assert "neither KEY=VALUE nor a file" in complaint("1x=3")


def test_a_value_may_be_longer_than_the_name_of_a_file() -> None:
    rain = tuple(range(3_000))
    assert parse(f"rain={list(rain)}").rain == rain
