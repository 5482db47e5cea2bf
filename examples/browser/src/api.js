/** The page's model, run in the browser: takes the place of the app's module of the same name, which asks a server. */

import { decode, toWav } from "./audio.js";
import { confidencesOf } from "./confidence.js";
import { encode } from "./formats.js";

export const PRIVACY = "Recordings do not leave your browser.";

const found = new Map(); // id to what `encode` takes, and the address of a copy to play
let model = null;
let worker = null;
let count = 0;

export async function getModel() {
  const response = await fetch("model.json").catch(() => null);
  if (!response?.ok) throw new Error("The model cannot be loaded: model.json is missing.");
  model = await response.json();
  worker = await startWorker();
  return model;
}

/** Starts the worker, and waits until it has loaded the model. */
function startWorker() {
  return new Promise((resolve, reject) => {
    const started = new Worker("static/worker.js");
    started.onerror = () => reject(new Error("The worker does not start: static/worker.js is missing or damaged."));
    started.onmessage = ({ data }) => (data.failure ? reject(new Error(data.failure)) : resolve(started));
  });
}

/** Sends samples to the worker and returns its probabilities. */
async function ask(samples, onProgress, signal) {
  const stop = () => {
    worker.terminate(); // it cannot be interrupted
    worker = startWorker();
  };
  worker = await worker;
  signal.throwIfAborted();
  signal.addEventListener("abort", stop);
  try {
    return await new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      worker.onmessage = ({ data }) => {
        if (data.failure) reject(new Error(data.failure));
        else if (data.probabilities) resolve(data.probabilities);
        else onProgress(data.progress);
      };
      worker.postMessage({ samples, metadata: model.metadata }, [samples.buffer]);
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Decodes a file and detects instruments in it; the arguments are those of the app's module. */
export async function predict(file, modelId, wantsCopy, onProgress, signal) {
  onProgress("Reading");
  const rate = model.metadata.sample_rate;
  const samples = await decode(file, rate);
  const seconds = samples.length / rate;
  if (seconds > model.max_seconds) throw new Error(`“${file.name}” is longer than ${model.max_seconds / 60} minutes.`);
  const copy = wantsCopy ? URL.createObjectURL(toWav(samples, rate)) : null;
  const peaks = peaksOf(samples, rate / model.peak_rate);
  onProgress("Detecting instruments", 0);
  const probabilities = await ask(samples, (share) => onProgress("Detecting instruments", share), signal);
  const size = model.classes.length;
  const columns = model.classes.map((_, index) =>
    Float32Array.from({ length: probabilities.length / size }, (__, frame) => probabilities[frame * size + index]));
  const confidences = confidencesOf(columns, model.metadata.confidence, model.frame_rate);
  const id = String(count++);
  found.set(id, { name: file.name, seconds, columns, confidences, copy });
  return { id, name: file.name, seconds, peaks, confidences, probabilities };
}

/** Returns the greatest magnitude in every `step` samples. */
function peaksOf(samples, step) {
  return Array.from({ length: Math.ceil(samples.length / step) }, (_, index) =>
    samples.subarray(Math.floor(index * step), Math.floor((index + 1) * step))
      .reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0));
}

export const copyAddress = (id) => found.get(id).copy;

export const discard = (id) => found.delete(id);

/** Nothing ends the recordings of a page but the page itself. */
export const keep = () => {};

export async function getFile(id, format, thresholds) {
  return new Blob([encode(format, found.get(id), model, thresholds)]);
}
