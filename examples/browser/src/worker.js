// Holds the model and runs it, so that the page stays alive meanwhile. Its messages are the keys of an object: `ready`,
// then for every signal that it is sent `progress`, several times, and `probabilities`; or `failure`, a sentence.
import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { readMetadata } from "./metadata.js";
import { listen } from "./windows.js";

const MODEL = "model.tflite";

async function load() {
  const response = await fetch(MODEL);
  if (!response.ok) {
    throw new Error(`there is none. Put an exported model.float32.tflite beside the page, under the name ${MODEL}`);
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const metadata = readMetadata(bytes);
  await loadLiteRt("./");
  const model = await loadAndCompile(bytes, { accelerator: "wasm" });
  return { model, metadata };
}

async function answer(model, window) {
  const input = new Tensor(window, [1, window.length]);
  const [output] = await model.run(input);
  const probabilities = output.toTypedArray().slice(); // LiteRT frees its own memory only when told to
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
    const probabilities = await listen(signal, metadata, (window) => answer(model, window), progress);
    postMessage({ probabilities }, [probabilities.buffer]);
  } catch (error) {
    postMessage({ failure: `LiteRT failed: ${error.message}.` });
  }
});
