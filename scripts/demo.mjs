// npm run demo: two edits with the embedded model, from a fresh clone to pictures in out/; the second swaps the container.
// npm run demo -- guide: the whole guide on its sample, from bowl to basket, with a report in out/guide/.
// npm run demo -- compare: both edits by diffusers' settings and by the model's, side by side in out/compare.png (README's picture).
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { ROOT, setup } from './setup.mjs';

setup({ build: true });

const EDITS = [
  {
    picture: 'apples-bowl.png',
    source: 'a bowl of apples',
    target: 'a bowl of pears',
    output: 'apples-to-pears.png',
    seed: 0,
  },
  {
    picture: 'pears-basket.png',
    source: 'a basket of pears',
    target: 'a bowl of pears',
    output: 'basket-to-bowl.png',
    seed: 3,
  },
];
const PHASES = ['load', 'caption', 'prompts', 'text', 'encode', 'mask', 'invert', 'edit', 'decode', 'total'];

/** Runs a command of the built package; returns what it prints as JSON. */
function pentimento(args) {
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'dist', 'cli.js'), ...args, '--json'], {
    cwd: ROOT,
    stdio: ['inherit', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (status !== 0) process.exit(status ?? 1);
  return JSON.parse(stdout);
}

function report({ files, timingsMs, masked }) {
  for (const [what, path] of Object.entries(files)) process.stdout.write(`${what.padEnd(6)} ${join(ROOT, path)}\n`);
  const times = PHASES.filter(phase => phase in timingsMs).map(
    phase => `${phase} ${(timingsMs[phase] / 1000).toFixed(1)} s`,
  );
  process.stdout.write(`times  ${times.join(', ')}; the mask covers ${Math.round(masked * 100)} % of the picture\n`);
}

const samples = join('models', 'orchard', 'samples');
const [first, ...rest] = process.argv.slice(2);
if (first === 'guide') {
  const { image, source, target, seed } = JSON.parse(readFileSync(join(ROOT, samples, 'guide.json'), 'utf8'));
  const concepts = ['--from', source, '--to', target, '--seed', String(seed)];
  const to = ['-o', join('out', 'guide')];
  const result = pentimento(['guide', join(samples, image), ...concepts, ...to, ...rest]);
  process.stdout.write(`\n${result.caption}\n`);
  report(result);
} else if (first === 'compare') {
  await compare(join('out', 'compare.png'), rest);
} else {
  for (const one of EDITS) report(edit(one, join('out', one.output), process.argv.slice(2)));
}

/** One of the edits, by the settings that the model recommends; all that changes is the masked region. */
function edit({ picture, source, target, seed }, output, more) {
  process.stderr.write(`\n${source} -> ${target}\n`);
  const prompts = ['--source', source, '--target', target, '--seed', String(seed)];
  return pentimento(['edit', join(samples, picture), ...prompts, '--paste-back', '-o', output, ...more]);
}

/** A row for each edit: the picture, diffusers' binary mask and result, the soft mask and its result, twice as large. */
async function compare(path, more) {
  const { resize, sideBySide } = await import('../dist/index.js');
  const { readImage, saveImage } = await import('../dist/node.js');
  const rows = [];
  for (const one of EDITS) {
    const pictures = [await readImage(join(samples, one.picture))];
    for (const preset of ['diffusers', 'recommended']) {
      const output = join('out', `${preset}-${one.output}`);
      const { files } = edit(one, output, ['--preset', preset, ...more]);
      pictures.push(await readImage(files.mask), await readImage(files.image));
    }
    const [{ width, height }] = pictures;
    rows.push(sideBySide(pictures.map(picture => resize(picture, 2 * width, 2 * height, 'box'))));
  }
  const data = Buffer.concat(rows.map(row => row.data));
  await saveImage(path, { width: rows[0].width, height: rows.reduce((sum, { height }) => sum + height, 0), data });
  process.stdout.write(`sheet  ${join(ROOT, path)}\n`);
}
