// Windowed inference for a signal of any length, as described in docs/export-formats.md.

/**
 * Returns the probabilities for a whole signal: those for its windows, cross-faded where two of them overlap.
 *
 * @param {Float32Array} signal mono, at the model's sample rate
 * @param {object} metadata of the model
 * @param {(window: Float32Array) => Promise<Float32Array>} predictWindow [input_samples] to [window_frames * classes]
 * @param {(fraction: number) => void} progress
 * @returns {Promise<Float32Array>} [label frames * classes], frame by frame
 */
export async function predict(signal, metadata, predictWindow, progress) {
  const { window_frames: length, overlap_frames: overlap } = metadata;
  const classes = metadata.classes.length;
  const frames = Math.ceil((signal.length * metadata.label_rate) / metadata.sample_rate);
  const probabilities = new Float32Array(frames * classes);
  for (let start = 0, predicted = 0; predicted < frames; start += length - overlap) {
    const next = await predictWindow(windowAt(start, signal, metadata)); // [window_frames * classes]
    const end = Math.min(start + length, frames);
    for (let frame = start; frame < end; frame++) {
      const weight = frame < predicted ? (frame - start + 0.5) / overlap : 1;
      for (let index = 0; index < classes; index++) {
        const at = frame * classes + index;
        probabilities[at] += (next[at - start * classes] - probabilities[at]) * weight;
      }
    }
    predicted = end;
    progress(predicted / frames);
  }
  return probabilities;
}

/** Returns the waveform of the window that starts at a label frame, with NaN (not silence) outside of the signal. */
function windowAt(frame, signal, metadata) {
  const samplesPerFrame = metadata.window_samples / metadata.window_frames;
  const first = Math.floor(frame * samplesPerFrame) - metadata.left_context;
  const window = new Float32Array(metadata.input_samples).fill(NaN);
  window.set(signal.subarray(Math.max(first, 0), first + window.length), Math.max(-first, 0));
  return window;
}
