// The colours of the 17 families, in their order. A test checks that they equal those of mir_tf/figures/colors.py.
const COLORS = [
  "#0072b2", "#8fd0ff", "#7a3e9d", "#d55e00", "#5c3a1e", "#009e73", "#8fdfc0", "#e6a700", "#9c7a00",
  "#f3e05a", "#cc3399", "#f0a6d0", "#b79ae0", "#a8323e", "#f28e7a", "#9a9a9a", "#333333",
];

/** Returns the colour of a class; with more classes, colours repeat. */
export const colorOf = (index) => COLORS[index % COLORS.length];
