import { copyAddress, discard, getFile, getModel, hear } from "./api.js";
import { clock, drawLane, drawRuler, drawWaveform, visible, waveform } from "./lanes.js";
import { moved, playingTime, stretches } from "./rule.js";

const FORMAT_NAMES = { json: "JSON", csv: "CSV", jams: "JAMS", audacity: "Audacity labels", png: "PNG", svg: "SVG" };

const $ = (id) => document.getElementById(id);
const player = $("player");
const seekBar = $("seek");
const timeline = $("timeline");
const night = matchMedia("(prefers-color-scheme: dark)");

let model = null;
let heard = null; // what api.js's `hear` gives, with columns: Float32Array [frames] of each class
let thresholds = null; // Float32Array [classes], as the sliders stand
let lanes = []; // {index, row, canvas, slider, value, label}, the longest playing first
let heights = null; // of the waveform
let showsAll = false;
let work = null; // AbortController of the recording under way
let playedAddress = null;

// States

function enter(state) {
  document.body.dataset.state = state;
}

function fail(message) {
  $("failure").textContent = message;
}

function progress(message, share) {
  if ($("message").textContent !== message) $("message").textContent = message; // read aloud once
  if (share === undefined) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

const bounds = () => `Up to ${model.max_bytes / 1e6} MB and ${model.max_seconds / 60} minutes; wav, flac, mp3, ogg, aiff and more`;

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
  $("choice").disabled = false;
  enter("empty");
}

async function open(file) {
  if (!model) return;
  work?.abort();
  work = new AbortController();
  const { signal } = work;
  player.pause();
  fail("");
  if (file.size > model.max_bytes) {
    fail(`“${file.name}” is larger than ${model.max_bytes / 1e6} MB. Try a compressed one, as mp3.`);
    return;
  }
  $("working").textContent = file.name;
  progress("Opening it");
  enter("working");
  const address = URL.createObjectURL(file);
  try {
    const plays = await canPlay(address);
    const found = await hear(file, !plays, progress, signal);
    if (heard) discard(heard.id);
    show(found, plays ? address : copyAddress(found.id));
  } catch (error) {
    URL.revokeObjectURL(address);
    if (signal.aborted && work.signal !== signal) return; // another recording is under way
    if (!signal.aborted) fail(error.message);
    enter(heard ? "heard" : "empty");
    redraw();
  }
}

/** Whether this browser plays what is there. */
function canPlay(address) {
  return new Promise((resolve) => {
    const probe = document.createElement("audio");
    probe.onloadedmetadata = () => resolve(Number.isFinite(probe.duration));
    probe.onerror = () => resolve(false);
    probe.src = address;
  });
}

// What was heard

function show(found, address) {
  const count = model.classes.length;
  const frames = found.probabilities.length / count;
  const columns = model.classes.map((_, index) =>
    Float32Array.from({ length: frames }, (__, frame) => found.probabilities[frame * count + index]));
  heard = { ...found, columns };
  thresholds = Float32Array.from(model.thresholds);
  showsAll = false;
  if (playedAddress?.startsWith("blob:")) URL.revokeObjectURL(playedAddress);
  playedAddress = address;
  player.src = address;
  $("file").textContent = heard.name;
  $("length").textContent = clock(heard.seconds);
  seekBar.setAttribute("aria-valuemax", heard.seconds.toFixed(1));
  lanes = order().map(makeLane);
  $("lanes").replaceChildren(...lanes.map(({ row }) => row));
  enter("heard");
  update();
  redraw();
}

const seconds = (index) => playingTime(heard.columns[index], thresholds[index], model.frame_rate);

/** The classes, the longest playing first; those that never play by their greatest probability. */
function order() {
  const keys = heard.columns.map((column, index) => [seconds(index), column.reduce((one, other) => Math.max(one, other), 0)]);
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
  const value = element("output", "");
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

const intervalsOf = (index, rule = moved(model.event_rule, model.thresholds, thresholds)) =>
  stretches(heard.columns[index], thresholds[index], rule, index, model.frame_rate);

/** Everything that follows from the thresholds, but for the pictures. */
function update() {
  const times = model.classes.map((_, index) => seconds(index));
  const playing = order().filter((index) => times[index] > 0);
  $("dominant").textContent = playing.length ? model.classes[playing[0]] : "nothing heard";
  $("dominant").closest(".badge").style.setProperty("--class-color", playing.length ? color(playing[0]) : "");
  $("bars").replaceChildren(...playing.map((index) => bar(index, times[index])));
  for (const { index, row, slider, value, label } of lanes) {
    slider.value = thresholds[index];
    slider.style.setProperty("--value", thresholds[index]);
    value.textContent = thresholds[index].toFixed(2);
    const count = intervalsOf(index).length;
    label.setAttribute("aria-label",
      `${model.classes[index]} plays ${clock(times[index], 1)}, in ${count} ${count === 1 ? "interval" : "intervals"}`);
    // One that was moved to silence stays: its slider is still in somebody's hand.
    row.hidden = !showsAll && !times[index] && thresholds[index] === Math.fround(model.thresholds[index]);
    row.style.setProperty("--class-color", color(index));
  }
  const hidden = lanes.filter(({ row }) => row.hidden).length;
  $("others").hidden = !showsAll && !hidden;
  $("others").textContent = showsAll ? "Only those heard" : `Show ${hidden} more`;
  $("others").setAttribute("aria-expanded", showsAll);
  $("reset").hidden = model.thresholds.every((threshold, index) => Math.fround(threshold) === thresholds[index]);
}

function bar(index, time) {
  const share = time * model.frame_rate / heard.columns[index].length;
  const percent = share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`;
  const item = element("li", "", element("span", "", model.classes[index]), element("span", "bar", element("i", "")),
    element("span", "figure", clock(time), " ", element("small", "", percent)));
  item.style.setProperty("--class-color", color(index));
  item.style.setProperty("--share", share);
  return item;
}

// Pictures

const isDark = () => (document.documentElement.dataset.theme ?? (night.matches ? "dark" : "light")) === "dark";
const color = (index) => visible(model.colors[index], isDark());

function redrawLane({ index, row, canvas }) {
  if (row.hidden) return;
  drawLane(canvas, heard.columns[index], intervalsOf(index), heard.seconds * model.frame_rate, thresholds[index],
    color(index), isDark() ? "#a6b0bc" : "#56606c");
}

function drawPosition() {
  const position = player.currentTime / heard.seconds;
  timeline.style.setProperty("--position", position);
  $("time").textContent = `${clock(player.currentTime)} / ${clock(heard.seconds)}`;
  seekBar.setAttribute("aria-valuenow", player.currentTime.toFixed(1));
  seekBar.setAttribute("aria-valuetext", `${clock(player.currentTime)} of ${clock(heard.seconds)}`);
  drawWaveform(seekBar.firstElementChild, heights, isDark() ? ["#66727f", "#6cbcf5"] : ["#8c97a4", "#0067a3"], position);
}

function redraw() {
  if (!heard || document.body.dataset.state !== "heard") return;
  lanes.forEach(redrawLane);
  drawRuler($("ruler"), heard.seconds);
  heights = waveform(seekBar.firstElementChild, heard.peaks, heard.seconds * model.peak_rate);
  drawPosition();
}

// Playing

function toggle() {
  if (player.paused) player.play().catch(() => fail("This browser cannot play the recording."));
  else player.pause();
}

function seek(time) {
  player.currentTime = Math.max(0, Math.min(heard.seconds, time));
  drawPosition();
}

function follow() {
  drawPosition();
  if (!player.paused) requestAnimationFrame(follow);
}

player.addEventListener("play", follow);
for (const name of ["play", "pause", "ended"]) {
  player.addEventListener(name, () => {
    $("play").classList.toggle("playing", !player.paused);
    $("play").setAttribute("aria-label", player.paused ? "Play" : "Pause");
  });
}
player.addEventListener("seeked", () => heights && drawPosition());
$("play").addEventListener("click", toggle);

const shareAt = (event, lane) => {
  const { left, width } = lane.getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - left) / width));
};

timeline.addEventListener("pointerdown", (event) => {
  const lane = event.target.closest(".lane");
  if (!lane || event.button) return;
  if (event.pointerType === "mouse") lane.setPointerCapture(event.pointerId);
  seek(shareAt(event, lane) * heard.seconds);
});

timeline.addEventListener("pointermove", (event) => {
  const lane = event.target.closest(".lane");
  $("reading").hidden = !lane;
  if (!lane) {
    timeline.style.removeProperty("--pointer");
    return;
  }
  const share = shareAt(event, lane);
  if (event.buttons & 1 && event.pointerType === "mouse") seek(share * heard.seconds);
  timeline.style.setProperty("--pointer", share);
  const index = lane.parentElement.dataset.index;
  const frame = Math.min(Math.floor(share * heard.seconds * model.frame_rate), heard.columns[0].length - 1);
  const probability = index === undefined ? "" : `  ${model.classes[index]} ${heard.columns[index][frame].toFixed(2)}`;
  const reading = $("reading");
  reading.textContent = clock(share * heard.seconds, 1) + probability;
  const area = timeline.getBoundingClientRect();
  const left = Math.min(event.clientX - area.left + 12, area.width - reading.offsetWidth);
  reading.style.left = `${Math.max(0, left)}px`;
  reading.style.top = `${lane.getBoundingClientRect().top - area.top - reading.offsetHeight - 3}px`;
});

timeline.addEventListener("pointerleave", () => {
  $("reading").hidden = true;
  timeline.style.removeProperty("--pointer");
});

addEventListener("keydown", (event) => {
  if (!heard || document.body.dataset.state !== "heard" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input[type=range]")) return; // its own keys
  const step = event.shiftKey ? 0.5 : 5;
  if (event.key === " " && !event.target.closest("button, summary, input")) toggle();
  else if (event.key === "ArrowLeft") seek(player.currentTime - step);
  else if (event.key === "ArrowRight") seek(player.currentTime + step);
  else if (event.key === "Home") seek(0);
  else if (event.key === "End") seek(heard.seconds);
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
      link.href = URL.createObjectURL(await getFile(heard.id, name, thresholds));
      link.download = heard.name + suffix;
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
  target.value = ""; // the same one may be chosen again
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
  lanes[0].slider.focus(); // the button has gone
});

addEventListener("pagehide", ({ persisted }) => {
  if (persisted) return; // it may come back
  work?.abort();
  if (heard) discard(heard.id);
});

let entered = 0; // elements that something is being dragged over
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
  if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});

// Light and dark

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  if (heard) {
    update();
    redraw();
  }
}

$("theme").addEventListener("click", () => applyTheme(isDark() ? "light" : "dark"));
night.addEventListener("change", () => applyTheme());
new ResizeObserver(redraw).observe($("timeline"));
applyTheme();
start();
