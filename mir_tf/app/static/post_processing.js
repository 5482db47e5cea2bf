/** From probabilities to intervals: the same computation as in mir_tf/events.py and Prediction.with_thresholds. */

/**
 * Adapts post-processing to other thresholds: offset thresholds keep their ratio to the thresholds.
 *
 * @param {{offset_thresholds: number[], min_durations: number[], max_gaps: number[]}} postProcessing of the model
 * @param {Float32Array} from thresholds of the model [classes]
 * @param {Float32Array} to new thresholds [classes]
 */
export function adapt(postProcessing, from, to) {
  const offsets = postProcessing.offset_thresholds.map((offset, index) =>
    Math.min(from[index] ? offset * (to[index] / from[index]) : offset, to[index]));
  return { ...postProcessing, offset_thresholds: offsets };
}

/**
 * Finds the intervals of a class as [first frame, frame after the last].
 *
 * @param {Float32Array} probabilities of the class [frames]
 * @param {number} threshold
 * @param {object} postProcessing as returned by `adapt`
 * @param {number} index of the class
 * @param {number} rate frames per second
 */
export function findIntervals(probabilities, threshold, postProcessing, index, rate) {
  const offset = Math.fround(postProcessing.offset_thresholds[index]);
  const maxGap = Math.round(postProcessing.max_gaps[index] * rate);
  const minDuration = Math.round(postProcessing.min_durations[index] * rate);
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

/** Returns the seconds in which a class reaches its threshold: playing time does not use post-processing. */
export function playingTime(probabilities, threshold, rate) {
  let frames = 0;
  for (const probability of probabilities) if (probability >= threshold) frames += 1;
  return frames / rate;
}
