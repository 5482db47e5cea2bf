import { discard, getModel, keep, predict, PRIVACY } from "./api.js";
import { formatTime } from "./lanes.js";
import { startRecording } from "./microphone.js";
import { classesOf, classItem, element, makeResult, redraw, setUpResult, showResult } from "./result.js";

const PROBE_TIMEOUT = 5000; // ms to wait until the browser reports whether it can play a file
const KEEP_INTERVAL = 20_000; // ms between two notes to the server that this page is open; hidden pages have one a minute
const MAX_RECORDING = 600; // seconds that the microphone records at most

const $ = (id) => document.getElementById(id);
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

let model = null;
let songs = []; // {file, state, message, share, result, work}; the states are waiting, working, done and failed
let shown = null; // one of the songs

// The page shows the state of one song: progress, an error, or a result.

function render() {
  document.body.dataset.state = shown ? { waiting: "working" }[shown.state] ?? shown.state : "empty";
  fail(shown?.state === "failed" ? shown.message : "");
  if (shown) $("working").textContent = shown.file.name;
  renderProgress();
  renderSongs();
  showResult(shown?.result ?? null);
  redraw();
}

function renderProgress() {
  if (!shown) return;
  const { message, share } = shown;
  if ($("message").textContent !== message) $("message").textContent = message; // so that screen readers read it once
  if (share === undefined) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

function fail(message) {
  $("failure").textContent = message;
}

function statusOf({ state, message, result }) {
  if (state !== "done") return { failed: "Failed" }[state] ?? message;
  const classes = classesOf(result);
  const names = (isDetected) => classes.filter((each) => each.isNamed && each.isDetected === isDetected).map(({ name }) => name);
  return names(true).join(", ") || (names(false).length ? `Perhaps ${names(false).join(", ")}` : "No instrument detected");
}

/** Updates the list of songs in place, so that the focus stays where it is. */
function renderSongs() {
  const list = $("songs").firstElementChild;
  for (const song of songs) {
    song.item ??= makeItem(song);
    const [button] = song.item.children;
    const status = statusOf(song);
    if (button.lastElementChild.textContent !== status) button.lastElementChild.textContent = status;
    song.item.dataset.state = song.state;
    song.item.style.setProperty("--share", song.share ?? 0);
    button.setAttribute("aria-current", song === shown);
  }
  const items = songs.map(({ item }) => item);
  for (const item of [...list.children]) if (!items.includes(item)) item.remove();
  for (const item of items) if (!item.isConnected) list.append(item);
  $("songs").hidden = songs.length < 2;
}

function makeItem(song) {
  const button = element("button", "song", element("span", "name", song.file.name), element("span", "status"));
  const remover = element("button", "remove", "×");
  button.type = remover.type = "button";
  remover.setAttribute("aria-label", `Remove ${song.file.name}`);
  button.addEventListener("click", () => select(song));
  remover.addEventListener("click", () => remove(song));
  return element("li", "", button, remover);
}

function select(song) {
  shown = song;
  render();
}

// Songs

/** Adds files to the songs, shows the first of them, and processes them one after the other. */
function add(files) {
  if (!model || !files.length) return;
  const names = new Set(songs.map(({ file }) => file.name));
  const added = Array.from(files, (each) => {
    const file = withNewName(each, names);
    const song = { file, state: "waiting", message: "Waiting", work: new AbortController() };
    if (file.size > model.max_bytes) {
      song.state = "failed";
      song.message = `“${file.name}” is larger than ${model.max_bytes / 1e6} MB. Try a compressed format such as mp3.`;
    }
    return song;
  });
  songs.push(...added);
  select(added[0]);
  processAll();
}

/** Returns a file with a name that no other song has, and adds it to the names: "song.mp3", then "song (2).mp3". */
function withNewName(file, names) {
  const [, stem, suffix] = file.name.match(/^(.+?)(\.[^.]*)?$/s) ?? [null, file.name, ""];
  let name = file.name;
  for (let number = 2; names.has(name); number += 1) name = `${stem} (${number})${suffix ?? ""}`;
  names.add(name);
  return name === file.name ? file : new File([file], name, { type: file.type });
}

let isProcessing = false;

async function processAll() {
  if (isProcessing) return;
  isProcessing = true;
  for (let song; (song = songs.find(({ state }) => state === "waiting"));) {
    await process(song);
    if (songs.includes(song)) render();
  }
  isProcessing = false;
}

async function process(song) {
  const { file, work: { signal } } = song;
  const progress = (message, share) => {
    Object.assign(song, { message, share });
    if (song === shown) renderProgress();
    renderSongs();
  };
  song.state = "working";
  progress("Opening");
  if (song === shown) render();
  const address = URL.createObjectURL(file);
  try {
    await file.slice(0, 1).arrayBuffer().catch(() => {
      throw new Error(`“${file.name}” cannot be read. Is it a folder, or was it moved?`);
    });
    const plays = await canPlay(address, signal);
    signal.throwIfAborted();
    const found = await predict(file, model.id, !plays, progress, signal);
    if (!plays) URL.revokeObjectURL(address);
    song.result = makeResult(found, plays ? address : null);
    song.state = "done";
    // The focused "Stop" is about to be hidden; screen readers announce the result.
    if (song === shown && (document.activeElement === $("stop") || document.activeElement === document.body)) {
      render();
      $("file").focus({ preventScroll: true });
    }
  } catch (error) {
    URL.revokeObjectURL(address);
    Object.assign(song, { state: "failed", message: error.message });
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

/** Stops the work on a song, and forgets it here and on the server. */
function remove(song) {
  const place = songs.indexOf(song);
  songs = songs.filter((each) => each !== song);
  if (song === shown) shown = songs[Math.min(place, songs.length - 1)] ?? null;
  const hadFocus = document.activeElement?.matches(".remove, #stop");
  render();
  forget(song);
  if (hadFocus) (shown?.item.firstElementChild.checkVisibility() ? shown.item.firstElementChild : $("choice")).focus();
}

setInterval(() => {
  const ids = songs.filter(({ result }) => result).map(({ result }) => result.id);
  if (ids.length) keep(ids);
}, KEEP_INTERVAL);

function forget({ work, result }) {
  work.abort();
  if (!result) return;
  discard(result.id);
  if (result.address.startsWith("blob:")) URL.revokeObjectURL(result.address);
}

$("stop").addEventListener("click", () => remove(shown));

addEventListener("pagehide", ({ persisted }) => {
  if (!persisted) songs.forEach(forget); // otherwise the page may be restored
});

// Ways to add recordings

$("choice").addEventListener("change", ({ target }) => {
  add([...target.files]);
  target.value = ""; // so that the same file can be chosen again
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
  add(event.dataTransfer.files);
});

for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", async () => {
    const name = button.dataset.example;
    try {
      const content = await (await fetch(`static/examples/${name}`)).blob();
      add([new File([content], `${button.firstElementChild.textContent}.mp3`, { type: content.type })]);
    } catch {
      fail(`The example ${name} cannot be loaded.`);
    }
  });
}

// The microphone

let recording = null;

async function record() {
  const limit = Math.min(MAX_RECORDING, model.max_seconds - 1);
  fail("");
  $("record").disabled = true;
  $("player").pause();
  try {
    recording = await startRecording((level, seconds) => {
      $("level").value = Math.sqrt(level); // quiet sounds are visible, too
      $("elapsed").textContent = `${formatTime(seconds)} of at most ${formatTime(limit)}`;
      if (seconds >= limit) finish();
    });
    $("recorder").hidden = false;
    $("finish").focus();
  } catch (error) {
    fail(error.message);
    $("record").disabled = false;
  }
}

async function finish(keeps = true) {
  const ended = recording;
  recording = null;
  if (!ended) return;
  $("recorder").hidden = true;
  $("record").disabled = false;
  $("record").focus();
  if (keeps) add([await ended.stop()]);
  else ended.cancel();
}

$("record").addEventListener("click", record);
$("finish").addEventListener("click", () => finish());
$("cancel").addEventListener("click", () => finish(false));

// Light and dark

const isDark = () => (document.documentElement.dataset.theme ?? (darkScheme.matches ? "dark" : "light")) === "dark";

function applyTheme() {
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
  redraw();
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

async function start() {
  $("privacy").textContent = PRIVACY;
  applyTheme();
  try {
    model = await getModel();
  } catch (error) {
    fail(error.message);
    return;
  }
  setUpResult(model, fail);
  $("model").textContent = `${model.name}, ${model.architecture}, ${model.classes.length} classes`;
  if (model.scores) {
    $("scores").textContent = model.scores;
    $("scores").hidden = false;
    $("groups-text").hidden = true; // says the same without figures
  }
  $("bounds").textContent = `Up to ${model.max_bytes / 1e6} MB and ${model.max_seconds / 60} minutes; mp3, m4a, wav, flac, ogg, videos and more`;
  $("classes").replaceChildren(...model.classes.map((_, index) => classItem(index)));
  $("choice").accept = ["audio/*", ...model.suffixes].join();
  for (const control of document.querySelectorAll("#choice, #record, [data-example]")) control.disabled = false;
  render();
}

start();
