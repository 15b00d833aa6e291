/**
 * The benchmark of pictures: edits of drawn scenes whose true result is known, by the embedded model.
 *
 *   npm run bench:quality -- [--variant NAME | --variant NAME=OPTIONS | --variant all]... [--scenes FOLDER]
 *     [--containers | --swaps] [--cases N | --only ID,ID...] [--json FILE] [--sheets FOLDER] [--compare FILE]
 *     [--record] [--dtype float32] [--device NAME]
 *
 * Variants are those of bench/quality/variants.ts, `recommended` by default, or any options of `pentimento edit` under a name of one's
 * own: --variant "strong=--guidance-scale 5 --negative-prompt ''". FOLDER holds cases.json and pictures as bench/quality/scenes does;
 * `--containers` makes container swaps of its scenes, `--swaps` other swaps of their pictures, whose result nobody drew. Prints a line for
 * each edit and a table; `--sheets` writes for each variant a picture with source, mask, edit and drawn result of every case; `--compare` one picture with a row for each case: source, the edit by
 * every variant, drawn result. `--json` writes the table; `--record` keeps the rows in bench/results/quality.json and docs/quality.md.
 *
 * docs/images/quality.png: --variant diffusers --variant recommended --only 01,02,09,18 --compare docs/images/quality.png
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { needsChild, runInChild } from '../src/cli/driver-noise.ts';
import { checkOutput } from '../src/cli/output.ts';
import type { RgbImage } from '../src/io/image.ts';
import { sideBySide } from '../src/io/mask.ts';
import { requestGpu, saveImage } from '../src/node/index.ts';
import { type EditedScene, Judges } from './quality/measure-edit.ts';
import { means } from './quality/measures.ts';
import { chosenScenes, containerSwaps, otherSwaps, readScenes, type Scene } from './quality/scenes.ts';
import { comparison, GAP, inColumns } from './quality/sheets.ts';
import { asText, fixed, merged, type Recorded, type VariantRow, withMeasured } from './quality/table.ts';
import { NAMED, parseVariants, type Variant } from './quality/variants.ts';

/** Of the JSON file. */
const VERSION = 1;
/** dist/bench-quality.js and bench/quality.ts both lie one folder below the root. */
const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

const { values: asked } = readArguments();
if (needsChild()) process.exit((await runInChild()) ?? 1); // without Dawn's lines

const set = asked.containers ? 'containers' : asked.swaps ? 'swaps' : 'scenes';
const { variants, scenes } = await prepare().catch(refuse);
const gpu = await requestGpu({ adapterName: asked.device });
const judges = await Judges.open(gpu, at('models/orchard'), asked.dtype === 'float16' ? 'float16' : 'float32');
process.stdout.write(`cases: ${scenes.length}, variants: ${variants.length}, on ${gpu.caps.description}\n`);
if (asked.sheets !== undefined) await mkdir(asked.sheets, { recursive: true });
const table: Record<string, VariantRow> = {};
const edits: Record<string, object[]> = {};
const pictures: Record<string, RgbImage[]> = {};
for (const variant of variants) await measure(variant);
process.stdout.write(`\n${asText(table)}\n`);
if (asked.record) await record();
judges.dispose();
gpu.dispose();
process.exit(0);

function readArguments() {
  try {
    return parseArgs({
      options: {
        variant: { type: 'string', multiple: true, default: ['recommended'] },
        scenes: { type: 'string', default: at('bench/quality/scenes') },
        containers: { type: 'boolean', default: false },
        swaps: { type: 'boolean', default: false },
        cases: { type: 'string' },
        only: { type: 'string' },
        json: { type: 'string' },
        sheets: { type: 'string' },
        compare: { type: 'string' },
        record: { type: 'boolean', default: false },
        dtype: { type: 'string', default: 'float32' },
        device: { type: 'string' },
      },
    });
  } catch (error) {
    return refuse(error);
  }
}

async function prepare(): Promise<{ variants: Variant[]; scenes: readonly Scene[] }> {
  const cases = asked.cases === undefined ? Number.POSITIVE_INFINITY : Number(asked.cases);
  if (asked.cases !== undefined && !(Number.isInteger(cases) && cases >= 1))
    throw new Error(`--cases takes a whole number above 0, got ${asked.cases}`);
  if (!['float32', 'float16'].includes(asked.dtype))
    throw new Error(`--dtype is float32 or float16, got ${asked.dtype}`);
  const names = asked.variant.flatMap(text => (text === 'all' ? Object.keys(NAMED) : [text]));
  const parsed = parseVariants(names);
  if (asked.compare !== undefined) checkOutput(asked.compare, ['.png', '.jpg', '.jpeg']);
  if (asked.json !== undefined) checkOutput(asked.json, ['.json']);
  if (asked.sheets !== undefined) checkOutput(join(asked.sheets, 'sheet.png'), ['.png']);
  const { only } = asked;
  if (only !== undefined && asked.cases !== undefined)
    throw new Error('--only and --cases both choose scenes: give one');
  if (asked.record && (only !== undefined || asked.cases !== undefined))
    throw new Error('--record keeps rows over all scenes: leave out --only and --cases');
  if (asked.containers && asked.swaps) throw new Error('give one of --containers and --swaps');
  const read = await readScenes(asked.scenes, set === 'scenes' && only === undefined ? cases : undefined);
  const made = { scenes: () => read, containers: () => containerSwaps(read), swaps: () => otherSwaps(read) };
  const found: readonly Scene[] = made[set]().slice(0, cases);
  if (found.length === 0) throw new Error(`${asked.scenes}: no swaps`);
  return { variants: parsed, scenes: only === undefined ? found : chosenScenes(found, only.split(',')) };
}

function refuse(error: unknown): never {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exit(2);
}

/** All scenes by one variant. */
async function measure(variant: Variant): Promise<void> {
  const { name, options } = variant;
  const done: EditedScene[] = [];
  const rows: RgbImage[] = [];
  edits[name] = [];
  const made: RgbImage[] = [];
  pictures[name] = made;
  for (const scene of scenes) {
    const edit = await judges.edit(scene, variant);
    done.push(edit);
    const { picture, mask, ...numbers } = edit;
    made.push(picture);
    edits[name].push({ id: scene.id, change: scene.change, ...numbers });
    rows.push(sideBySide([scene.source, mask, picture, ...(scene.truth ? [scene.truth] : [])], { gap: GAP }));
    process.stdout.write(`${lineOf(name, scene, edit)}\n`);
    table[name] = { ...means(done), cases: done.length, options };
    if (asked.json !== undefined) await writeJson(asked.json);
    if (asked.sheets !== undefined) await saveImage(join(asked.sheets, `${name}.png`), inColumns(rows));
  }
  if (asked.compare === undefined) return;
  await mkdir(dirname(asked.compare), { recursive: true });
  await saveImage(asked.compare, comparison(scenes, pictures));
}

/** The table as it stands, behind every edit: a run takes long, and what it has measured is not lost with it. */
async function writeJson(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const result = { version: VERSION, adapter: gpu.caps.description, dtype: asked.dtype, table, edits };
  await writeFile(path, `${JSON.stringify(result, null, 1)}\n`);
}

function lineOf(
  name: string,
  { id }: Scene,
  { ok, nat, bg, pasted, inside, iou, seconds, caption }: EditedScene,
): string {
  const decibels = [bg, pasted, inside].map(value => fixed(value, 1).padStart(5)).join(' ');
  const numbers = `nat ${nat.toFixed(3)}  outside, pasted, inside ${decibels}  iou ${fixed(iou, 2)}`;
  return `${name.padEnd(16)} ${id.padEnd(17)} ${ok ? 'ok ' : 'not'} ${numbers}  ${seconds.toFixed(1)} s  ${caption}`;
}

/** Keeps the rows beside those of other runs, and makes the document's tables of all of them. */
async function record(): Promise<void> {
  const [results, document] = [at('bench/results/quality.json'), at('docs/quality.md')];
  const known: Recorded = JSON.parse(await readFile(results, 'utf8'));
  const all = merged(known, set, table, Object.keys(NAMED));
  await writeFile(results, `${JSON.stringify(all, null, 1)}\n`);
  await writeFile(document, withMeasured(await readFile(document, 'utf8'), all));
}
