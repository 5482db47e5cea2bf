/** The result of one recording: what plays, the timeline, playing, and downloads. */

import { copyAddress, getFile } from "./api.js";
import { dominantText, listClasses, percentSure } from "./instruments.js";
import { drawLane, drawRuler, drawThreshold, drawWaveform, formatTime, waveform } from "./lanes.js";
import { adapt, findIntervals } from "./post_processing.js";
import { View } from "./view.js";

const FORMAT_NAMES = { json: "JSON", csv: "CSV", jams: "JAMS", audacity: "Audacity labels", png: "PNG", svg: "SVG" };

const ZOOM_STEP = 2; // factor of a button or key
const ZOOM_WHEEL = 200; // pixels of the wheel for a factor of 2
const TAP = 8; // CSS pixels that a finger moves before a tap becomes a drag

const $ = (id) => document.getElementById(id);
const player = $("player");
const seekBar = $("seek");
const timeline = $("timeline");

let model = null;
let fail = null; // shows a message
let result = null; // the shown one; see `showResult`
let view = null; // the visible part of it
let lanes = []; // {index, row, canvas, swatch, ...}, in the order of the page
let heights = null; // heights of the waveform
let showsPerhaps = false;
let showsAll = false;
let adjusts = false; // whether the sliders are visible

/** Prepares the page for a model; `onFailure` shows a message. */
export function setUpResult(ofModel, onFailure) {
  model = ofModel;
  fail = onFailure;
  $("formats").replaceChildren(...model.formats.map(formatButton));
  for (const text of document.querySelectorAll(".sure-text")) text.hidden = model.cut === null;
}

/**
 * Returns a result that can be shown.
 *
 * @param {object} found as returned by `predict`
 * @param {string | null} address at which the browser can play the file; null for the server's copy
 */
export function makeResult(found, address) {
  const { probabilities, ...others } = found;
  const count = model.classes.length;
  const columns = model.classes.map((_, index) =>
    Float32Array.from({ length: probabilities.length / count }, (__, frame) => probabilities[frame * count + index]));
  const thresholds = Float32Array.from(model.thresholds); // the values of the sliders
  return { ...others, columns, thresholds, address: address ?? copyAddress(found.id), view: new View(found.seconds) };
}

/** Returns the classes of a result with its thresholds; see `listClasses`. */
export const classesOf = ({ columns, thresholds, confidences }) => listClasses(model, columns, thresholds, confidences);

/** Shows a result from `makeResult`, or none. */
export function showResult(next) {
  if (result === next) return;
  player.pause();
  result = next;
  if (!result) {
    player.removeAttribute("src");
    return;
  }
  ({ view } = result);
  player.src = result.address;
  $("file").textContent = result.name;
  $("length").textContent = formatTime(result.seconds);
  seekBar.setAttribute("aria-valuemax", result.seconds.toFixed(1));
  const classes = classesOf(result);
  const groups = { detected: [], perhaps: [], others: [] };
  for (const each of classes) groups[each.isDetected ? "detected" : each.isNamed ? "perhaps" : "others"].push(makeLane(each));
  for (const [group, members] of Object.entries(groups)) $(group).replaceChildren(...members.map(({ row }) => row));
  lanes = Object.values(groups).flat();
  showsPerhaps = !groups.detected.length;
  showsAll = false;
  $("fold").hidden = !groups.perhaps.length;
  $("fold").textContent = `Perhaps (${groups.perhaps.length})`;
  update();
  redraw();
}

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...children);
  return made;
}

/** Returns an element with the colour of a class. */
function colored(index, made) {
  made.style.setProperty("--class-color", model.colors[index]);
  return made;
}

/** Returns the name of a class with its colour, and with instruments of it. */
export function classItem(index) {
  return colored(index, element("li", "", element("i", "swatch"), element("span", "", model.classes[index],
    model.descriptions[index] ? element("small", "", ` ${model.descriptions[index]}`) : "")));
}

function makeLane({ index, name, confidence, isDetected, isNamed }) {
  const slider = element("input", "");
  Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.01 });
  slider.setAttribute("aria-label", `Threshold of ${name}`);
  const value = element("span", "value");
  const swatch = element("i", "swatch");
  const sure = element("span", "sure", confidence === null ? "" : `${percentSure(confidence)} sure`);
  const fill = element("i", "");
  const figure = element("span", "figure");
  const canvas = element("canvas", "");
  const lane = element("div", "lane", canvas);
  lane.setAttribute("role", "img");
  const head = element("div", "head", swatch, element("span", "name", name), sure,
    element("small", "examples", model.descriptions[index]), element("span", "bar", fill), figure,
    element("span", "adjusting", slider, value));
  const row = colored(index, element("div", "row", head, lane));
  row.dataset.index = index;
  const made = { index, row, canvas, swatch, slider, value, fill, figure, label: lane, intervals: [],
    group: isDetected ? "detected" : isNamed ? "perhaps" : "others" };
  slider.addEventListener("input", () => {
    result.thresholds[index] = slider.valueAsNumber;
    update();
    redrawLane(made);
    light();
  });
  return made;
}

/** Updates everything that depends on the thresholds except for the canvases. */
function update() {
  const { thresholds } = result;
  const classes = classesOf(result);
  const named = classes.filter(({ isNamed }) => isNamed);
  $("dominant").textContent = dominantText(classes);
  const badge = $("dominant").closest(".badge");
  badge.classList.toggle("unclear", !named[0]?.isDetected);
  badge.style.setProperty("--class-color", named[0]?.isDetected ? model.colors[named[0].index] : "");
  $("groups").replaceChildren(
    ...group("Detected", named.filter(({ isDetected }) => isDetected)),
    ...group("Perhaps", named.filter(({ isDetected }) => !isDetected)));
  const postProcessing = adapt(model.post_processing, model.thresholds, thresholds);
  const byIndex = Object.fromEntries(classes.map((each) => [each.index, each]));
  for (const lane of lanes) {
    const { index, row } = lane;
    const { time, share } = byIndex[index];
    lane.intervals = findIntervals(result.columns[index], thresholds[index], postProcessing, index, model.frame_rate);
    lane.slider.value = thresholds[index];
    lane.slider.style.setProperty("--value", thresholds[index]);
    lane.value.textContent = thresholds[index].toFixed(2);
    const percent = share && share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
    lane.figure.replaceChildren(formatTime(time), " ", element("small", "", percent));
    lane.figure.title = `plays ${formatTime(time)}, ${percent} of the recording`;
    lane.fill.style.setProperty("--share", share);
    const count = lane.intervals.length;
    lane.label.setAttribute("aria-label",
      `${model.classes[index]}: ${formatTime(time, 1)} in ${count} ${count === 1 ? "interval" : "intervals"}`);
    // A lane whose threshold was changed stays visible: its slider may be in use.
    const isShown = { detected: true, perhaps: showsPerhaps, others: showsAll }[lane.group];
    row.hidden = !isShown && thresholds[index] === Math.fround(model.thresholds[index]);
  }
  const others = lanes.filter((lane) => lane.group === "others").length;
  $("fold").setAttribute("aria-expanded", showsPerhaps);
  $("all").hidden = !others;
  $("all").textContent = showsAll ? "Show fewer" : `Show ${others} more`;
  $("all").setAttribute("aria-expanded", showsAll);
  $("adjust").setAttribute("aria-pressed", adjusts);
  timeline.parentElement.classList.toggle("adjusts", adjusts);
  $("reset").hidden = model.thresholds.every((threshold, index) => Math.fround(threshold) === thresholds[index]);
}

function group(title, members) {
  const chips = members.map(({ index, name }) => {
    const chip = colored(index, element("li", "chip", element("i", "swatch"), name));
    chip.dataset.index = index;
    return chip;
  });
  if (!chips.length && title === "Perhaps") return [];
  return [element("dt", "", title), element("dd", "", chips.length ? element("ul", "", ...chips) : "nothing for certain")];
}

/** Lights up what plays at the position of playback. */
function light() {
  const frame = player.currentTime * model.frame_rate;
  const playing = new Set();
  for (const { index, intervals, row } of lanes) {
    const plays = intervals.some(([start, end]) => start <= frame && frame < end);
    if (plays) playing.add(String(index));
    row.classList.toggle("on", plays);
  }
  for (const chip of $("groups").querySelectorAll(".chip")) chip.classList.toggle("on", playing.has(chip.dataset.index));
}

// Canvases


function redrawLane({ index, row, canvas, intervals }) {
  if (row.hidden) return;
  drawLane(canvas, result.columns[index], intervals, view.indices(model.frame_rate), model.colors[index]);
  if (adjusts) drawThreshold(canvas, result.thresholds[index], getComputedStyle(timeline).color);
}

function drawPosition() {
  const position = view.shareOf(player.currentTime);
  timeline.style.setProperty("--position", position);
  $("part").style.setProperty("--played", player.currentTime / result.seconds);
  $("time").textContent = `${formatTime(player.currentTime)} / ${formatTime(result.seconds)}`;
  seekBar.setAttribute("aria-valuenow", player.currentTime.toFixed(1));
  seekBar.setAttribute("aria-valuetext", `${formatTime(player.currentTime)} of ${formatTime(result.seconds)}`);
  const { color, accentColor } = getComputedStyle(seekBar);
  drawWaveform(seekBar.firstElementChild, heights, [color, accentColor], position);
  light();
}

/** Draws everything again; call it after the page has become visible, or its colours have changed. */
export function redraw() {
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
player.addEventListener("seeked", () => result && heights && drawPosition());
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

// Buttons

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
      link.href = URL.createObjectURL(await getFile(result.id, name, result.thresholds));
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

for (const [id, toggle] of Object.entries({
  fold: () => { showsPerhaps = !showsPerhaps; },
  all: () => { showsAll = !showsAll; },
  adjust: () => { adjusts = !adjusts; },
  reset: () => { result.thresholds = Float32Array.from(model.thresholds); },
})) {
  $(id).addEventListener("click", () => {
    toggle();
    update();
    redraw();
    if ($(id).hidden) $("adjust").focus(); // the focused button is hidden now
  });
}

new ResizeObserver(redraw).observe(timeline);
