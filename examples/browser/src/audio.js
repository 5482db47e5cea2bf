// A browser's own resampler is less steep than soxr's, with which the models were trained: it attenuates the highest bands
// and aliases. Probabilities of a song at 44.1 kHz moved by up to 0.18. So decode a recording at a multiple of the model's
// rate, at least this one, and decimate it with a filter as steep as soxr's.
const DECODED_RATE = 44100; // Hz
const CUTOFF = 0.955; // as a share of half the model's rate
const HALF_LENGTH = 90; // of the filter, in samples at the model's rate

/**
 * Decodes a file that the browser can play.
 *
 * @param {File} file
 * @param {number} sampleRate of the result, in Hz
 * @returns {Promise<Float32Array>} the mean of the channels
 * @throws {Error} if it is not audio, too short, or contains NaN or infinity
 */
export async function decode(file, sampleRate) {
  const bytes = await file.arrayBuffer();
  const factor = statedRate(bytes) === sampleRate ? 1 : Math.ceil(DECODED_RATE / sampleRate);
  const context = new OfflineAudioContext(1, 1, factor * sampleRate); // decodes to the rate of the context
  let audio;
  try {
    audio = await context.decodeAudioData(bytes);
  } catch {
    throw new Error(`“${file.name}” is not a recording that this browser can play. Try wav, flac or mp3.`);
  }
  const signal = mono(audio);
  if (!signal.every(Number.isFinite)) throw new Error(`“${file.name}” contains samples that are NaN or infinite.`);
  const result = factor === 1 ? signal : await decimate(signal, factor, sampleRate);
  if (!result.length) throw new Error(`“${file.name}” is too short: no sample at ${sampleRate} Hz.`);
  return result;
}

/** Returns the sample rate in the header of a wav or flac file, or undefined for other files. */
function statedRate(bytes) {
  if (bytes.byteLength < 28) return undefined;
  const view = new DataView(bytes);
  const name = (at) => String.fromCharCode(...new Uint8Array(bytes, at, 4));
  if (name(0) === "RIFF" && name(12) === "fmt ") return view.getUint32(24, true);
  if (name(0) === "fLaC") return view.getUint32(18) >>> 12;
  return undefined;
}

function mono(audio) {
  const mean = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    const samples = audio.getChannelData(channel);
    for (let index = 0; index < mean.length; index++) mean[index] += samples[index] / audio.numberOfChannels;
  }
  return mean;
}

/** Returns every `factor`-th sample of the signal after a low-pass filter. */
async function decimate(signal, factor, sampleRate) {
  const half = HALF_LENGTH * factor;
  const context = new OfflineAudioContext(1, signal.length + half, factor * sampleRate);
  const source = new AudioBufferSourceNode(context, { buffer: asBuffer(signal, context) });
  const kernel = asBuffer(lowPass(half, CUTOFF / factor), context);
  const filter = new ConvolverNode(context, { buffer: kernel, disableNormalization: true });
  source.connect(filter).connect(context.destination);
  source.start();
  const filtered = (await context.startRendering()).getChannelData(0);
  return Float32Array.from({ length: Math.round(signal.length / factor) }, (_, index) => filtered[half + index * factor]);
}

function asBuffer(samples, context) {
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: context.sampleRate });
  buffer.copyToChannel(samples, 0);
  return buffer;
}

/** Returns a Blackman-windowed sinc with 2 * half + 1 taps; the cutoff is a share of half the sample rate. */
function lowPass(half, cutoff) {
  return Float32Array.from({ length: 2 * half + 1 }, (_, index) => {
    const time = index - half;
    const angle = (Math.PI * time) / half;
    const window = 0.42 + 0.5 * Math.cos(angle) + 0.08 * Math.cos(2 * angle);
    return window * (time ? Math.sin(Math.PI * cutoff * time) / (Math.PI * time) : cutoff);
  });
}

/** Returns samples as a wav file with 16 bits. */
export function toWav(samples, sampleRate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, sampleRate, 4], [28, 2 * sampleRate, 4], [32, 2, 2], [34, 16, 2]].forEach(
    ([at, value, bytes]) => (bytes === 4 ? view.setUint32(at, value, true) : view.setUint16(at, value, true)));
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => view.setInt16(44 + 2 * index, 32767 * Math.max(-1, Math.min(1, sample)), true));
  return new Blob([view], { type: "audio/wav" });
}
