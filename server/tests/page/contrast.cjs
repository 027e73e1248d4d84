// Whether texts can be told from what is behind them. Runs in the page.
// In: the page as it is shown. Out: the texts whose contrast is less than level AA of WCAG 2.2
// asks for (success criterion 1.4.3): 4.5 to 1, or 3 to 1 for large ones.

function contrast() {
  const canvas = document.createElement('canvas');
  canvas.width = 1;
  canvas.height = 1;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  // Every way to write a colour, mixed over what is below it.
  const paint = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const one = text.parentElement;
    if (!text.data.trim() || !one.checkVisibility({ visibilityProperty: true })) continue;
    if (one.closest('.unseen, .skip, noscript, script, :disabled')) continue;
    const behind = [];
    for (let up = one; up; up = up.parentElement) {
      behind.unshift(getComputedStyle(up).backgroundColor);
    }
    const { color, fontSize, fontWeight } = getComputedStyle(one);
    const [ink, ground] = [paint([...behind, color]), paint(behind)].map(luminance);
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    const size = parseFloat(fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && fontWeight >= 700);
    if (ratio >= (isLarge ? 3 : 4.5)) continue;
    bad.push(`${text.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
}

module.exports = { contrast };
