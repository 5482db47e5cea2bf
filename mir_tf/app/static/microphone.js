/** Recordings with the microphone. Every failure is an Error whose message can be shown to the user. */

const REASONS = {
  NotAllowedError: "The browser does not allow this page to use the microphone. Allow it in the browser's settings for this page, and try again.",
  NotFoundError: "No microphone was found. Connect one, and try again.",
  NotReadableError: "The microphone cannot be used. Another program may be using it.",
};
const INSECURE = "Browsers offer the microphone only to pages on the same computer or over https.";
const SUFFIXES = { "audio/mp4": ".m4a", "audio/ogg": ".ogg" }; // otherwise .webm
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // they damage music

/**
 * Starts to record.
 *
 * @param {(level: number, seconds: number) => void} onLevel called often, with the greatest magnitude since the last call
 * @returns {Promise<{stop: () => Promise<File>, cancel: () => void}>}
 */
export async function startRecording(onLevel) {
  if (!navigator.mediaDevices) throw new Error(INSECURE);
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: RAW });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  recorder.ondataavailable = ({ data }) => pieces.push(data);
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve));
  recorder.start(1000); // ms of each piece
  const stopLevel = watchLevel(stream, onLevel);

  async function end() {
    stopLevel();
    if (recorder.state !== "inactive") recorder.stop(); // it stops by itself when the microphone is disconnected
    await stopped;
    for (const track of stream.getTracks()) track.stop();
  }

  return {
    async stop() {
      await end();
      const type = recorder.mimeType.split(";")[0];
      const time = new Date().toTimeString().slice(0, 8).replaceAll(":", ".");
      return new File(pieces, `Recording ${time}${SUFFIXES[type] ?? ".webm"}`, { type });
    },
    cancel: end,
  };
}

/** Reports the level of a stream until the returned function is called. */
function watchLevel(stream, onLevel) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const start = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const level = samples.reduce((one, other) => Math.max(one, Math.abs(other)), 0);
    onLevel(level, (performance.now() - start) / 1000);
  }, 50);
  return () => {
    clearInterval(timer);
    context.close();
  };
}
