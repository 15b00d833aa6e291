/**
 * The laboratory: what the compilers of graphics cards that are not there make of the kernels.
 *
 *   npm run lab -- --family navi31 [--size 768] [--dtype float16] [--networks sd,t5,blip] [--toggles disable_robustness]
 *                  [--wave 32] [--no-matrix-units] [--no-pins] [--mesa system|backports|sid|FOLDER] [--save FOLDER] [--against FILE] [kernel.wgsl ...]
 *
 * Compiles every pipeline that the networks make at their published sizes, or the given files (entry point main; kernels of wgsl/ get
 * the libs that their heads name), and prints a table; docs/performance.md says how to read it. A run of all networks by default
 * writes bench/results/lab-<card>.json; --save keeps any run in a folder, with WGSL, machine code and main loop of each pipeline;
 * --against says what changed since a file of an earlier run, and leaves the files as they are.
 *
 *   npm run lab -- --family navi31 --ranks [--tiles]
 *
 * Compiles instead all variants that could run each problem of edits (--tiles: with all tile sizes that a tuner would measure), writes how they
 * compare to bench/results/lab-ranks-<card>.json, and src/kernels/ranks.json anew out of those of all cards.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Gpu } from '../../src/gpu/device.ts';
import type { WebGpuDevice } from '../../src/gpu/webgpu-types.ts';
import { requestGpu } from '../../src/node/device.ts';
import { keepWords } from '../../test/support/kept-words.ts';
import { enterAbsentCard, type PipelineLog } from './absent-card.ts';
import { compare } from './against.ts';
import { tryCandidates } from './candidates.ts';
import { type Card, cardOf, LabError } from './cards.ts';
import { compileFiles } from './files.ts';
import { NETWORKS } from './full-size.ts';
import { mesaFolder, runInside } from './mesa.ts';
import { hearProblems } from './problems.ts';
import { groupTrials, writeRankResults } from './rank-results.ts';
import { ranksText } from './ranks.ts';
import { type LabResults, readResults, writeResults } from './results.ts';
import { rowOf } from './rows.ts';
import { familyTable, pipelineTable } from './table.ts';
import { knownToggles } from './toggles.ts';
import { weigh } from './weigh.ts';

/** What Dawn is asked for in Node, and what the matrices of files need. */
const FEATURES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', 'use_vulkan_memory_model'];
const ROOT = new URL('../../', import.meta.url);

const options = {
  family: { type: 'string', default: 'navi31' },
  networks: { type: 'string' },
  dtype: { type: 'string', default: 'float16' },
  size: { type: 'string', default: '768' },
  toggles: { type: 'string', default: '' },
  wave: { type: 'string' },
  'no-matrix-units': { type: 'boolean', default: false },
  'no-pins': { type: 'boolean', default: false },
  mesa: { type: 'string' },
  save: { type: 'string' },
  against: { type: 'string' },
  ranks: { type: 'boolean', default: false },
  tiles: { type: 'boolean', default: false },
} as const;

interface Asked {
  readonly card: Card;
  readonly files: readonly string[];
  readonly networks: readonly string[];
  readonly dtype: 'float16' | 'float32';
  readonly size: number;
  readonly toggles: readonly string[];
  readonly wave: number | undefined;
  /** Kernels as for browsers, which have no matrix units. */
  readonly noMatrixUnits: boolean;
  /** And as for devices without subgroup-size-control, on which no kernel says its subgroup size. */
  readonly noPins: boolean;
  readonly mesa: string | undefined;
  readonly save: string | undefined;
  readonly against: LabResults | undefined;
  /** All variants and tile sizes of the problems instead, and the order in which they come. */
  readonly ranks: boolean;
  /** And tile sizes that a tuner would measure, which no rank is made of. */
  readonly tiles: boolean;
}

function words(text: string): string[] {
  return text.split(',').filter(Boolean);
}

function oneOf<const T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find(one => one === value);
  if (found === undefined) throw new LabError(`--${name} is one of ${known.join(', ')}; got '${value}'`);
  return found;
}

function parse(): Asked {
  const { values, positionals: files } = parseArgs({ allowPositionals: true, options });
  const networks = words(values.networks ?? (files.length > 0 ? '' : Object.keys(NETWORKS).join(',')));
  const size = Number(values.size);
  if (!(Number.isInteger(size) && size >= 64 && size <= 4096 && size % 64 === 0)) {
    throw new LabError(`--size is a multiple of 64 up to 4096, got '${values.size}'`);
  }
  return {
    card: cardOf(values.family),
    files,
    networks: networks.map(name => oneOf('networks', name, Object.keys(NETWORKS))),
    dtype: oneOf('dtype', values.dtype, ['float16', 'float32']),
    size,
    toggles: knownToggles(words(values.toggles)),
    wave: values.wave === undefined ? undefined : Number(oneOf('wave', values.wave, ['32', '64'])),
    noMatrixUnits: values['no-matrix-units'] || values['no-pins'],
    noPins: values['no-pins'],
    mesa: values.mesa,
    save: values.save,
    against: values.against === undefined ? undefined : readResults(values.against),
    ranks: values.ranks,
    tiles: values.tiles,
  };
}

/** Flags of Dawn: the library's own where nothing else is asked for. */
function dawnFlags({ toggles }: Asked): string[] {
  return toggles.length > 0 ? [`enable-dawn-features=${[...FEATURES, ...toggles].join(',')}`] : [];
}

/** The device of the card. */
async function openCard(asked: Asked, log: PipelineLog): Promise<Gpu> {
  const gpu = await requestGpu({
    dawnFlags: dawnFlags(asked),
    ...(asked.noMatrixUnits ? { matrixUnits: false } : {}),
  });
  if (asked.noPins) Object.assign(gpu.caps, { pins32: false });
  const { description, device, subgroupSize, half } = gpu.caps;
  if (/llvmpipe|swiftshader/i.test(`${description} ${device}`)) {
    throw new LabError(`another adapter was opened than ${asked.card.name}: ${description} ${device}`);
  }
  process.stdout.write(`${asked.card.name}: ${description}, subgroup ${subgroupSize || 'varies'}, halves as ${half}\n`);
  keepWords(gpu.device);
  log.watch(gpu.device as WebGpuDevice & GPUDevice);
  return gpu;
}

/** Uses the networks; returns how the driver calls itself. */
async function useNetworks(asked: Asked, log: PipelineLog): Promise<string> {
  const gpu = await openCard(asked, log);
  for (const name of asked.networks) await NETWORKS[name]({ gpu, dtype: asked.dtype, size: asked.size });
  log.read();
  return gpu.caps.description;
}

function keep(folder: string, log: PipelineLog, asked: Asked, text: string, results: LabResults): void {
  mkdirSync(folder, { recursive: true });
  for (const pipeline of log.pipelines) {
    const stem = join(folder, `${String(pipeline.id).padStart(3, '0')}-${pipeline.label.replace(/\W+/g, '-')}`);
    const { listing } = rowOf(asked.card, pipeline);
    if (pipeline.code) writeFileSync(`${stem}.wgsl`, pipeline.code);
    if (pipeline.listing) writeFileSync(`${stem}.s`, pipeline.listing);
    if (listing?.main) writeFileSync(`${stem}.loop.s`, `${listing.main.text.join('\n')}\n`);
  }
  writeFileSync(join(folder, 'table.txt'), text);
  writeFileSync(join(folder, 'lab.json'), writeResults(results));
}

/** Whether it is the run whose results stand in the repository. */
function byDefault({ files, networks, dtype, size, toggles, wave, noMatrixUnits, mesa, against }: Asked): boolean {
  const all = networks.length === Object.keys(NETWORKS).length && files.length === 0;
  return (
    all && dtype === 'float16' && size === 768 && toggles.length === 0 && !wave && !noMatrixUnits && !mesa && !against
  );
}

/** Compiles what could run each problem and writes how they compare, and all cards' ranks anew. */
async function rank(asked: Asked, log: PipelineLog): Promise<void> {
  const { card, size, dtype } = asked;
  const gpu = await openCard(asked, log);
  const heard = await hearProblems(gpu, size, dtype);
  const trials = await tryCandidates(gpu, card, log, { heard, tuners: asked.tiles });
  const { description: driver } = gpu.caps;
  const architecture = card.architecture ?? gpu.caps.architecture;
  const head = { card: card.name, vendor: card.maker, architecture, driver, dtype, size };
  const file = new URL(`bench/results/lab-ranks-${card.name}.json`, ROOT);
  writeFileSync(file, writeRankResults({ ...head, groups: groupTrials(trials) }));
  writeFileSync(new URL('src/kernels/ranks.json', ROOT), ranksText(new URL('bench/results/', ROOT)));
  process.stdout.write(`${trials.length} problems, ${log.pipelines.length} pipelines\n${file.pathname}\n`);
}

async function run(asked: Asked, mesa: string | undefined): Promise<void> {
  const { card, networks, dtype, size, wave, toggles } = asked;
  const started = process.cpuUsage();
  const log = enterAbsentCard(card, { mesa, wave, listings: true });
  if (asked.ranks) return rank(asked, log);
  let driver = networks.length > 0 ? await useNetworks(asked, log) : '';
  if (asked.files.length > 0) {
    driver = await compileFiles(asked.files, log, [...FEATURES, ...toggles], dtype);
    process.stdout.write(`${card.name}: ${driver}\n`);
  }
  const rows = log.pipelines.map(pipeline => rowOf(card, pipeline).row);
  const families = weigh(rows);
  const { version } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as { version: string };
  const release = /Mesa (\S+)/.exec(driver)?.[1] ?? '';
  const head = { card: card.name, driver, mesa: release, version, dtype, size, networks, wave, toggles };
  const results: LabResults = { ...head, families, rows };
  const text = `${pipelineTable(rows)}\n\n${familyTable(families)}\n`;
  const { user, system } = process.cpuUsage(started);
  process.stdout.write(`${rows.length} pipelines, ${((user + system) / 1e6).toFixed(0)} s of CPU\n\n${text}`);
  if (asked.against) process.stdout.write(`\n${compare(asked.against, results)}\n`);
  if (asked.save) keep(asked.save, log, asked, text, results);
  if (!byDefault(asked)) return;
  const file = new URL(`bench/results/lab-${card.name}.json`, ROOT);
  writeFileSync(file, writeResults(results));
  process.stdout.write(`\n${file.pathname}\n`);
}

async function main(): Promise<number> {
  try {
    const asked = parse();
    const inside = process.env['PENTIMENTO_SHIM'] ? process.env['PENTIMENTO_MESA'] : undefined;
    const mesa = inside ?? mesaFolder(asked.card, asked.mesa);
    if (mesa && !inside) return runInside(mesa, asked.card);
    await run(asked, mesa);
    return 0;
  } catch (error) {
    const known =
      error instanceof LabError || (error instanceof Error && 'code' in error && /PARSE_ARGS/.test(String(error.code)));
    process.stderr.write(`lab: ${error instanceof Error ? (known ? error.message : error.stack) : error}\n`);
    return known ? 2 : 1;
  }
}

process.exit(await main());
