// Defines `lowContrast()`: the texts of the page whose contrast with their background is below 4.5:1 (WCAG 2.2, 1.4.3), and the
// controls, icons and focus rings below 3:1 (1.4.11), as `[text or name, ratio]`. What is disabled or not visible does not count.
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
const isSeen = (element) => {
  const { width, height } = element.getBoundingClientRect();
  return width >= 2 && height >= 2 && getComputedStyle(element).visibility !== 'hidden' && !element.closest(':disabled');
};
/** The texts, each with its ratio. */
const texts = (element) => {
  const found = [];
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (own) found.push([element.textContent.trim(), ratio(element, getComputedStyle(element).color)]);
  if (element.placeholder) found.push([element.placeholder, ratio(element, getComputedStyle(element, '::placeholder').color)]);
  return found;
};
/** The edge of a control: its border or its own background, whichever can be seen better beside what surrounds it. */
const edges = (element) => {
  if (!element.matches('button, input, textarea')) return [];
  const { backgroundColor, borderTopColor, borderTopWidth } = getComputedStyle(element);
  const border = borderTopWidth === '0px' ? 1 : ratio(element.parentElement, borderTopColor);
  return [[`edge of ${element.id || element.textContent}`, Math.max(border, ratio(element.parentElement, backgroundColor))]];
};
const icons = (element) => (element.matches('svg') ? [[`icon in ${element.parentElement.id}`, ratio(element, getComputedStyle(element).stroke)]] : []);
/** The focus ring, beside what surrounds a control and beside the inside of a field, on which it lies. */
const rings = (element) => {
  if (!element.matches('input, textarea')) return [];
  element.focus();
  const { outlineColor, outlineStyle } = getComputedStyle(element);
  if (outlineStyle !== 'solid') throw new Error(`${element.id} has no focus ring`);
  const found = [element, element.parentElement].map((beside) => [`focus ring of ${element.id}`, ratio(beside, outlineColor)]);
  element.blur();
  return found;
};
window.lowContrast = () => {
  document.activeElement.blur();
  const [read, seen] = [[], []];
  for (const element of [...document.querySelectorAll('body *')].filter(isSeen)) {
    read.push(...texts(element));
    seen.push(...edges(element), ...icons(element), ...rings(element));
  }
  if (read.length < 3 || seen.length < 3) throw new Error('nothing is seen');
  return [...read.filter(([, contrast]) => contrast < 4.5), ...seen.filter(([, contrast]) => contrast < 3)];
};
