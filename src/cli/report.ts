/** The report of a whole guide: one HTML file that needs nothing beside it; pictures are inlined as data URLs. */
import type { NdArray } from '../core/ndarray.ts';
import { dim } from '../core/shape.ts';
import type { GreyImage, RgbImage } from '../io/image.ts';
import { resize } from '../io/resize.ts';
import { encodePng } from '../node/images.ts';

/** What a report shows. */
export interface Report {
  readonly from: string;
  readonly to: string;
  readonly caption: string;
  readonly sourcePrompts: readonly string[];
  readonly targetPrompts: readonly string[];
  /** Name and picture, in the order of the page. */
  readonly pictures: readonly (readonly [title: string, picture: RgbImage | GreyImage])[];
  /** Milliseconds by name. */
  readonly timings: Readonly<Record<string, number>>;
  /** Settings and the like, by name. */
  readonly facts: Readonly<Record<string, string | number>>;
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
.row > * { flex: 1 1 12rem; margin: 0; }
img { width: 100%; height: auto; image-rendering: pixelated; border: 1px solid #8884; }
figcaption, th { opacity: .75; text-align: left; font-weight: normal; }
ol { padding-left: 2.2rem; } table { border-collapse: collapse; } td, th { padding: .1rem 1.5rem .1rem 0; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
blockquote { margin: 0; font-size: 1.2rem; }
`;

/**
 * The page.
 * @returns HTML with no reference to any other file
 */
export function renderReport(r: Report): string {
  const list = (texts: readonly string[]): string => texts.map(text => `<li>${toHtml(text)}</li>`).join('\n');
  const title = `${toHtml(r.from)} to ${toHtml(r.to)}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${title}</h1>
<div class="row">
${r.pictures.map(figure).join('\n')}
</div>
<h2>Caption</h2>
<blockquote>${toHtml(r.caption)}</blockquote>
<h2>Prompts</h2>
<div class="row">
<div><p>${toHtml(r.from)}</p><ol>
${list(r.sourcePrompts)}
</ol></div>
<div><p>${toHtml(r.to)}</p><ol>
${list(r.targetPrompts)}
</ol></div>
</div>
<h2>Timings</h2>
${table(Object.entries(r.timings).map(([name, ms]) => [name, `${(ms / 1000).toFixed(2)} s`]))}
<h2>Settings</h2>
${table(Object.entries(r.facts).map(([name, value]) => [name, String(value)]))}
</body>
</html>
`;
}

/**
 * What latents look like to the eye: the first three channels as red, green and blue, minus 3 to 3 as 0 to 255.
 * @param latents [..., C, H, W]; the first frame is shown
 * @param scale pixels of a latent pixel's side
 */
export function latentsToImage(latents: NdArray, scale: number): RgbImage {
  const [height, width] = [dim(latents.shape, -2), dim(latents.shape, -1)];
  const plane = width * height;
  const data = new Uint8ClampedArray(3 * plane);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = (((latents.data[c * plane + i] ?? 0) + 3) / 6) * 255;
  }
  return resize({ width, height, data }, width * scale, height * scale, 'box');
}

function figure([title, picture]: readonly [string, RgbImage | GreyImage]): string {
  const url = `data:image/png;base64,${Buffer.from(encodePng(picture)).toString('base64')}`;
  const { width, height } = picture;
  return `<figure><img src="${url}" width="${width}" height="${height}" alt="${toHtml(title)}"><figcaption>${toHtml(title)}</figcaption></figure>`;
}

function table(rows: readonly (readonly [string, string])[]): string {
  const cells = rows.map(([name, value]) => `<tr><th>${toHtml(name)}</th><td class="n">${toHtml(value)}</td></tr>`);
  return `<table>\n${cells.join('\n')}\n</table>`;
}

/** Text for HTML, also within attributes. */
export function toHtml(text: string): string {
  const names: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, c => names[c] ?? c);
}
