// Runs the model in a worker, so that the page stays responsive. It posts objects: `ready` with the metadata; then, for
// every signal it receives, several `progress` and one `probabilities`; or `failure` with a sentence.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { readMetadata } from "./metadata.js";
import { predict } from "./windows.js";

const MODEL = "model.tflite";

async function load() {
  const response = await fetch(MODEL);
  if (!response.ok) {
    throw new Error(`the file is missing. Put an exported model.float32.tflite beside the page as ${MODEL}`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const metadata = readMetadata(bytes);
  await loadLiteRt("./");
  const model = await loadAndCompile(bytes, { accelerator: "wasm" });
  return { model, metadata };
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
  ({ metadata }) => postMessage({ ready: metadata }),
  (error) => postMessage({ failure: `The model ${MODEL} cannot be used: ${error.message}.` }),
);

addEventListener("message", async ({ data: signal }) => {
  try {
    const { model, metadata } = await loading;
    const progress = (fraction) => postMessage({ progress: fraction });
    const probabilities = await predict(signal, metadata, (window) => predictWindow(model, window), progress);
    postMessage({ probabilities }, [probabilities.buffer]);
  } catch (error) {
    postMessage({ failure: `LiteRT failed: ${error.message}.` });
  }
});
