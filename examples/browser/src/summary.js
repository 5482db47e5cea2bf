/**
 * What was heard in a recording, as `mir-tf predict` writes it.
 *
 * @param {string} path of the recording
 * @param {number} seconds its length
 * @param {Float32Array} probabilities [label frames * classes]
 * @param {object} metadata of the model
 */
export function summarize(path, seconds, probabilities, metadata) {
  const { classes, thresholds, post_processing: rule, label_rate: rate } = metadata;
  const rows = []; // [label frames][classes]
  for (let at = 0; at < probabilities.length; at += classes.length) {
    rows.push([...probabilities.subarray(at, at + classes.length)]);
  }
  const instruments = classes
    .map((name, index) => {
      const active = rows.map((row) => row[index] >= thresholds[index]);
      const frames = active.filter(Boolean).length;
      const values = rows.map((row) => row[index]);
      const stretches = decode(values, thresholds[index], rule, index, rate).map(([start, end]) => ({
        start: start / rate,
        end: Math.min(end / rate, seconds), // the last frame may be covered in part
        confidence: values.slice(start, end).reduce((sum, value) => sum + value, 0) / (end - start),
      }));
      return { class: name, playing_time: frames / rate, share: frames / rows.length, intervals: stretches };
    })
    .filter((instrument) => instrument.playing_time > 0)
    .sort((one, other) => other.playing_time - one.playing_time); // stable: of a tie the lowest class comes first
  return {
    path,
    seconds,
    dominant: instruments[0]?.class ?? null,
    instruments,
    model: { ...metadata.model, front_end: metadata.fingerprint },
    frame_rate: rate,
    classes,
    thresholds,
    post_processing: rule,
    probabilities: rows,
  };
}

/**
 * Start and end of every stretch in which a class is heard, in frames, by the event rule: it begins at the threshold
 * and goes on down to a lower one; short gaps are filled, and then short stretches left out.
 */
function decode(values, threshold, rule, index, rate) {
  const [shortest, longest] = [rule.min_durations, rule.max_gaps].map((seconds) => Math.round(seconds[index] * rate));
  const lower = Math.fround(rule.offset_thresholds[index]); // as probabilities are
  const filled = [];
  for (const [start, end] of intervals(values.map((value) => value >= lower))) {
    if (!values.slice(start, end).some((value) => value >= threshold)) continue;
    if (filled.length && start - filled.at(-1)[1] <= longest) filled.at(-1)[1] = end;
    else filled.push([start, end]);
  }
  return filled.filter(([start, end]) => end - start >= shortest);
}

/** Start and end of every stretch of true values. */
function intervals(active) {
  const edges = active.flatMap((value, frame) => (value !== (active[frame - 1] ?? false) ? [frame] : []));
  if (active.at(-1)) edges.push(active.length);
  return Array.from({ length: edges.length / 2 }, (_, index) => edges.slice(2 * index, 2 * index + 2));
}
