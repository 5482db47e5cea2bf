/** Confidences from probabilities: the same computation as in mir_tf/confidence.py. */

const TOP_SECONDS = [1]; // durations of the parts with the highest probabilities
const LOWEST = 1e-4; // probabilities 0 and 1 have no log-odds

/**
 * Returns the confidence of each class that it plays in the recording at all; null without a confidence model.
 *
 * @param {Float32Array[]} columns probabilities of each class [frames]
 * @param {{weights: number[][]} | null} model `confidence` of the metadata
 * @param {number} rate frames per second
 */
export function confidencesOf(columns, model, rate) {
  return columns.map((column, index) => {
    if (!model) return null;
    const [bias, ...weights] = model.weights[index];
    const logOdds = features(column, rate).reduce((sum, feature, at) => sum + feature * weights[at], bias);
    return 1 / (1 + Math.exp(-Math.min(Math.max(logOdds, -15), 15)));
  });
}

/** Returns the log-odds of the mean probability, over all frames and over those with the highest probabilities. */
function features(column, rate) {
  const highest = Float64Array.from(column).sort().reverse();
  const counts = [highest.length, ...TOP_SECONDS.map((seconds) => Math.min(seconds * rate, highest.length))];
  return counts.map((count) => {
    const mean = highest.subarray(0, count).reduce((sum, value) => sum + value, 0) / count;
    const clipped = Math.min(Math.max(mean, LOWEST), 1 - LOWEST);
    return Math.log(clipped / (1 - clipped));
  });
}
