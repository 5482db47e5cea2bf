/** Puts back the colours that were chosen, before anything is painted: a module would come too late for that. */
try {
  const theme = localStorage.getItem("theme");
  if (["light", "dark"].includes(theme)) document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing follows the system.
}
