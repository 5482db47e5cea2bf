"""The page in a browser."""

import dataclasses
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import decoding_faults
from helpers.running_app import LIMITS, NOT_A_RECORDING, App, eventually, song

from mir_tf.app import decoding
from mir_tf.inference.formats import FILE_FORMATS
from mir_tf.lite import LiteModel


@pytest.fixture
def page(chromium: Any, app: App) -> Iterator[Any]:
    """Open the page; ``page.requests`` lists the addresses that it requests, ``page.faults`` its errors."""
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    page.requests, page.faults = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{app.port}/")
    page.wait_for_selector("[data-state=empty]")
    yield page
    own = (f"http://127.0.0.1:{app.port}/", f"blob:http://127.0.0.1:{app.port}/", "data:")
    assert not [address for address in page.requests if not address.startswith(own)]
    assert not page.faults
    page.close()


@pytest.fixture
def microphone(chromium: Any) -> Iterator[Any]:
    """Yield a browser's context whose microphone beeps; nothing may use it yet."""
    context = chromium.new_context()
    yield context
    context.close()


def choose(page: Any, path: Path | list[Path], state: str = "[data-state=done]") -> None:
    page.set_input_files("#choice", path)
    page.wait_for_selector(state, timeout=60_000)


def download(page: Any, name: str) -> tuple[str, bytes]:
    with page.expect_download() as found:
        page.click(f"[data-format={name}]")
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def texts(page: Any, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def chips(page: Any) -> dict[str, list[str]]:
    """Return the names in each of the two groups."""
    titles = texts(page, "#groups dt")
    return dict(
        zip(titles, [texts(page, f"#groups dd >> nth={place} >> li") for place in range(len(titles))], strict=True)
    )


def until(page: Any, condition: str) -> None:
    """Wait for a condition; wait_for_function would call eval, which the Content-Security-Policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


@pytest.mark.slow
def test_the_page_shows_what_python_finds_and_plays_it(page: Any, app: App, tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav")
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    assert page.inner_text("#dominant") == expected.dominant
    assert chips(page) == {"Detected": expected.detected, "Perhaps": expected.perhaps}
    assert texts(page, "#lanes .row:visible .name") == expected.detected
    detected = expected.instruments[: len(expected.detected)]
    assert texts(page, "#lanes .row:visible .sure") == [f"{round(100 * each.confidence)} % sure" for each in detected]
    times = [f"0:{round(each.playing_time):02d} {round(100 * each.share)} %" for each in detected]
    assert [" ".join(text.split()) for text in texts(page, "#lanes .row:visible .figure")] == times
    assert page.inner_text("#fold") == f"Perhaps ({len(expected.perhaps)})"
    page.click("#fold")
    assert texts(page, "#lanes .row:visible .name") == [*expected.detected, *expected.perhaps]
    page.click("#fold")
    assert page.locator("#lanes .row:visible").count() == len(expected.detected) > 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    page.locator("#lanes .lane").first.click()  # in the middle
    until(page, "Math.abs(document.querySelector('#player').currentTime - 3) < 0.1")
    until(page, "Math.abs(document.querySelector('#timeline').style.getPropertyValue('--position') - 0.5) < 0.02")
    for key, time_after in {"ArrowLeft": 0.0, "Shift+ArrowRight": 0.5, "End": 6.0, "Home": 0.0}.items():
        page.keyboard.press(key)
        until(page, f"Math.abs(document.querySelector('#player').currentTime - {time_after}) < 0.1")
    page.keyboard.press("Space")
    until(page, "document.querySelector('#player').currentTime > 0.3")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    until(page, "document.querySelector('#player').paused")

    page.click("#fold")
    page.click("#all")
    assert page.locator("#lanes .row:visible").count() == 17


def is_dark(page: Any) -> bool:
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return max(map(int, re.findall(r"\d+", paper))) < 128


@pytest.mark.slow
def test_the_system_s_colours_are_followed_until_others_are_chosen_which_are_kept(page: Any) -> None:
    for scheme in ("dark", "light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert is_dark(page) == (scheme == "dark")
    page.get_by_role("button", name="Switch to light colours").click()
    assert not is_dark(page)
    page.reload()
    assert not is_dark(page)
    page.get_by_role("button", name="Switch to dark colours").click()
    page.emulate_media(color_scheme="light")
    page.reload()
    assert is_dark(page)


@pytest.mark.slow
def test_colours_can_be_chosen_where_nothing_may_be_stored(page: Any) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )
    page.reload()
    page.wait_for_selector("[data-state=empty]")
    page.click("#theme")
    assert is_dark(page)


class Timeline:
    """The timeline of a page, and the pointer on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.touch = page.context.new_cdp_session(page)

    @property
    def part(self) -> tuple[float, ...]:
        """The first and the last visible second."""
        text = self.page.get_by_role("scrollbar", include_hidden=True).get_attribute("aria-valuetext")
        return tuple(60 * int(minutes) + float(seconds) for minutes, seconds in re.findall(r"(\d+):([\d.]+)", text))

    @property
    def ticks(self) -> list[str]:
        return self.page.locator("#ruler .tick").all_inner_texts()

    @property
    def position(self) -> float:
        """The position of playback as a share of the width."""
        return float(self.page.evaluate("document.querySelector('#timeline').style.getPropertyValue('--position')"))

    @property
    def time(self) -> float:
        return self.page.evaluate("document.querySelector('#player').currentTime")

    def at(self, share: float, selector: str = "#seek") -> tuple[float, float]:
        """Return the point at a share of the width of an element."""
        found = self.page.locator(selector).first
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        return box["x"] + share * box["width"], box["y"] + box["height"] / 2

    def settle(self) -> None:
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def drag(self, selector: str, start: float, end: float) -> None:
        self.page.mouse.move(*self.at(start, selector))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(end, selector), steps=4)
        self.page.mouse.up()
        self.settle()

    def wheel(self, share: float, across: float, along: float, *keys: str) -> None:
        self.page.mouse.move(*self.at(share))
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.wheel(across, along)
        self.page.wait_for_timeout(100)  # wheel events arrive asynchronously
        for key in keys:
            self.page.keyboard.up(key)
        self.settle()

    def fingers(self, *paths: tuple[float, float]) -> None:
        """Move fingers on the first lane, each from one share of its width to another."""
        for kind, moved in (
            ("touchStart", 0.0),
            *(("touchMove", step / 4) for step in range(1, 5)),
            ("touchEnd", None),
        ):
            points = [
                dict(zip("xy", self.at(start + (end - start) * moved, "#lanes .lane"), strict=True), id=index)
                for index, (start, end) in enumerate(paths)
                if moved is not None
            ]
            self.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        self.settle()

    def blocks(self, index: int, times: Any) -> list[bool]:
        """Return for each time whether the lane of a class shows a block there."""
        start, end = self.part
        return self.page.evaluate(
            """({ index, shares }) => {
                const canvas = document.querySelector(`[data-index='${index}'] canvas`);
                const row = canvas.getContext("2d").getImageData(0, canvas.height - 2, canvas.width, 1).data;
                return shares.map((share) => row[4 * Math.floor(share * canvas.width) + 3] > 0);
            }""",
            {"index": index, "shares": [(time - start) / (end - start) for time in times]},
        )


@pytest.mark.slow
def test_the_timeline_zooms_and_scrolls_as_one(page: Any, app: App, tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav", 32.0)
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    timeline = Timeline(page)
    closer, wider = page.get_by_role("button", name="Zoom in"), page.get_by_role("button", name="Zoom out")
    assert timeline.part == (0, 32)
    assert wider.is_disabled()
    assert not page.locator("#part").is_visible()

    page.mouse.click(*timeline.at(0.5))
    until(page, "Math.abs(document.querySelector('#player').currentTime - 16) < 0.2")
    waveform = "document.querySelector('#seek canvas').toDataURL()"
    whole, played = page.evaluate(waveform), timeline.position
    closer.click()
    page.keyboard.press("+")
    assert timeline.part == pytest.approx((12, 20), abs=0.2)
    assert timeline.position == pytest.approx(played, abs=0.01)
    assert page.evaluate(waveform) != whole
    assert timeline.ticks[0] == "0:15"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    frames = np.arange(round(10 * timeline.part[0]) + 1, round(10 * timeline.part[1]) - 1)
    drawn = 0
    for index in [each.index for each in expected.instruments if each.is_detected]:
        plays = np.zeros(320, bool)
        for each in expected.intervals:
            if each.label == expected.classes[index]:
                plays[round(10 * each.start) : round(10 * each.end)] = True
        assert timeline.blocks(index, (frames + 0.5) / 10) == plays[frames].tolist()
        drawn += len(set(plays[frames].tolist())) - 1
    assert drawn

    page.mouse.click(*timeline.at(0.25, "#lanes .lane"))
    assert timeline.time == pytest.approx(timeline.part[0] + 2, abs=0.1)
    until(page, "document.querySelector('#reading').textContent.startsWith('0:14.')")

    under = timeline.part[0] + 0.75 * 8
    timeline.wheel(0.75, 0, -200, "Control")
    start, end = timeline.part
    assert end - start == pytest.approx(4, abs=0.2)
    assert start + 0.75 * (end - start) == pytest.approx(under, abs=0.1)
    timeline.wheel(0.5, 0, -60)
    assert timeline.part == (start, end)  # this scrolls the page
    timeline.wheel(0.5, page.locator("#seek").bounding_box()["width"] / 2, 0)
    assert timeline.part == pytest.approx((start + 2, end + 2), abs=0.1)
    timeline.drag("#ruler", 0.2, 0.7)
    assert timeline.part == pytest.approx((start, end), abs=0.2)
    timeline.drag("#part", 0.5, 0.25)
    assert timeline.part == pytest.approx((6, 10), abs=0.2)
    page.focus("#part")
    page.keyboard.press("End")
    assert timeline.part == pytest.approx((28, 32), abs=0.1)
    page.keyboard.press("PageUp")
    assert timeline.part == pytest.approx((24, 28), abs=0.1)
    page.evaluate("document.activeElement.blur()")

    for key in ("Home", "End", "ArrowLeft", "Shift+ArrowLeft"):  # playback stays visible
        page.keyboard.press(key)
        start, end = timeline.part
        assert start - 0.05 <= timeline.time <= end + 0.05
    while not closer.is_disabled():
        page.keyboard.press("+")
    start, end = timeline.part
    assert end - start == pytest.approx(2, abs=0.1)
    page.keyboard.press("Space")
    until(page, f"document.querySelector('#player').currentTime > {end + 0.2}")
    page.keyboard.press("Space")
    timeline.settle()
    assert timeline.part[0] > start
    assert 0 <= timeline.position <= 1
    while not wider.is_disabled():
        page.keyboard.press("-")
    assert timeline.part == (0, 32)
    assert not page.locator("#part").is_visible()


@pytest.mark.slow
def test_fingers_seek_pull_and_zoom(page: Any, tmp_path: Path) -> None:
    choose(page, song(tmp_path / "song.wav", 32.0))
    timeline = Timeline(page)
    timeline.fingers((0.25, 0.25))
    assert timeline.time == pytest.approx(8, abs=0.3)
    timeline.fingers((0.3, 0.1), (0.7, 0.9))  # to twice the distance, around the middle
    assert timeline.part == pytest.approx((8, 24), abs=0.5)
    assert timeline.time == pytest.approx(8, abs=0.3)
    timeline.fingers((0.75, 0.25))
    assert timeline.part == pytest.approx((16, 32), abs=1)
    assert timeline.time == pytest.approx(8, abs=0.3)  # scrolling does not seek
    timeline.fingers((0.5, 0.5))
    assert timeline.time == pytest.approx(24, abs=1)


@pytest.mark.slow
def test_a_slider_redraws_and_downloads_follow_it(page: Any, app: App, tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav")
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    index = expected.instruments[0].index
    before = page.evaluate("document.querySelector('#lanes canvas').toDataURL()")
    thresholds = expected.thresholds.copy()
    thresholds[index] = 0.99
    slider = page.locator(f"#lanes [data-index='{index}'] input")
    assert not slider.is_visible()
    page.click("#adjust")
    slider.fill("0.99")
    assert page.evaluate("document.querySelector('#lanes canvas').toDataURL()") != before
    moved = expected.with_thresholds(thresholds)
    assert page.inner_text("#dominant") == moved.dominant != expected.dominant
    assert chips(page) == {"Detected": moved.detected, "Perhaps": moved.perhaps}
    name, content = download(page, "jams")
    assert name == "song.wav.jams"
    tags = [tag for annotation in json.loads(content)["annotations"] for tag in annotation["data"]]
    assert sorted((tag["value"], round(tag["time"], 1)) for tag in tags) == sorted(
        (each.label, round(each.start, 1)) for each in moved.intervals
    )
    page.click("#reset")
    assert page.inner_text("#dominant") == expected.dominant
    for name, form in FILE_FORMATS.items():
        assert download(page, name)[0] == f"song.wav{form.suffix}"


@pytest.mark.slow
def test_the_rule_in_the_page_is_that_of_python(page: Any, app: App, tmp_path: Path) -> None:
    """With the model's thresholds, with random ones, and with the ends of their range."""
    expected = LiteModel(app.model).predict(song(tmp_path / "song.wav", 30.0))
    random = np.random.default_rng(1)
    cases = [expected.thresholds, np.zeros(17), np.ones(17), *random.uniform(0.1, 0.9, (40, 17))]
    total, sizes = 0, set()
    for case in cases:
        thresholds = np.array(case, np.float32)
        cut = random.uniform(0.2, 0.8)
        found = page.evaluate(
            """async ({ model, confidences, postProcessing, from, to, columns }) => {
                const { adapt, findIntervals } = await import("/static/post_processing.js");
                const { listClasses } = await import("/static/instruments.js");
                const thresholds = Float32Array.from(to);
                const adapted = adapt(postProcessing, from, thresholds);
                const values = columns.map((column) => Float32Array.from(column));
                return {
                    intervals: values.map((column, index) =>
                        findIntervals(column, thresholds[index], adapted, index, 10)),
                    classes: [confidences, confidences.map(() => null)].map((given) =>
                        listClasses(model, values, thresholds, given).filter(({ isNamed }) => isNamed)),
                };
            }""",
            {
                "postProcessing": expected.post_processing.to_dict(),
                "from": expected.thresholds.tolist(),
                "to": thresholds.tolist(),
                "columns": expected.probabilities.T.tolist(),
                "model": {"classes": expected.classes, "cut": cut, "frame_rate": 10},
                "confidences": expected.confidence.tolist(),
            },
        )
        confidence_model = dataclasses.replace(expected.confidence_model, cut=cut)
        moved = dataclasses.replace(expected.with_thresholds(thresholds), confidence_model=confidence_model)
        intervals = sorted((each.label, each.start, each.end) for each in moved.intervals)
        total += len(intervals)
        assert intervals == sorted(
            (expected.classes[index], start / 10, min(end / 10, expected.seconds))
            for index, stretches in enumerate(found["intervals"])
            for start, end in stretches
        )
        for named, same in zip(
            found["classes"], (moved, dataclasses.replace(moved, confidence_model=None)), strict=True
        ):
            for field, name in {"name": "name", "isDetected": "is_detected"}.items():
                assert [each[field] for each in named] == [getattr(each, name) for each in same.instruments]
            for field, name in {"time": "playing_time", "share": "share"}.items():
                numbers = [getattr(each, name) for each in same.instruments]
                assert [each[field] for each in named] == pytest.approx(numbers)
        sizes.add(len(moved.detected))
    assert total > 200
    assert len(sizes) > 3


@pytest.mark.slow
def test_rubbish_is_told_kindly_and_files_that_the_browser_cannot_play_are(
    page: Any, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rubbish.mp3").write_bytes(b"no sound")
    choose(page, tmp_path / "rubbish.mp3", "#failure:has-text('rubbish.mp3')")
    assert page.inner_text("#failure") == f"“rubbish.mp3” {NOT_A_RECORDING}"
    assert page.get_attribute("body", "data-state") == "failed"
    assert page.is_visible("#examples")  # the page still offers everything
    (tmp_path / "big.wav").write_bytes(bytes(LIMITS.max_bytes + 1))
    choose(page, tmp_path / "big.wav", "#failure:has-text('big.wav')")
    assert page.inner_text("#failure") == "“big.wav” is larger than 4 MB. Try a compressed format such as mp3."
    choose(page, song(tmp_path / "song.aiff"))
    assert not page.inner_text("#failure")
    until(page, "Math.abs(document.querySelector('#player').duration - 6) < 0.1")
    page.keyboard.press("ArrowRight")
    until(page, "Math.abs(document.querySelector('#player').currentTime - 5) < 0.1")
    choose(page, tmp_path / "rubbish.mp3", "#failure:has-text('rubbish (2).mp3')")
    assert not page.is_visible(".result")  # the previous result does not look like the new one
    statuses = ["Failed", "Failed", ", ".join(LiteModel(app.model).predict(tmp_path / "song.aiff").detected), "Failed"]
    assert texts(page, "#songs .status") == statuses
    page.click("#songs .song:has-text('song.aiff')")
    assert page.inner_text("#file") == "song.aiff"
    assert not page.inner_text("#failure")
    monkeypatch.setattr(app.recordings, "model_id", "another")
    choose(page, song(tmp_path / "song.aiff"), "#failure:has-text('with another model. Reload the page.')")


@pytest.mark.slow
def test_who_stops_or_leaves_is_forgotten(page: Any, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "song.wav")
    choose(page, path)
    before = set(app.recordings._recordings)
    with monkeypatch.context() as patched:
        patched.setattr(decoding, "decode", functools.partial(decoding_faults.hold, tmp_path / "never"))
        choose(page, path, "#message:has-text('Reading')")
        assert len(set(app.recordings._recordings) - before) == 1
        page.click("#stop")
        page.wait_for_selector("[data-state=done]")
        eventually(lambda: set(app.recordings._recordings) == before)
        choose(page, path, "#message:has-text('Reading')")
        assert not page.inner_text("#failure")
        page.goto("about:blank")
        eventually(lambda: len(app.recordings._recordings) == len(before) - 1)
    page.requests.clear()


@pytest.mark.slow
def test_several_recordings_become_a_list(page: Any, app: App, tmp_path: Path) -> None:
    paths = [song(tmp_path / f"{name}.wav", seconds) for name, seconds in {"a": 3.0, "b": 4.0, "c": 5.0}.items()]
    assert page.is_hidden("#songs")
    choose(page, paths)
    until(page, "document.querySelectorAll('#songs [data-state=done]').length === 3")
    assert page.inner_text("#file") == "a.wav"  # the first stays while the others follow
    assert texts(page, "#songs .name") == ["a.wav", "b.wav", "c.wav"]
    for path, status in zip(paths, texts(page, "#songs .status"), strict=True):
        assert status == ", ".join(LiteModel(app.model).predict(path).detected)
    page.focus("#songs .song >> nth=0")
    for _ in range(2):  # over the button that removes it
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.inner_text("#file") == "b.wav"
    assert page.get_attribute("#songs [aria-current=true]", "class") == "song"
    assert page.inner_text("#length") == "0:04"
    kept = set(app.recordings._recordings)
    page.click("#songs [aria-label='Remove b.wav']")
    assert page.inner_text("#file") == "c.wav"
    eventually(lambda: len(kept - set(app.recordings._recordings)) == 1)
    page.click("#songs [aria-label='Remove c.wav']")
    assert page.inner_text("#file") == "a.wav"
    assert page.is_hidden("#songs")


@pytest.mark.slow
def test_what_plays_at_the_cursor_lights_up(page: Any, app: App, tmp_path: Path) -> None:
    path = song(tmp_path / "song.wav")
    choose(page, path)
    expected = LiteModel(app.model).predict(path)
    seen = set()
    for share in np.linspace(0.05, 0.95, 7):
        page.mouse.click(*Timeline(page).at(float(share)))
        time = page.evaluate("document.querySelector('#player').currentTime")
        playing = {each.label for each in expected.intervals if each.start <= time < each.end}
        assert set(texts(page, "#groups .on")) == playing
        assert set(texts(page, "#lanes .row.on:visible .name")) == playing & set(expected.detected)
        seen.add(frozenset(playing))
    assert len(seen) > 1


@pytest.mark.slow
def test_a_low_probability_looks_low(page: Any) -> None:
    """Draw one interval at four probabilities: its height and its shade must grow with them."""
    found = page.evaluate(
        """async (levels) => {
            const { drawLane } = await import("/static/lanes.js");
            const canvas = document.createElement("canvas");
            canvas.style.cssText = "width: 10px; height: 104px";
            document.body.append(canvas);
            return levels.map((level) => {
                drawLane(canvas, new Float32Array(10).fill(level), [[0, 10]], [0, 10], "#000000");
                const { data, height, width } = canvas.getContext("2d").getImageData(5, 0, 1, canvas.height);
                const alpha = Array.from({ length: height }, (_, y) => data[4 * y + 3]);
                return { tall: alpha.slice(0, 100).filter((value) => value > 127).length, shade: alpha.at(-2) };
            });
        }""",
        [0.1, 0.4, 0.7, 0.9],
    )
    assert [each["tall"] for each in found] == pytest.approx([10, 40, 70, 90], abs=1)
    shades = [each["shade"] for each in found]
    assert shades == sorted(shades)
    assert shades[-1] > 3 * shades[0]


@pytest.mark.slow
def test_the_empty_page_says_what_it_can_do_and_has_examples(page: Any, app: App) -> None:
    assert "Reed saxophone, clarinet, oboe" in texts(page, "#classes li")
    assert page.locator("#classes li").count() == 17
    assert "Voices." in page.inner_text(".facts")
    assert "nine of ten" in page.inner_text(".facts")
    for button in page.locator("#examples button").all():
        name = button.locator("strong").inner_text()
        button.click()
        page.wait_for_selector("[data-state=done]", timeout=60_000)
        assert page.inner_text("#file") == f"{name}.mp3"
        assert page.inner_text("#length") == "0:24"
        page.reload()
        page.wait_for_selector("[data-state=empty]")


@pytest.mark.slow
def test_the_focus_does_not_look_like_a_text_field(page: Any, tmp_path: Path) -> None:
    choose(page, song(tmp_path / "song.wav"))
    page.keyboard.press("Tab")
    for selector in ("#file", "#seek", "#part"):
        page.evaluate("(selector) => document.querySelector(selector).focus({ focusVisible: true })", selector)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "none"
    page.focus("#seek")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("getComputedStyle(document.querySelector('#seek'), '::after').width") == "6px"


@pytest.mark.slow
def test_the_microphone_records(microphone: Any, app: App) -> None:
    page = microphone.new_page()
    page.goto(f"http://127.0.0.1:{app.port}/")
    page.wait_for_selector("[data-state=empty]")
    page.click("#record")  # not yet allowed
    page.wait_for_selector("#failure:has-text('Allow it')")
    assert page.is_hidden("#recorder")
    microphone.grant_permissions(["microphone"])
    page.click("#record")
    until(page, "document.querySelector('#level').value > 0.1")  # the fake microphone beeps
    page.click("#cancel")
    assert page.get_attribute("body", "data-state") == "empty"
    page.click("#record")
    page.wait_for_selector("#elapsed:has-text('0:02')")
    page.keyboard.press("Enter")  # "Stop and detect" has the focus
    page.wait_for_selector("[data-state=done]", timeout=60_000)
    assert re.fullmatch(r"Recording \d\d\.\d\d\.\d\d\.webm", page.inner_text("#file"))
    until(page, "document.querySelector('#player').duration > 1")  # the server's copy
    until(page, "document.querySelector('#record').checkVisibility()")
    page.close()


@pytest.mark.slow
def test_recordings_of_one_name_get_titles_of_their_own_and_are_kept(page: Any, app: App, tmp_path: Path) -> None:
    paths = []
    for folder, seconds in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        paths.append(song(tmp_path / folder / "song.wav", seconds))
    for path in paths:
        choose(page, path)
        until(page, "document.querySelector('#songs [data-state=working], #songs [data-state=waiting]') === null")
    assert texts(page, "#songs .name") == ["song.wav", "song (2).wav"]
    assert page.inner_text("#file") == "song (2).wav"
    name, content = download(page, "json")
    assert (name, json.loads(content)["path"]) == ("song (2).wav.json", "song (2).wav")
