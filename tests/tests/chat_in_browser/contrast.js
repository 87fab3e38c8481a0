// Defines `lowContrast()`: the texts of the page whose contrast with their background is below 4.5:1 (WCAG 2.2, 1.4.3), as
// `[text, ratio]`. What is disabled or not visible does not count.
const canvas = document.createElement('canvas');
canvas.width = canvas.height = 1;
const context = canvas.getContext('2d', { willReadFrequently: true });
const paint = (color) => {
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
};
const luminance = () => {
  const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
/** The ratio of a colour to everything that is painted behind the element. */
const ratio = (element, color) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    layers.unshift(getComputedStyle(at).backgroundColor);
    if (getComputedStyle(at).opacity !== '1') throw new Error(`${at.outerHTML}: opacity is not accounted for`);
  }
  paint('Canvas');
  layers.forEach(paint);
  const behind = luminance();
  paint(color);
  const [dark, light] = [behind, luminance()].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
window.lowContrast = () => {
  const texts = [];
  for (const element of document.querySelectorAll('body *')) {
    const style = getComputedStyle(element);
    const { width, height } = element.getBoundingClientRect();
    if (width < 2 || height < 2 || style.visibility === 'hidden' || element.disabled) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (own) texts.push([element.textContent.trim(), ratio(element, style.color)]);
    if (element.placeholder) texts.push([element.placeholder, ratio(element, getComputedStyle(element, '::placeholder').color)]);
  }
  if (texts.length < 3) throw new Error('no text is seen');
  return texts.filter(([, contrast]) => contrast < 4.5);
};
