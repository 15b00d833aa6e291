/** A page of all edits of a folder: what was there, where it changed, and what came of it. Pictures are read from their files. */
import type { ManifestLine } from './manifest.ts';
import type { Size } from './option-values.ts';
import { toHtml } from './report.ts';

/** The page's name in the folder. */
export const CONTACT_SHEET = 'contact-sheet.html';

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; --line: #8886; --dim: light-dark(#555, #aaa); }
body { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 1rem 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0; } .dim, figcaption, dt { color: var(--dim); }
article { border-top: 1px solid var(--line); padding: 1rem 0; break-inside: avoid; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9rem), 1fr)); gap: .75rem; margin: .5rem 0; align-items: start; }
figure { margin: 0; max-width: 32rem; } figcaption { font-size: .875rem; }
img { display: block; width: 100%; height: auto; border: 1px solid var(--line); background: #8882; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem .75rem; margin: .5rem 0 0; font-size: .875rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.failed { border-left: .25rem solid #c33; padding-left: .75rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) { .row { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .5rem; } }
@media print { body { max-width: none; padding: 0; } .row { grid-template-columns: repeat(auto-fit, minmax(4cm, 1fr)); } }
`;

/**
 * The page.
 * @param lines of the manifest that lies beside it
 * @returns HTML; pictures by addresses relative to the folder
 */
export function renderContactSheet(lines: readonly ManifestLine[]): string {
  const failures = lines.filter(line => line.error !== undefined).length;
  const made = lines.length - failures;
  const models = [...new Set(lines.map(({ model, dtype }) => `${model}, ${dtype}`))];
  const count = `${made} edited${failures === 0 ? '' : `, ${failures} failed`}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contact sheet: ${count}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Contact sheet</h1>
<p class="dim">${count}. ${toHtml(models.join('; '))}</p>
</header>
<main>
${lines.map(article).join('\n')}
</main>
</body>
</html>
`;
}

function article(line: ManifestLine): string {
  const { name, edit, error, masked, seed } = line;
  const shares: [string, string][] = masked === undefined ? [] : [['Mask', `${(100 * Number(masked)).toFixed(1)} %`]];
  const facts: [string, unknown][] = [
    ['Source', edit?.['sourcePrompt']],
    ['Target', edit?.['targetPrompt']],
    ['Negative', edit?.['negativePrompt']],
    ['Seed', seed],
    ...shares,
  ];
  const rows = facts
    .filter(([, value]) => value !== undefined && value !== null && value !== '')
    .map(([label, value]) => `<dt>${label}</dt><dd>${toHtml(String(value))}</dd>`);
  return `<article>
<h2>${toHtml(name)}</h2>
${error ? `<p class="failed">Failed: ${toHtml(error.message)}</p>` : figures(line)}
<dl>
${rows.join('\n')}
</dl>
</article>`;
}

function figures({ name, input, mask: given, files = {}, pictureSize, outputSize, workingSize }: ManifestLine): string {
  const after = Object.entries(files).filter(([key]) => key !== 'mask');
  const mask = files['mask'] ?? given;
  const shown = [
    figure('Before', `${name} before`, input, pictureSize),
    ...(mask === undefined ? [] : [figure('Mask', `mask of ${name}, white is what changed`, mask, workingSize)]),
    ...after.map(([key, file]) =>
      figure(key === 'image' ? 'After' : `After ${key.slice('image'.length)}`, `${name} after`, file, outputSize),
    ),
  ];
  return `<div class="row">
${shown.join('\n')}
</div>`;
}

function figure(title: string, alt: string, file: string, size: Size | undefined): string {
  const sides = size ? ` width="${Number(size.width)}" height="${Number(size.height)}"` : '';
  const url = toHtml(addressOf(file));
  return `<figure><a href="${url}"><img src="${url}"${sides} loading="lazy" decoding="async" alt="${toHtml(alt)}"></a><figcaption>${title}</figcaption></figure>`;
}

/** Of a file beside the page, or elsewhere. */
function addressOf(file: string): string {
  if (/^(https?|data):/i.test(file)) return file;
  const encoded = file.split('/').map(encodeURIComponent).join('/');
  // From another drive, or a part with a colon that would read as a scheme.
  return /^([a-z]:)?\//i.test(file)
    ? `file://${/^[a-z]:/i.test(file) ? '/' : ''}${encoded.replace(/^([a-z])%3A/i, '$1:')}`
    : encoded;
}
