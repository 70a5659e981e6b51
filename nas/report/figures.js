// Unpacks plotly.js, which the page has in itself, and draws the figures of the page, anew where its colours change.
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);

  const config = { displaylogo: false, modeBarButtons: [["toImage", "resetScale2d"]], responsive: true };
  const bare = { ...config, displayModeBar: false }; // where buttons would cover what is drawn
  const dragmode = matchMedia("(pointer: fine)").matches ? "zoom" : false; // a finger scrolls the page
  const draw = async () => {
    const style = getComputedStyle(document.documentElement);
    const paint = (key, value) =>
      key.endsWith("color") && /^var\(--\w+\)$/.test(value)
        ? style.getPropertyValue(value.slice(4, -1)).trim()
        : value;
    for (const box of document.querySelectorAll(".chart")) {
      const { data, layout } = JSON.parse(box.nextElementSibling.textContent, paint);
      await Plotly.react(box, data, { ...layout, dragmode }, layout.height < 250 ? bare : config);
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  await draw();
})().catch((error) => {
  for (const box of document.querySelectorAll(".chart")) box.append(`Not drawn: ${error.message}. `);
  throw error;
});
