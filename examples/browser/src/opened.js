// Browsers load no modules into a page that was opened from a folder; this script is none.
if (location.protocol === "file:") {
  document.getElementById("failure").textContent =
    "This page does not work when it is opened from a folder. Serve the folder, for example with python3 -m http.server.";
}
