/**
 * Returns the prediction for a recording, as `mir-tf predict` writes it.
 *
 * @param {string} path of the recording
 * @param {number} seconds its length
 * @param {Float32Array} probabilities [label frames * classes]
 * @param {object} metadata of the model
 */
export function summarize(path, seconds, probabilities, metadata) {
  const { classes, thresholds, post_processing: postProcessing, label_rate: rate } = metadata;
  const rows = []; // [label frames][classes]
  for (let at = 0; at < probabilities.length; at += classes.length) {
    rows.push([...probabilities.subarray(at, at + classes.length)]);
  }
  const instruments = classes
    .map((name, index) => {
      const active = rows.map((row) => row[index] >= thresholds[index]);
      const frames = active.filter(Boolean).length;
      const values = rows.map((row) => row[index]);
      const detected = decode(values, thresholds[index], postProcessing, index, rate).map(([start, end]) => ({
        start: start / rate,
        end: Math.min(end / rate, seconds), // the last frame may be covered in part
        confidence: values.slice(start, end).reduce((sum, value) => sum + value, 0) / (end - start),
      }));
      return { class: name, playing_time: frames / rate, share: frames / rows.length, intervals: detected };
    })
    .filter((instrument) => instrument.playing_time > 0)
    .sort((one, other) => other.playing_time - one.playing_time); // stable: in a tie the first class wins
  return {
    path,
    seconds,
    dominant: instruments[0]?.class ?? null,
    instruments,
    model: { ...metadata.model, front_end: metadata.fingerprint },
    frame_rate: rate,
    classes,
    thresholds,
    post_processing: postProcessing,
    probabilities: rows,
  };
}

/**
 * Returns the start and end of every interval in which a class is detected, in frames, by hysteresis: an interval starts
 * at the threshold and continues down to a lower one. Then short gaps are filled, and short intervals removed.
 */
function decode(values, threshold, postProcessing, index, rate) {
  const { min_durations: durations, max_gaps: gaps } = postProcessing;
  const [shortest, longest] = [durations, gaps].map((seconds) => Math.round(seconds[index] * rate));
  const lower = Math.fround(postProcessing.offset_thresholds[index]); // float32, as probabilities are
  const filled = [];
  for (const [start, end] of intervals(values.map((value) => value >= lower))) {
    if (!values.slice(start, end).some((value) => value >= threshold)) continue;
    if (filled.length && start - filled.at(-1)[1] <= longest) filled.at(-1)[1] = end;
    else filled.push([start, end]);
  }
  return filled.filter(([start, end]) => end - start >= shortest);
}

/** Returns the start and end of every run of true values. */
function intervals(active) {
  const edges = active.flatMap((value, frame) => (value !== (active[frame - 1] ?? false) ? [frame] : []));
  if (active.at(-1)) edges.push(active.length);
  return Array.from({ length: edges.length / 2 }, (_, index) => edges.slice(2 * index, 2 * index + 2));
}
