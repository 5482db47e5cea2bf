/** Restores the chosen colours before the first paint; a module would run too late. */
try {
  const theme = localStorage.getItem("theme");
  if (["light", "dark"].includes(theme)) document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the page follows the system.
}
