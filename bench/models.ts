/**
 * The benchmark of whole models, as `pentimento bench networks` is of single networks: an edit, captions and written prompts with the
 * embedded family, and Flan-T5 and BLIP base with made-up weights.
 *
 *   npm run bench:models -- [--part edit --part flan-t5-large ...] [--device NAME] [--label NAME] [--peer]
 *
 * Prints a table and writes bench/results/<adapter>-models.json, of which a run of some parts replaces its own rows alone: times, and seconds of the processor over all threads, which on
 * software adapters are the cost, however many others use the machine. Shaders are compiled by a first run of each row. `--peer`
 * runs the networks that bench/peers/export.py exported on onnxruntime-node's WebGPU provider, each right after ours; its times
 * hold copies of inputs and outputs, and leave out sampling and, for decoding, the encoder. The large models take 2 GB of memory.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { directory, readImage, requestGpu } from '../src/node/index.ts';
import { DiffEditPipeline } from '../src/pipeline/diffedit/pipeline.ts';
import { BlipForConditionalGeneration } from '../src/pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../src/pipeline/text/t5.ts';
import { fakeModel } from '../test/support/fake-models.ts';
import { type Cost, costs, least, medianOf } from './cost.ts';
import { spread } from './measure.ts';
import { readResults, strangers, withRows } from './model-results.ts';
import { peerCosts } from './peers/networks.ts';
import { replayCost } from './replay.ts';
import { parseOptions, refuse } from './words.ts';

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** Seconds of the processor where `value` is a time; `unit` by seconds of the processor where it is a rate. */
  readonly cpu: number;
  readonly detail?: object;
}

/** What `--part` names, in the order of running. */
const PARTS: Readonly<Record<string, () => Promise<void>>> = {
  edit: edits,
  replay,
  blip: captions,
  t5: prompts,
  'flan-t5-small': flanT5Small,
  'flan-t5-large': flanT5Large,
  'blip-base': blipBase,
};

const asked = parseOptions({
  part: { type: 'string', multiple: true, default: Object.keys(PARTS) },
  device: { type: 'string' },
  label: { type: 'string' },
  peer: { type: 'boolean', default: false },
});
const unknown = asked.part.find(name => !(name in PARTS));
if (unknown !== undefined) refuse(`--part is one of ${Object.keys(PARTS).join(', ')}, got ${unknown}`);
/** dist/bench-models.js and bench/models.ts both lie one folder below the root. */
const root = new URL('../', import.meta.url);
const orchard = (part: string): string => fileURLToPath(new URL(`models/orchard/${part}`, root));
const gpu = await requestGpu({ adapterName: asked.device });
const { caps } = gpu;
const label =
  asked.label ?? (caps.architecture === 'software' ? 'lavapipe' : caps.architecture || caps.vendor || 'adapter');
const file = new URL(`bench/results/${label.replace(/[^\w-]+/g, '-')}-models.json`, root);
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
const kept = Object.keys(PARTS).every(name => asked.part.includes(name)) ? undefined : readResults(file);
const strange = kept && strangers(kept, { adapter: caps, machine });
if (strange) refuse(`${file.pathname} cannot take some rows: ${strange}. Name another file by --label`);
const rows: Row[] = [];
const picture = await readImage(orchard('samples/apples-bowl.png'));

for (const [name, run] of Object.entries(PARTS)) if (asked.part.includes(name)) await run();

for (const { name, value, unit, cpu } of rows) {
  const rate = unit.endsWith('/s');
  const processor = rate ? `${cpu.toFixed(1)} a processor second` : `${cpu.toFixed(3)} processor seconds`;
  process.stdout.write(`${name.padEnd(64)} ${value.toFixed(1).padStart(8)} ${unit.padEnd(8)}   ${processor}\n`);
}
const made = { adapter: caps, machine, rows };
await mkdir(new URL('.', file), { recursive: true });
await writeFile(file, `${JSON.stringify(kept ? withRows(kept, made) : made, null, 2)}\n`);
process.stdout.write(`\n${file.pathname}\n`);
gpu.dispose();
process.exit(0);

/** A row that is a time. */
function took(name: string, cost: Cost, detail: object = {}): void {
  rows.push({ name, value: cost.ms, unit: 'ms', cpu: cost.cpu, detail });
}

/** A row that is a rate: `amount` of something in the time. */
function wrote(name: string, amount: number, unit: string, cost: Cost, detail: object = {}): void {
  rows.push({
    name,
    value: (1000 * amount) / cost.ms,
    unit,
    cpu: amount / cost.cpu,
    detail: { ...detail, ms: cost.ms },
  });
}

async function edits(): Promise<void> {
  for (const dtype of ['float32', 'float16'] as const) {
    const pipeline = await DiffEditPipeline.fromPretrained(await directory(orchard('stable-diffusion')), {
      gpu,
      dtype,
    });
    const args = { image: picture, sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed: 0 };
    const gentle = { guidanceScale: 2.5, invertGuidanceScale: 1 };
    await pipeline.run({ ...args, ...gentle, numInferenceSteps: 4, numMapsPerMask: 1 });
    const timings: object[] = [];
    const [cost] = await costs(1, async () => {
      timings.push((await pipeline.run({ ...args, ...gentle })).timings);
    });
    const name = `edit, 128 x 128, 50 steps, 10 maps, ${dtype}`;
    const detail = { timings: timings[0], peakBytes: pipeline.peakBytes };
    if (cost) rows.push({ name, value: cost.ms / 1000, unit: 's', cpu: cost.cpu, detail });
    pipeline.dispose();
  }
}

/** On the host alone: any adapter gives the same. */
async function replay(): Promise<void> {
  const { cost, dispatches } = await replayCost(root);
  took('a guided step of Stable Diffusion 2.1 encoded and submitted, Dawn null', cost, { dispatches });
}

async function captions(): Promise<void> {
  const blip = await BlipForConditionalGeneration.fromPretrained(await directory(orchard('blip')), { gpu });
  const caption = () => blip.caption(picture, 'a photograph of', { maxNewTokens: 128 });
  await caption();
  took('caption, embedded BLIP', least(await costs(5, caption)), { peakBytes: blip.peakBytes });
  blip.dispose();
}

async function prompts(): Promise<void> {
  const t5 = await T5ForConditionalGeneration.fromPretrained(await directory(orchard('t5')), { gpu });
  for (const sequences of [1, 16]) await decoding(t5, 'embedded T5 (1.2 M)', [[17, 9, 23, 41, 5, 1]], sequences, 24);
  t5.dispose();
}

async function flanT5Small(): Promise<void> {
  // Projections and feed-forward of 8 layers, and the attention itself: multiply-adds times 2.
  const flops = 2 * 64 * 8 * (4 * 512 * 384 + 3 * 512 * 1024) + 4 * 8 * 64 * 64 * 384;
  for (const dtype of ['float32', 'float16'] as const) {
    await flanT5('flan-t5-small', 'Flan-T5 small', '77 M', dtype, flops);
  }
  await peer('t5-encoder', 'encoder, Flan-T5 small, 64 ids');
  for (const sequences of [1, 16]) {
    await peer(`t5-step-${sequences}`, `decoding, Flan-T5 small (77 M), ${sequences} sequences`, sequences);
  }
}

async function flanT5Large(): Promise<void> {
  const flops = 2 * 64 * 24 * (4 * 1024 * 1024 + 3 * 1024 * 2816) + 4 * 24 * 64 * 64 * 1024;
  await flanT5('flan-t5-large', 'Flan-T5 large', '783 M', 'float16', flops);
}

/** The encoder for 64 ids, and 16 tokens of one and of sixteen sequences. */
async function flanT5(
  model: 'flan-t5-small' | 'flan-t5-large',
  name: string,
  parameters: string,
  dtype: 'float32' | 'float16',
  flops: number,
): Promise<void> {
  const t5 = await T5ForConditionalGeneration.fromPretrained(fakeModel(model, { root }), { gpu, dtype });
  const ids = [Array.from({ length: 64 }, (_, i) => 100 + i)];
  const encode = () => t5.encode({ ids });
  await encode();
  wrote(`encoder, ${name}, 64 ids, ${dtype}`, flops / 1e9, 'GFLOP/s', least(await costs(5, encode)));
  for (const sequences of [1, 16]) await decoding(t5, `${name} (${parameters}) ${dtype}`, ids, sequences, 16);
  t5.dispose();
}

/** A caption of 16 tokens behind its prefix, the vision tower at 384 x 384 included. */
async function blipBase(): Promise<void> {
  for (const dtype of ['float32', 'float16'] as const) {
    const blip = await BlipForConditionalGeneration.fromPretrained(fakeModel('blip-base', { root }), { gpu, dtype });
    const caption = () => blip.caption(picture, 'a photograph of', { maxNewTokens: 16, eosTokenId: null });
    await caption();
    took(`caption, BLIP base (247 M), 16 tokens, ${dtype}`, least(await costs(3, caption)));
    blip.dispose();
  }
}

/** Tokens a second of sampling with the cache, all sequences counted, encoder included. */
async function decoding(
  model: T5ForConditionalGeneration,
  name: string,
  ids: number[][],
  sequences: number,
  tokens: number,
): Promise<void> {
  const options = {
    doSample: sequences > 1,
    topK: 10,
    temperature: 0.8,
    numReturnSequences: sequences,
    maxNewTokens: tokens,
    eosTokenId: null, // no early end, and no processor that would bring the scores to the host
  };
  const write = () => model.generate({ ids }, options);
  await write();
  const cost = least(await costs(3, write));
  wrote(`decoding, ${name}, ${sequences} sequences`, sequences * tokens, 'tokens/s', cost, { tokens });
}

/** The same on the peer; with `sequences`, tokens a second of one decoding step. */
async function peer(file: string, name: string, sequences?: number): Promise<void> {
  if (!asked.peer) return;
  const all = await peerCosts(file, 9, caps);
  if ('missing' in all) {
    process.stdout.write(`no peer: ${all.missing}\n`);
    return;
  }
  const title = `onnxruntime-node: ${name}`;
  const detail = spread(all.map(cost => cost.ms));
  if (sequences === undefined) took(title, medianOf(all), detail);
  else wrote(title, sequences, 'tokens/s', medianOf(all), detail);
}
