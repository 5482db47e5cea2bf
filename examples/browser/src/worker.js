// Runs the model in a worker, so that the page stays responsive. It posts objects: `ready`; then, for every message with
// samples, several `progress` and one `probabilities`; or `failure` with a sentence.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { predict } from "./windows.js";

const MODEL = "../model.tflite";

async function load() {
  const response = await fetch(MODEL);
  if (!response.ok) throw new Error("the file is missing");
  await loadLiteRt("./");
  return loadAndCompile(new Uint8Array(await response.arrayBuffer()), { accelerator: "wasm" });
}

async function predictWindow(model, window) {
  const input = new Tensor(window, [1, window.length]);
  const [output] = await model.run(input);
  const probabilities = output.toTypedArray().slice(); // a copy: the memory of LiteRT is freed below
  input.delete();
  output.delete();
  return probabilities;
}

const loading = load();
loading.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ failure: `The model model.tflite cannot be used: ${error.message}.` }),
);

addEventListener("message", async ({ data: { samples, metadata } }) => {
  try {
    const model = await loading;
    const progress = (share) => postMessage({ progress: share });
    const probabilities = await predict(samples, metadata, (window) => predictWindow(model, window), progress);
    postMessage({ probabilities }, [probabilities.buffer]);
  } catch (error) {
    postMessage({ failure: `LiteRT failed: ${error.message}.` });
  }
});
