import { copyAddress, discard, getFile, getModel, predict } from "./api.js";
import { drawLane, drawRuler, drawWaveform, formatTime, visible, waveform } from "./lanes.js";
import { adapt, findIntervals, playingTime } from "./post_processing.js";
import { View } from "./view.js";

const FORMAT_NAMES = { json: "JSON", csv: "CSV", jams: "JAMS", audacity: "Audacity labels", png: "PNG", svg: "SVG" };

const ZOOM_STEP = 2; // factor of a button or key
const ZOOM_WHEEL = 200; // pixels of the wheel for a factor of 2
const PROBE_TIMEOUT = 5000; // ms to wait until the browser reports whether it can play a file
const TAP = 8; // CSS pixels that a finger moves before a tap becomes a drag

const $ = (id) => document.getElementById(id);
const player = $("player");
const seekBar = $("seek");
const timeline = $("timeline");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

let model = null;
let result = null; // as returned by `predict`, with columns: Float32Array [frames] of each class
let thresholds = null; // Float32Array [classes], the values of the sliders
let lanes = []; // {index, row, canvas, slider, value, label}, longest playing time first
let view = null; // the visible part of the recording
let heights = null; // heights of the waveform
let showsAll = false;
let work = null; // AbortController of the recording in progress
let playerAddress = null;

// States

function enter(state) {
  document.body.dataset.state = state;
}

function fail(message) {
  $("failure").textContent = message;
}

function progress(message, share) {
  if ($("message").textContent !== message) $("message").textContent = message; // so that screen readers read it once
  if (share === undefined) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

const bounds = () => `Up to ${model.max_bytes / 1e6} MB and ${model.max_seconds / 60} minutes; mp3, m4a, wav, flac, ogg, videos and more`;

async function start() {
  try {
    model = await getModel();
  } catch (error) {
    fail(error.message);
    return;
  }
  $("model").textContent = `${model.name}, ${model.architecture}, ${model.classes.length} classes`;
  $("bounds").textContent = bounds();
  $("formats").replaceChildren(...model.formats.map(formatButton));
  $("choice").accept = ["audio/*", ...model.suffixes].join();
  $("choice").disabled = false;
  enter("empty");
}

async function open(file) {
  if (!model) return;
  fail("");
  if (file.size > model.max_bytes) { // the recording in progress continues
    fail(`“${file.name}” is larger than ${model.max_bytes / 1e6} MB. Try a compressed format such as mp3.`);
    return;
  }
  work?.abort();
  work = new AbortController();
  const { signal } = work;
  player.pause();
  $("working").textContent = file.name;
  progress("Opening");
  enter("working");
  const address = URL.createObjectURL(file);
  try {
    await file.slice(0, 1).arrayBuffer().catch(() => {
      throw new Error(`“${file.name}” cannot be read. Is it a folder, or was it moved?`);
    });
    const plays = await canPlay(address, signal);
    signal.throwIfAborted();
    const found = await predict(file, model.id, !plays, progress, signal);
    if (!plays) URL.revokeObjectURL(address);
    if (result) discard(result.id);
    show(found, plays ? address : copyAddress(found.id));
  } catch (error) {
    URL.revokeObjectURL(address);
    if (signal.aborted && work.signal !== signal) return; // another recording is in progress
    if (!signal.aborted) fail(error.message);
    enter(result ? "done" : "empty");
    redraw();
  }
}

/** Returns whether this browser can play the recording at an address; false if it does not report in time. */
function canPlay(address, signal) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), PROBE_TIMEOUT);
    signal.addEventListener("abort", () => resolve(false));
    const probe = document.createElement("audio");
    probe.onloadedmetadata = () => resolve(Number.isFinite(probe.duration));
    probe.onerror = () => resolve(false);
    probe.src = address;
  });
}

// The result

function show(found, address) {
  const count = model.classes.length;
  const frames = found.probabilities.length / count;
  const columns = model.classes.map((_, index) =>
    Float32Array.from({ length: frames }, (__, frame) => found.probabilities[frame * count + index]));
  result = { ...found, columns };
  view = new View(result.seconds);
  thresholds = Float32Array.from(model.thresholds);
  showsAll = false;
  if (playerAddress?.startsWith("blob:")) URL.revokeObjectURL(playerAddress);
  playerAddress = address;
  player.src = address;
  $("file").textContent = result.name;
  $("length").textContent = formatTime(result.seconds);
  seekBar.setAttribute("aria-valuemax", result.seconds.toFixed(1));
  lanes = order().map(makeLane);
  $("lanes").replaceChildren(...lanes.map(({ row }) => row));
  enter("done");
  update();
  redraw();
  $("file").focus(); // the focused "Stop" is hidden now, and screen readers announce the result
}

const seconds = (index) => playingTime(result.columns[index], thresholds[index], model.frame_rate);

/** Sorts the classes by playing time, those that never play by their greatest probability. */
function order() {
  const keys = result.columns.map((column, index) => [seconds(index), column.reduce((one, other) => Math.max(one, other), 0)]);
  return model.classes.map((_, index) => index).sort((one, other) =>
    keys[other][0] - keys[one][0] || (keys[one][0] ? one - other : keys[other][1] - keys[one][1]));
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

function makeLane(index) {
  const name = model.classes[index];
  const slider = element("input", "");
  Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.01 });
  slider.setAttribute("aria-label", `Threshold of ${name}`);
  const value = element("span", "value");
  const canvas = element("canvas", "");
  const lane = element("div", "lane", canvas);
  lane.setAttribute("role", "img");
  const head = element("div", "head", element("span", "chip"), element("span", "name", name), slider, value);
  const row = element("div", "row", head, lane);
  row.dataset.index = index;
  slider.addEventListener("input", () => {
    thresholds[index] = slider.valueAsNumber;
    update();
    redrawLane(made);
  });
  const made = { index, row, canvas, slider, value, label: lane };
  return made;
}

const intervalsOf = (index, postProcessing = adapt(model.post_processing, model.thresholds, thresholds)) =>
  findIntervals(result.columns[index], thresholds[index], postProcessing, index, model.frame_rate);

/** Updates everything that depends on the thresholds except for the canvases. */
function update() {
  const times = model.classes.map((_, index) => seconds(index));
  const playing = order().filter((index) => times[index] > 0);
  $("dominant").textContent = playing.length ? model.classes[playing[0]] : "none detected";
  $("dominant").closest(".badge").style.setProperty("--class-color", playing.length ? color(playing[0]) : "");
  $("bars").replaceChildren(...playing.map((index) => bar(index, times[index])));
  for (const { index, row, slider, value, label } of lanes) {
    slider.value = thresholds[index];
    slider.style.setProperty("--value", thresholds[index]);
    value.textContent = thresholds[index].toFixed(2);
    const count = intervalsOf(index).length;
    label.setAttribute("aria-label",
      `${model.classes[index]}: ${formatTime(times[index], 1)} in ${count} ${count === 1 ? "interval" : "intervals"}`);
    // A lane whose threshold was changed stays visible: its slider may be in use.
    row.hidden = !showsAll && !times[index] && thresholds[index] === Math.fround(model.thresholds[index]);
    row.style.setProperty("--class-color", color(index));
  }
  const hidden = lanes.filter(({ row }) => row.hidden).length;
  $("others").hidden = !showsAll && !hidden;
  $("others").textContent = showsAll ? "Show fewer" : `Show ${hidden} more`;
  $("others").setAttribute("aria-expanded", showsAll);
  $("reset").hidden = model.thresholds.every((threshold, index) => Math.fround(threshold) === thresholds[index]);
}

function bar(index, time) {
  const share = time * model.frame_rate / result.columns[index].length;
  const percent = share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
  const item = element("li", "", element("span", "", model.classes[index]), element("span", "bar", element("i", "")),
    element("span", "figure", formatTime(time), " ", element("small", "", percent)));
  item.style.setProperty("--class-color", color(index));
  item.style.setProperty("--share", share);
  return item;
}

// Canvases

const isDark = () => (document.documentElement.dataset.theme ?? (darkScheme.matches ? "dark" : "light")) === "dark";
const color = (index) => visible(model.colors[index], isDark());

function redrawLane({ index, row, canvas }) {
  if (row.hidden) return;
  drawLane(canvas, result.columns[index], intervalsOf(index), view.indices(model.frame_rate), thresholds[index],
    color(index), isDark() ? "#a6b0bc" : "#56606c");
}

function drawPosition() {
  const position = view.shareOf(player.currentTime);
  timeline.style.setProperty("--position", position);
  $("part").style.setProperty("--played", player.currentTime / result.seconds);
  $("time").textContent = `${formatTime(player.currentTime)} / ${formatTime(result.seconds)}`;
  seekBar.setAttribute("aria-valuenow", player.currentTime.toFixed(1));
  seekBar.setAttribute("aria-valuetext", `${formatTime(player.currentTime)} of ${formatTime(result.seconds)}`);
  drawWaveform(seekBar.firstElementChild, heights, isDark() ? ["#66727f", "#6cbcf5"] : ["#8c97a4", "#0067a3"], position);
}

function redraw() {
  if (!result || document.body.dataset.state !== "done") return;
  lanes.forEach(redrawLane);
  drawRuler($("ruler"), view.indices(1));
  drawPart();
  heights = waveform(seekBar.firstElementChild, result.peaks, view.indices(model.peak_rate));
  drawPosition();
}

function drawPart() {
  const part = $("part");
  timeline.classList.toggle("whole", view.isWhole);
  $("out").disabled = view.isWhole;
  $("in").disabled = view.isClosest;
  part.style.setProperty("--start", view.start / view.seconds);
  part.style.setProperty("--span", view.span / view.seconds);
  part.setAttribute("aria-valuemax", (view.seconds - view.span).toFixed(1));
  part.setAttribute("aria-valuenow", view.start.toFixed(1));
  part.setAttribute("aria-valuetext", `${formatTime(view.start, 1)} to ${formatTime(view.end, 1)}`);
}

let isScheduled = false;

/** Redraws once before the next repaint, however often it is called until then. */
function redrawSoon() {
  if (!isScheduled) requestAnimationFrame(() => {
    isScheduled = false;
    redraw();
  });
  isScheduled = true;
}

// Playing

function toggle() {
  if (player.paused) {
    player.play().catch((error) => {
      if (error.name !== "AbortError") fail("This browser cannot play the recording."); // aborted: paused before it began
    });
  } else {
    player.pause();
  }
}

function seek(time) {
  player.currentTime = Math.max(0, Math.min(result.seconds, time));
  reveal();
}

/** Scrolls to the playing position if it is not visible. */
function reveal() {
  if (view.shows(player.currentTime)) {
    drawPosition();
    return;
  }
  view.reveal(player.currentTime);
  redraw();
}

/** Follows the playing position, unless the user has scrolled elsewhere. */
function follow(wasShown) {
  if (wasShown) reveal();
  else drawPosition();
  const isShown = view.shows(player.currentTime);
  if (!player.paused) requestAnimationFrame(() => follow(isShown));
}

player.addEventListener("play", () => follow(true));
for (const name of ["play", "pause", "ended"]) {
  player.addEventListener(name, () => {
    $("play").classList.toggle("playing", !player.paused);
    $("play").setAttribute("aria-label", player.paused ? "Play" : "Pause");
  });
}
player.addEventListener("seeked", () => heights && drawPosition());
$("play").addEventListener("click", toggle);

const shareAt = (x, surface) => {
  const { left, width } = surface.getBoundingClientRect();
  return Math.max(0, Math.min(1, (x - left) / width));
};

// A mouse seeks on lanes and drags the ruler; a finger drags both and seeks with a tap; two fingers zoom.
const held = new Map(); // x of each pointer that drags
let tapAt = null; // x of a pointer that may be tapping

const surfaceOf = (event) => result && event.target.closest(".lane, .ruler");
const drags = (event, surface) => event.pointerType !== "mouse" || surface.matches(".ruler");

timeline.addEventListener("pointerdown", (event) => {
  const surface = surfaceOf(event);
  if (!surface || event.button) return;
  surface.setPointerCapture(event.pointerId);
  if (drags(event, surface)) {
    held.set(event.pointerId, event.clientX);
    tapAt = held.size === 1 && surface.matches(".lane") ? event.clientX : null;
  } else {
    seek(view.timeAt(shareAt(event.clientX, surface)));
  }
});

timeline.addEventListener("pointermove", (event) => {
  const surface = surfaceOf(event);
  if (held.has(event.pointerId)) drag(event, surface);
  else if (surface?.matches(".lane") && event.buttons & 1) seek(view.timeAt(shareAt(event.clientX, surface)));
  read(event, surface);
});

for (const name of ["pointerup", "pointercancel"]) {
  timeline.addEventListener(name, (event) => {
    const surface = surfaceOf(event);
    if (held.delete(event.pointerId) && tapAt !== null && name === "pointerup") {
      seek(view.timeAt(shareAt(event.clientX, surface)));
    }
    tapAt = null;
  });
}

/** Scrolls with the pointers that drag, and zooms with the distance of two of them. */
function drag(event, surface) {
  const before = [...held.values()].slice(0, 2);
  held.set(event.pointerId, event.clientX);
  const after = [...held.values()].slice(0, 2);
  if (tapAt !== null && Math.abs(event.clientX - tapAt) < TAP) return;
  tapAt = null;
  const middle = (points) => shareAt((points[0] + points.at(-1)) / 2, surface);
  const apart = (points) => Math.max(TAP, Math.abs(points[0] - points.at(-1)));
  const time = view.timeAt(middle(before));
  view.zoom(apart(after) / apart(before), time);
  view.moveTo(time - middle(after) * view.span);
  redrawSoon();
}

/** Shows the time and the probability under the pointer. */
function read(event, surface) {
  const lane = surface?.matches(".lane") ? surface : null;
  $("reading").hidden = !lane;
  if (!lane) {
    timeline.style.removeProperty("--pointer");
    return;
  }
  const share = shareAt(event.clientX, lane);
  const time = view.timeAt(share);
  timeline.style.setProperty("--pointer", share);
  const index = lane.parentElement.dataset.index;
  const frame = Math.min(Math.floor(time * model.frame_rate), result.columns[0].length - 1);
  const probability = index === undefined ? "" : `  ${model.classes[index]} ${result.columns[index][frame].toFixed(2)}`;
  const reading = $("reading");
  reading.textContent = formatTime(time, 1) + probability;
  const area = timeline.getBoundingClientRect();
  const left = Math.min(event.clientX - area.left + 12, area.width - reading.offsetWidth);
  reading.style.left = `${Math.max(0, left)}px`;
  reading.style.top = `${lane.getBoundingClientRect().top - area.top - reading.offsetHeight - 3}px`;
}

timeline.addEventListener("pointerleave", (event) => read(event, null));

timeline.addEventListener("wheel", (event) => {
  const surface = surfaceOf(event);
  if (!surface) return;
  const unit = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 16;
  const isSideways = event.shiftKey && !event.deltaX; // some browsers leave this to the page
  const [across, along] = (isSideways ? [event.deltaY, 0] : [event.deltaX, event.deltaY]).map((delta) => delta * unit);
  if (event.ctrlKey || event.metaKey) view.zoom(2 ** (-along / ZOOM_WHEEL), view.timeAt(shareAt(event.clientX, surface)));
  else if (Math.abs(across) > Math.abs(along) && !view.isWhole) view.moveTo(view.start + (across / surface.clientWidth) * view.span);
  else return; // the page scrolls
  event.preventDefault();
  redrawSoon();
}, { passive: false });

/** Zooms with buttons and keys, with the playing position fixed. */
function zoom(factor) {
  view.zoom(factor, player.currentTime);
  redraw();
}

$("in").addEventListener("click", () => zoom(ZOOM_STEP));
$("out").addEventListener("click", () => zoom(1 / ZOOM_STEP));

for (const name of ["pointerdown", "pointermove"]) {
  $("part").addEventListener(name, (event) => {
    if (!(event.buttons & 1)) return;
    $("part").setPointerCapture(event.pointerId);
    view.moveTo(shareAt(event.clientX, $("part")) * view.seconds - view.span / 2);
    redrawSoon();
  });
}

/** Handles a key on the scroll bar; returns whether it did. */
function scrollByKey(key) {
  if (key === "ArrowLeft") view.moveTo(view.start - view.span / 4);
  else if (key === "ArrowRight") view.moveTo(view.start + view.span / 4);
  else if (key === "PageUp") view.moveTo(view.start - view.span);
  else if (key === "PageDown") view.moveTo(view.end);
  else if (key === "Home") view.moveTo(0);
  else if (key === "End") view.moveTo(view.seconds);
  else return false;
  redraw();
  return true;
}

addEventListener("keydown", (event) => {
  if (!result || document.body.dataset.state !== "done" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input[type=range]")) return; // it has its own keys
  const step = event.shiftKey ? 0.5 : 5;
  if (event.target === $("part") && scrollByKey(event.key)) event.preventDefault();
  else if (event.key === "+" || event.key === "=") zoom(ZOOM_STEP); // on many keyboards, = is + without Shift
  else if (event.key === "-") zoom(1 / ZOOM_STEP);
  else if (event.key === " " && !event.target.closest("button, summary, input")) toggle();
  else if (event.key === "ArrowLeft") seek(player.currentTime - step);
  else if (event.key === "ArrowRight") seek(player.currentTime + step);
  else if (event.key === "Home") seek(0);
  else if (event.key === "End") seek(result.seconds);
  else return;
  event.preventDefault();
});

// Buttons and files

function formatButton({ name, suffix, description }) {
  const button = element("button", "", FORMAT_NAMES[name] ?? name);
  button.type = "button";
  button.title = `${description} (${suffix})`;
  button.dataset.format = name;
  button.addEventListener("click", async () => {
    button.disabled = true;
    fail("");
    try {
      const link = element("a", "");
      link.href = URL.createObjectURL(await getFile(result.id, name, thresholds));
      link.download = result.name + suffix;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      fail(error.message);
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

$("choice").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // so that the same file can be chosen again
});
$("stop").addEventListener("click", () => work?.abort());
$("others").addEventListener("click", () => {
  showsAll = !showsAll;
  update();
  redraw();
});
$("reset").addEventListener("click", () => {
  thresholds = Float32Array.from(model.thresholds);
  update();
  redraw();
  lanes[0].slider.focus(); // the focused button is hidden now
});

addEventListener("pagehide", ({ persisted }) => {
  if (persisted) return; // the page may be restored
  work?.abort();
  if (result) discard(result.id);
});

let entered = 0; // number of elements that a file is being dragged over
addEventListener("dragenter", (event) => {
  event.preventDefault();
  entered += 1;
  document.body.classList.add("dragging");
});
addEventListener("dragleave", () => {
  entered -= 1;
  document.body.classList.toggle("dragging", entered > 0);
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  entered = 0;
  document.body.classList.remove("dragging");
  const { files } = event.dataTransfer;
  if (files.length) open(files[0]);
  if (files.length > 1) fail(`One recording at a time: of these ${files.length} files, only “${files[0].name}” is processed.`);
});

// Light and dark

function applyTheme() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  if (result) {
    update();
    redraw();
  }
}

$("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme); // theme.js restores it
  } catch {
    // The choice lasts until the page is closed.
  }
  applyTheme();
});
darkScheme.addEventListener("change", applyTheme);
new ResizeObserver(redraw).observe($("timeline"));
applyTheme();
start();
