/**
 * Requests to the server. Every failure is an Error whose message can be shown to the user.
 *
 * The page without a server, in examples/browser, has another module with the same exports in the place of this one.
 */

export const PRIVACY = "Recordings do not leave the computer that serves this page.";

const POLL = 200; // ms
const BUSY_POLL = 1000; // ms
const PATIENCE = 120_000; // ms for which a busy server is asked again
const UNREACHABLE = "The app does not respond. Is mir-tf app still running?";

async function request(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(UNREACHABLE);
  }
  if (!response.ok) {
    const content = await response.json().catch(() => ({}));
    throw new Error(content.message ?? UNREACHABLE);
  }
  return response;
}

export const getModel = async () => (await request("api/model")).json();

/**
 * Uploads a file. It uses XMLHttpRequest, because fetch does not report the progress of uploads.
 *
 * @returns {Promise<string>} the recording's id
 */
function upload(file, wantsCopy, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const query = new URLSearchParams({ name: file.name, copy: wantsCopy ? "yes" : "no" });
    xhr.open("POST", `api/recordings?${query}`);
    xhr.responseType = "json";
    xhr.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    xhr.onload = () => {
      if (xhr.status === 202) resolve(xhr.response.id);
      else reject(Object.assign(new Error(xhr.response?.message ?? UNREACHABLE), { isBusy: xhr.status === 503 }));
    };
    xhr.onerror = () => reject(new Error(UNREACHABLE));
    xhr.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => xhr.abort());
    xhr.send(file);
  });
}

/** Uploads a file, again and again if the server is busy. */
async function uploadPatiently(file, wantsCopy, onProgress, signal) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await upload(file, wantsCopy, (share) => onProgress("Uploading", share), signal);
    } catch (error) {
      if (!error.isBusy || Date.now() > end) throw error;
    }
    onProgress("Waiting: the app is busy");
    await wait(BUSY_POLL, signal);
  }
}

/**
 * Uploads a file and waits for its prediction.
 *
 * @param {File} file
 * @param {string} modelId of the model that the page knows: predictions of another do not fit its thresholds
 * @param {boolean} wantsCopy whether the server should make a copy that this browser can play
 * @param {(message: string, share: number | undefined) => void} onProgress
 * @param {AbortSignal} signal
 */
export async function predict(file, modelId, wantsCopy, onProgress, signal) {
  onProgress("Uploading", 0);
  const id = await uploadPatiently(file, wantsCopy, onProgress, signal);
  try {
    for (;;) {
      const status = await (await request(`api/recordings/${id}`, { signal })).json();
      if (status.model !== modelId) throw new Error("The app was restarted with another model. Reload the page.");
      if (status.state === "failed") throw new Error(status.message);
      if (status.state === "done") {
        const content = await (await request(`api/recordings/${id}/probabilities`, { signal })).arrayBuffer();
        const { name, seconds, peaks, confidences } = status;
        return { id, name, seconds, peaks, confidences, probabilities: new Float32Array(content) };
      }
      if (status.state === "waiting") onProgress(status.ahead ? `Waiting, ${status.ahead} ahead` : "Waiting");
      else if (status.state === "reading") onProgress("Reading");
      else onProgress("Detecting instruments", status.seconds ? status.seconds_done / status.seconds : undefined);
      await wait(POLL, signal);
    }
  } catch (error) {
    discard(id);
    throw error;
  }
}

/** Waits, or rejects as soon as the signal aborts: a page being left has no time for more. */
function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop);
    setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
  });
}

/** Asks the server to discard a recording, and ignores failures. */
export function discard(id) {
  fetch(`api/recordings/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Tells the server that a page with these recordings is open, so that it keeps them; ignores failures. */
export function keep(ids) {
  fetch("api/open", { method: "POST", body: JSON.stringify(ids) }).catch(() => {});
}

export const copyAddress = (id) => `api/recordings/${id}/audio`;

/** Downloads the prediction in a format, with the given thresholds. */
export async function getFile(id, format, thresholds) {
  const body = JSON.stringify([...thresholds]);
  return (await request(`api/recordings/${id}/files/${format}`, { method: "POST", body })).blob();
}
