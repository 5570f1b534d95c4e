"""What the page's own script does, in the browser alone: it keeps the address up to date, moves handles and asks the camera."""

from collections.abc import Sequence

from unetlift.demo.settings import SEPARATOR

HEAD = """
<script>
window.unetlift = {
  // Of an address that others can be sent: null takes a key away.
  keep(values) {
    const address = new URL(window.location);
    for (const [key, value] of Object.entries(values)) {
      if (value === null || value === undefined || value === "") address.searchParams.delete(key);
      else address.searchParams.set(key, Array.isArray(value) ? value.join("SEPARATOR") : value);
    }
    window.history.replaceState(window.history.state, "", address);
  },
  // All handles go together, and stay where they are when new answers come.
  compare(handle) {
    document.documentElement.style.setProperty("--pair", handle.value + "%");
    document.querySelectorAll(".pair input").forEach((other) => { other.value = handle.value; });
  },
  follow(handle) {
    handle.value = parseFloat(document.documentElement.style.getPropertyValue("--pair")) || 50;
  },
  // One picture as a data URI, or the name of what went wrong; null where the visitor thought better of it.
  async snap() {
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({video: {width: {ideal: 640}}}); }
    catch (error) { return error.name; }
    const dialog = document.createElement("dialog");
    dialog.className = "camera";
    dialog.setAttribute("aria-label", "Camera");
    dialog.innerHTML = '<video autoplay muted playsinline></video><form method="dialog">' +
      '<button value="take" disabled>Take the picture</button><button value="">Cancel</button></form>';
    const [video, take] = [dialog.querySelector("video"), dialog.querySelector("button")];
    video.addEventListener("loadeddata", () => { take.disabled = false; take.focus(); });  // before that there is nothing to take
    video.srcObject = stream;
    document.querySelector(".gradio-container").append(dialog);
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, {once: true}));
    let picture = null;
    if (dialog.returnValue === "take") {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
      canvas.getContext("2d").drawImage(video, 0, 0);
      picture = canvas.toDataURL("image/png");
    }
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
    return picture;
  },
};
// Gradio's own event says nothing when a tab is opened for the first time.
new MutationObserver(() => {
  const shown = document.querySelector("#tabs [role=tab][aria-selected=true]");
  if (shown) unetlift.keep({tab: shown.id.replace(/-button$/, "")});
}).observe(document, {subtree: true, attributeFilter: ["aria-selected"]});
</script>
""".replace("SEPARATOR", SEPARATOR)


def keeping(names: Sequence[str]) -> str:
    """A function of the values of so many controls, which stand in the address by these names from then on."""
    return f"({', '.join(names)}) => {{ unetlift.keep({{{', '.join(names)}}}); return []; }}"


SNAP = "async (view, task, shot, ...settings) => [view, task, await unetlift.snap(), ...settings]"
