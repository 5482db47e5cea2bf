import { decode } from "./audio.js";
import { summarize } from "./summary.js";
import { clock, drawTimeline } from "./timeline.js";

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));
let metadata; // of the model, once the worker has read it

/** Shows one of the page's states: `loading`, `waiting`, `working`, `heard` or `broken`. */
function show(state, message = "") {
  document.body.dataset.state = state;
  page.choice.disabled = state === "loading" || state === "working" || state === "broken";
  page.message.textContent = message;
}

/** After a failure: another recording may do, but without a model nothing does. */
function fail(message) {
  show(metadata ? "waiting" : "broken");
  page.failure.textContent = message;
}

/** The worker's answer to a signal. */
function ask(worker, signal, progress) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.failure) reject(new Error(data.failure));
      else if (data.probabilities) resolve(data.probabilities);
      else progress(data.progress);
    };
    worker.postMessage(signal, [signal.buffer]);
  });
}

async function hear(worker, file) {
  page.failure.textContent = "";
  page.progress.removeAttribute("value");
  show("working", `Decoding “${file.name}” …`);
  try {
    const signal = await decode(file, metadata.sample_rate);
    const seconds = signal.length / metadata.sample_rate;
    show("working", `Listening to “${file.name}”, ${clock(seconds)} …`);
    const probabilities = await ask(worker, signal, (fraction) => (page.progress.value = fraction));
    present(file, summarize(file.name, seconds, probabilities, metadata));
    show("heard");
  } catch (error) {
    fail(error.message);
  }
}

function present(file, heard) {
  const [first] = heard.instruments;
  page.file.textContent = file.name;
  page.length.textContent = clock(heard.seconds);
  page.dominant.textContent = heard.dominant ?? "Nothing the model knows";
  page.dominance.textContent = first ? `plays longest: ${clock(first.playing_time)} of ${clock(heard.seconds)}` : "";
  drawTimeline(page.timeline, heard);
  page.timeline.style.removeProperty("--position");
  const names = heard.instruments.map((instrument) => instrument.class);
  const missing = heard.classes.filter((name) => !names.includes(name));
  page.missing.textContent = missing.length ? `Not heard: ${missing.join(", ")}.` : "";
  const untuned = names.filter((name) => metadata.untuned.includes(name));
  page.untuned.textContent = untuned.length ? `No example to tune the threshold on: ${untuned.join(", ")}.` : "";
  for (const link of [page.player.src, page.save.href]) URL.revokeObjectURL(link);
  page.player.src = URL.createObjectURL(file);
  page.save.href = URL.createObjectURL(new Blob([JSON.stringify(heard)], { type: "application/json" }));
  page.save.download = `${file.name}.json`;
}

/** Moves the playhead as long as the recording plays. */
function follow() {
  const { currentTime, duration, paused } = page.player;
  page.timeline.style.setProperty("--position", currentTime / duration || 0);
  if (!paused) requestAnimationFrame(follow);
}

function listenToTheUser(worker) {
  page.choice.addEventListener("change", () => {
    const [file] = page.choice.files;
    if (file) hear(worker, file);
    page.choice.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file && !page.choice.disabled) hear(worker, file);
  });
  for (const name of ["play", "seeked"]) page.player.addEventListener(name, follow);
  page.timeline.addEventListener("click", (event) => {
    const lane = event.target.closest(".lane")?.getBoundingClientRect();
    if (lane) page.player.currentTime = (page.player.duration * (event.clientX - lane.left)) / lane.width || 0;
  });
}

function start() {
  if (location.protocol === "file:") {
    fail("Browsers run no WebAssembly from a file: serve this folder, as by python -m http.server, and open that.");
    return;
  }
  show("loading", "Loading the model …");
  const worker = new Worker("worker.js");
  worker.onerror = () => fail("The worker cannot be started: is worker.js beside this page?");
  worker.onmessage = ({ data }) => {
    if (data.failure) return fail(data.failure);
    metadata = data.ready;
    page.model.textContent = [metadata.name, metadata.license].filter(Boolean).join(", ");
    show("waiting");
  };
  listenToTheUser(worker);
}

start();
