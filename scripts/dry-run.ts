/**
 * Edits with Stable Diffusion 2.1 at its published size, without weights, on devices that run nothing: what each asks its device
 * for is what its plan said, to the byte, and nothing is refused that the plan allows.
 *
 *   npm run dry-run [-- --full]
 *
 * Three devices: the library's own dry one with many limits and budgets (--full: every combination); Dawn's null backend, which
 * checks every binding against WebGPU's default limits and has 512 MiB; Mesa's driver for an AMD card that is not there, which
 * compiles every pipeline (bench/lab), also those of Flan-T5 large and BLIP base: none may spill registers or keep an array in
 * memory. The last needs packages of Debian's: elsewhere it is left out, in CI that is a failure.
 */
import process from 'node:process';
import { enterAbsentCard, type PipelineLog } from '../bench/lab/absent-card.ts';
import { cardOf } from '../bench/lab/cards.ts';
import { NETWORKS } from '../bench/lab/full-size.ts';
import { rowOf } from '../bench/lab/rows.ts';
import { Gpu } from '../src/gpu/device.ts';
import type { WebGpuDevice } from '../src/gpu/webgpu-types.ts';
import { requestGpu } from '../src/node/device.ts';
import { DryRun, type DryRunCase, nameOf } from '../test/support/dry-run.ts';
import { coveringCases, DRY_RUN_DEVICES, everyCase } from '../test/support/dry-run-cases.ts';
import { keepWords } from '../test/support/kept-words.ts';

const FULL = process.argv.includes('--full') || process.env['PENTIMENTO_FULL'] !== undefined;
const FAMILY = 'navi31';

let wrong = 0;
let said = 0;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function fail(text: string): void {
  wrong++;
  say(`WRONG ${text}`);
}

async function make(run: DryRun, dry: DryRunCase): Promise<void> {
  const refused = await makeOne(run, dry);
  if (!FULL || !refused?.includes('allowTiles')) return; // planning tiles takes a minute; a test has one such call
  if (await makeOne(run, { ...dry, allowTiles: true })) fail(`${nameOf(dry)}: tiles were to let it fit`);
}

/** Returns why it was refused. */
async function makeOne(run: DryRun, dry: DryRunCase): Promise<string | undefined> {
  const result = await run.make(dry).catch((error: unknown) => ({
    ...{ peakBytes: undefined, dispatches: 0, refused: undefined },
    wrong: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
  }));
  const { peakBytes, dispatches, refused } = result;
  for (const line of result.wrong) fail(`${nameOf(dry)}: ${line}`);
  const takes = refused ? 'refused' : `${((peakBytes ?? 0) / 1e9).toFixed(2)} GB, ${dispatches} kernel calls`;
  said++;
  say(`${nameOf(dry)}: ${takes}`);
  return refused;
}

async function onDryDevices(): Promise<void> {
  const cases = FULL ? everyCase() : coveringCases();
  for (const device of DRY_RUN_DEVICES) {
    say(`\n${device.name}`);
    const run = new DryRun(Gpu.dry(device.caps));
    for (const dry of cases.filter(one => one.device === device)) await make(run, dry);
    run.dispose();
  }
}

/** What its memory holds. Its text encoder gives every prompt the same embedding, which would be kept once: it works apart. */
const NULL_CASES: readonly DryRunCase[] = [
  { size: 512, dtype: 'float16', images: 1, guided: true, maxBytes: 2 ** 29, embedded: true },
  { size: 512, dtype: 'float16', images: 4, guided: false, maxBytes: 2 ** 29, embedded: true },
  { size: 256, dtype: 'float32', images: 1, guided: true, maxBytes: 2 ** 29, embedded: true },
  { size: 768, dtype: 'float16', images: 1, guided: false, maxBytes: 2 ** 29, embedded: true, allowTiles: true },
];

async function onNullBackend(): Promise<void> {
  for (const bare of FULL ? [true, false] : [true]) {
    say(`\nDawn's null backend${bare ? ' without features' : ''}`);
    const gpu = await requestGpu({ bare, dawnFlags: ['backend=null'] });
    keepWords(gpu.device);
    const run = new DryRun(gpu);
    for (const dry of FULL ? NULL_CASES : NULL_CASES.slice(0, 3)) await make(run, dry);
    await run.encodePrompt(); // streamed: it is larger than all that memory
    run.dispose();
    gpu.dispose();
  }
}

/** Embedded prompts differ, those of a device that computes nothing would be the same; the last one lets the text encoder work. */
const CARD_CASES: readonly DryRunCase[] = [
  { size: 768, dtype: 'float16', images: 1, guided: true, embedded: true },
  { size: 768, dtype: 'float32', images: 1, guided: true, embedded: true },
  { size: 512, dtype: 'float16', images: 4, guided: false, embedded: true },
];

async function onAbsentCard(log: PipelineLog): Promise<void> {
  for (const bare of [false, true]) {
    say(`\n${FAMILY}${bare ? ' with default limits and no features' : ''}`);
    const gpu = await requestGpu({ bare });
    if (!gpu.caps.description.includes('radv') && !gpu.caps.device.includes(FAMILY)) {
      fail(`another adapter was opened: ${gpu.caps.description} ${gpu.caps.device}`);
    }
    keepWords(gpu.device);
    log.watch(gpu.device as WebGpuDevice & GPUDevice);
    const run = new DryRun(gpu);
    for (const dry of FULL ? CARD_CASES : CARD_CASES.slice(0, bare ? 1 : 2)) await make(run, dry);
    await run.encodePrompt();
    run.dispose();
    for (const network of ['t5', 'blip']) await NETWORKS[network]({ gpu, dtype: 'float16', size: 768 });
    gpu.dispose();
  }
  const rows = log.pipelines.map(pipeline => rowOf(cardOf(FAMILY), pipeline).row);
  for (const { kernel, variant, spills, scratch } of rows) {
    if (spills > 0) fail(`${kernel} ${variant}: ${spills} registers are spilled on ${FAMILY}`);
    if (scratch > 0)
      fail(`${kernel} ${variant}: ${scratch} bytes of private memory on ${FAMILY}, by an array with a computed index`);
  }
  const kernels = new Set(rows.map(({ kernel }) => kernel));
  say(`${log.pipelines.length} pipelines of ${kernels.size} kernels compiled for ${FAMILY}`);
  if (kernels.size < 10) fail(`only ${[...kernels].join(', ')} were compiled`);
}

/** Before Dawn is loaded: the card is chosen by the environment. */
function enter(): PipelineLog | undefined {
  try {
    return enterAbsentCard(FAMILY);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env['CI']) fail(why);
    else say(`Left out: ${FAMILY}. ${why}`);
    return undefined;
  }
}

const log = enter();
await onDryDevices();
await onNullBackend();
if (log) await onAbsentCard(log);
const { user, system } = process.cpuUsage();
say(`\n${said} edits, ${wrong} wrong; ${((user + system) / 1e6).toFixed(0)} s of CPU`);
process.exit(wrong === 0 ? 0 : 1);
