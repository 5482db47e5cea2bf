/** The server's addresses. Every failure is an Error whose message is for people. */

const POLL = 200; // ms
const GONE = "The app does not answer. Is mir-tf app still running?";

async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE);
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.message ?? GONE);
  }
  return answer;
}

export const getModel = async () => (await ask("api/model")).json();

/**
 * Sends a file; fetch tells nothing of uploads, so this is an XMLHttpRequest.
 *
 * @returns {Promise<string>} the recording's id
 */
function send(file, wantsCopy, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ name: file.name, copy: wantsCopy ? "yes" : "no" });
    request.open("POST", `api/recordings?${query}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 202) resolve(request.response.id);
      else reject(new Error(request.response?.message ?? GONE));
    };
    request.onerror = () => reject(new Error(GONE));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Has a file heard.
 *
 * @param {File} file
 * @param {string} modelId of the model that the page knows: no other's answers fit its thresholds
 * @param {boolean} wantsCopy whether the server is to make a copy that this browser plays
 * @param {(message: string, share: number | undefined) => void} onProgress
 * @param {AbortSignal} signal
 */
export async function hear(file, modelId, wantsCopy, onProgress, signal) {
  onProgress("Sending it to the app", 0);
  const id = await send(file, wantsCopy, (share) => onProgress("Sending it to the app", share), signal);
  try {
    for (;;) {
      const told = await (await ask(`api/recordings/${id}`, { signal })).json();
      if (told.model !== modelId) throw new Error("The app was started anew, with another model. Reload the page.");
      if (told.state === "failed") throw new Error(told.message);
      if (told.state === "heard") {
        const content = await (await ask(`api/recordings/${id}/probabilities`, { signal })).arrayBuffer();
        return { id, name: told.name, seconds: told.seconds, peaks: told.peaks, probabilities: new Float32Array(content) };
      }
      if (told.state === "waiting") onProgress(told.ahead ? `Waiting, ${told.ahead} before it` : "Waiting");
      else if (told.state === "reading") onProgress("Reading it");
      else onProgress("Listening", told.seconds ? told.heard_seconds / told.seconds : undefined);
      await wait(POLL, signal);
    }
  } catch (error) {
    discard(id);
    throw error;
  }
}

/** Some time, or until the work is stopped: a page that is left says so at once, or not at all. */
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

/** Has the server forget a recording; nothing depends on whether it hears of it. */
export function discard(id) {
  fetch(`api/recordings/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

export const copyAddress = (id) => `api/recordings/${id}/audio`;

/** The prediction in a format, by these thresholds. */
export async function getFile(id, format, thresholds) {
  const body = JSON.stringify([...thresholds]);
  return (await ask(`api/recordings/${id}/files/${format}`, { method: "POST", body })).blob();
}
