import { type Drawing, drawSvg } from '../../evidence/draw-svg.ts';

const LIGHT = {
  surface: '#ffffff',
  text: '#1f2328',
  muted: '#59636e',
  line: '#d1d9e0',
  ours: '#0969da',
  others: '#818b98',
};
const DARK = {
  surface: '#0d1117',
  text: '#f0f6fc',
  muted: '#9198a1',
  line: '#3d444d',
  ours: '#4493f8',
  others: '#7d8590',
};

/** A drawing as a file that stands by itself: it brings its colours, light or dark as the reader's screen, and its ground. */
export function standaloneSvg(drawing: Drawing): string {
  const { width, height } = drawing;
  const drawn = drawSvg(drawing).replace(/ style="max-width:\d+px"/, ` width="${width}" height="${height}"`);
  const head = drawn.slice(0, drawn.indexOf('>') + 1);
  const style =
    `<style>svg{${variables(LIGHT)};font-family:-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif}` +
    `@media (prefers-color-scheme:dark){svg{${variables(DARK)}}}</style>`;
  const ground = `<rect width="${width}" height="${height}" rx="6" fill="var(--surface)"/>`;
  return `${head}${style}${ground}${drawn.slice(head.length)}\n`;
}

function variables(colours: Readonly<Record<string, string>>): string {
  return Object.entries(colours)
    .map(([name, colour]) => `--${name}:${colour}`)
    .join(';');
}
