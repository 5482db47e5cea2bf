/** From probabilities to intervals: mir_tf/events.py and Prediction.with_thresholds, number by number. */

/**
 * The event rule for other thresholds: its offset thresholds keep their ratio to them.
 *
 * @param {{offset_thresholds: number[], min_durations: number[], max_gaps: number[]}} rule of the model
 * @param {Float32Array} from the model's thresholds [classes]
 * @param {Float32Array} to the thresholds wanted [classes]
 */
export function moved(rule, from, to) {
  const offsets = rule.offset_thresholds.map((offset, index) =>
    Math.min(from[index] ? offset * (to[index] / from[index]) : offset, to[index]));
  return { ...rule, offset_thresholds: offsets };
}

/**
 * The frames in which a class is heard, as stretches [first frame, frame after the last].
 *
 * @param {Float32Array} probabilities of one class [frames]
 * @param {number} threshold
 * @param {object} rule see `moved`
 * @param {number} index of the class
 * @param {number} rate frames a second
 */
export function stretches(probabilities, threshold, rule, index, rate) {
  const offset = Math.fround(rule.offset_thresholds[index]);
  const maxGap = Math.round(rule.max_gaps[index] * rate);
  const minDuration = Math.round(rule.min_durations[index] * rate);
  const found = [];
  for (let start = 0; start < probabilities.length; start += 1) {
    if (!(probabilities[start] >= offset)) continue;
    let end = start;
    let reached = false;
    for (; end < probabilities.length && probabilities[end] >= offset; end += 1) {
      reached ||= probabilities[end] >= threshold;
    }
    const last = found.at(-1);
    if (reached && last && start - last[1] <= maxGap) last[1] = end;
    else if (reached) found.push([start, end]);
    start = end;
  }
  return found.filter(([start, end]) => end - start >= minDuration);
}

/** Seconds in which a class reaches its threshold: playing time is counted without the event rule. */
export function playingTime(probabilities, threshold, rate) {
  let frames = 0;
  for (const probability of probabilities) if (probability >= threshold) frames += 1;
  return frames / rate;
}
