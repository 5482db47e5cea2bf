// A browser's own way down to the model's rate lets pass too little of the highest bands, and some of what lies above:
// probabilities of a song at 44.1 kHz moved by up to 0.18. So a recording is decoded at a multiple of the rate, this one
// at least, and taken down by a filter as steep as soxr's, which the models learnt from.
const DECODED_RATE = 44100; // Hz
const CUTOFF = 0.955; // of half the model's rate
const HALF_LENGTH = 90; // of the filter, in samples at the model's rate

/**
 * Decodes what the browser can play.
 *
 * @param {File} file
 * @param {number} sampleRate Hz wanted
 * @returns {Promise<Float32Array>} mono: the mean of the channels
 * @throws {Error} it is no audio, too short, or holds what is no number; the message says so
 */
export async function decode(file, sampleRate) {
  const bytes = await file.arrayBuffer();
  const factor = statedRate(bytes) === sampleRate ? 1 : Math.ceil(DECODED_RATE / sampleRate);
  const context = new OfflineAudioContext(1, 1, factor * sampleRate); // what a context decodes has the context's rate
  let audio;
  try {
    audio = await context.decodeAudioData(bytes);
  } catch {
    throw new Error(`“${file.name}” is not a recording that this browser can play. Try wav, flac or mp3.`);
  }
  const signal = mono(audio);
  if (!signal.every(Number.isFinite)) throw new Error(`“${file.name}” holds samples that are NaN or infinite.`);
  const result = factor === 1 ? signal : await decimate(signal, factor, sampleRate);
  if (!result.length) throw new Error(`“${file.name}” is too short: it gives no sample at ${sampleRate} Hz.`);
  return result;
}

/** The sample rate that the header of a wav or flac file states; of other files undefined. */
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

/** Every `factor`-th sample of the signal, after a low pass. */
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

/** A sinc in a Blackman window, of 2 * half + 1 taps; the cutoff is a share of half the sample rate. */
function lowPass(half, cutoff) {
  return Float32Array.from({ length: 2 * half + 1 }, (_, index) => {
    const time = index - half;
    const angle = (Math.PI * time) / half;
    const window = 0.42 + 0.5 * Math.cos(angle) + 0.08 * Math.cos(2 * angle);
    return window * (time ? Math.sin(Math.PI * cutoff * time) / (Math.PI * time) : cutoff);
  });
}
