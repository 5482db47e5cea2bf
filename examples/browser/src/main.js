import { decode } from "./audio.js";
import { summarize } from "./summary.js";
import { drawTimeline, formatDuration } from "./timeline.js";

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));
let metadata; // of the model, when the worker has loaded it

/** Shows one of the page's states: `loading`, `waiting`, `working`, `done` or `broken`. */
function show(state, message = "") {
  document.body.dataset.state = state;
  page.choice.disabled = state === "loading" || state === "working" || state === "broken";
  page.message.textContent = message;
}

/** Reports a failure. With a model, the user can try another recording. */
function fail(message) {
  show(metadata ? "waiting" : "broken");
  page.failure.textContent = message;
}

/** Sends a signal to the worker, and returns its probabilities. */
function askWorker(worker, signal, progress) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data.failure) reject(new Error(data.failure));
      else if (data.probabilities) resolve(data.probabilities);
      else progress(data.progress);
    };
    worker.postMessage(signal, [signal.buffer]);
  });
}

async function predict(worker, file) {
  page.failure.textContent = "";
  page.progress.removeAttribute("value");
  show("working", `Decoding “${file.name}” …`);
  try {
    const signal = await decode(file, metadata.sample_rate);
    const seconds = signal.length / metadata.sample_rate;
    show("working", `Analysing “${file.name}”, ${formatDuration(seconds)} …`);
    const probabilities = await askWorker(worker, signal, (fraction) => (page.progress.value = fraction));
    present(file, summarize(file.name, seconds, probabilities, metadata));
    show("done");
  } catch (error) {
    fail(error.message);
  }
}

function present(file, prediction) {
  const [first] = prediction.instruments;
  page.file.textContent = file.name;
  page.dominant.textContent = prediction.dominant ?? "No instrument detected";
  const total = formatDuration(prediction.seconds);
  page.length.textContent = total;
  page.dominance.textContent = first ? `plays longest: ${formatDuration(first.playing_time)} of ${total}` : "";
  drawTimeline(page.timeline, prediction);
  page.timeline.style.removeProperty("--position");
  const names = prediction.instruments.map((instrument) => instrument.class);
  const missing = prediction.classes.filter((name) => !names.includes(name));
  page.missing.textContent = missing.length ? `Not detected: ${missing.join(", ")}.` : "";
  const untuned = names.filter((name) => metadata.untuned.includes(name));
  page.untuned.textContent = untuned.length ? `No example to tune the threshold: ${untuned.join(", ")}.` : "";
  for (const link of [page.player.src, page.save.href]) URL.revokeObjectURL(link);
  page.player.src = URL.createObjectURL(file);
  page.save.href = URL.createObjectURL(new Blob([JSON.stringify(prediction)], { type: "application/json" }));
  page.save.download = `${file.name}.json`;
}

/** Moves the playhead while the recording plays. */
function follow() {
  const { currentTime, duration, paused } = page.player;
  page.timeline.style.setProperty("--position", currentTime / duration || 0);
  if (!paused) requestAnimationFrame(follow);
}

function addListeners(worker) {
  page.choice.addEventListener("change", () => {
    const [file] = page.choice.files;
    if (file) predict(worker, file);
    page.choice.value = ""; // so that the same file can be chosen again
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file && !page.choice.disabled) predict(worker, file);
  });
  for (const name of ["play", "seeked"]) page.player.addEventListener(name, follow);
  page.timeline.addEventListener("click", (event) => {
    const lane = event.target.closest(".lane")?.getBoundingClientRect();
    if (lane) page.player.currentTime = (page.player.duration * (event.clientX - lane.left)) / lane.width || 0;
  });
}

function start() {
  if (location.protocol === "file:") {
    fail("Browsers do not run WebAssembly from a file: serve this folder, e.g. with python -m http.server.");
    return;
  }
  show("loading", "Loading the model …");
  const worker = new Worker("worker.js");
  worker.onerror = () => fail("The worker does not start: check that worker.js is beside this page.");
  worker.onmessage = ({ data }) => {
    if (data.failure) return fail(data.failure);
    metadata = data.ready;
    page.model.textContent = [metadata.name, metadata.license].filter(Boolean).join(", ");
    show("waiting");
  };
  addListeners(worker);
}

start();
