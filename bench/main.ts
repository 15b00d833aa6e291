/**
 * The benchmark: each kernel of bench/kernels on this machine's adapter, as time, GFLOP/s, GB/s and error.
 *
 *   npm run bench -- [--filter TEXT] [--samples 15] [--device NAME] [--peer] [--label NAME]
 *
 * Prints a table and writes bench/results/<adapter>.json, of which a run with --filter replaces its own rows alone; where those that are
 * there are of another driver or processor it asks for a --label. Times are of the clock and, for software adapters, of the processor over
 * all threads, which is the cost however many others use the machine. Samples of all rows are interleaved, so that a busy moment of
 * the machine does not fall on one row; each sample waits for the device and runs long enough for the clock. `--peer` runs
 * the same shapes on onnxruntime-node's WebGPU provider, copies of inputs and outputs included, since its session gives no
 * other way to wait for the device.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import process from 'node:process';
import { loadTexts } from '../src/kernels/load-texts.ts';
import { requestGpu } from '../src/node/device.ts';
import { medianOf } from './cost.ts';
import { attentionCases } from './kernels/attention-cases.ts';
import { gemmCases } from './kernels/gemm-cases.ts';
import { normCases } from './kernels/norm-cases.ts';
import { type BenchRow, prepareRow, type Summary, spread, summary } from './measure.ts';
import { loadPeer } from './peers/onnx.ts';
import { randoms } from './random.ts';
import { readResults, strangers, withRows } from './results-file.ts';
import { parseOptions, refuse } from './words.ts';

interface PeerRow {
  readonly name: string;
  readonly minMs: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  /** Of the processor. */
  readonly cpuMs: number;
  readonly gflops: number;
  readonly firstMs: number;
}

/** dist/bench.js and bench/main.ts both lie one folder below the root. */
const RESULTS = new URL('../bench/results/', import.meta.url);

const asked = parseOptions({
  filter: { type: 'string', default: '' },
  samples: { type: 'string', default: '15' },
  device: { type: 'string' },
  label: { type: 'string' },
  peer: { type: 'boolean', default: false },
});
const samples = Number(asked.samples);
if (!(Number.isInteger(samples) && samples > 0)) refuse(`--samples takes a whole number above 0, got ${asked.samples}`);

// Compile times are those of a first run.
process.env['MESA_SHADER_CACHE_DISABLE'] = 'true';
const gpu = await requestGpu({ adapterName: asked.device });
await loadTexts(gpu.caps);
const all = [...gemmCases(gpu.caps), ...attentionCases(gpu.caps), ...normCases(gpu.caps)];
const cases = all.filter(c => c.name.includes(asked.filter));
if (cases.length === 0) refuse(`no row has "${asked.filter}" in its name`);
const caps = gpu.caps;
const label =
  asked.label ?? (caps.architecture === 'software' ? 'lavapipe' : caps.architecture || caps.vendor || 'adapter');
const file = new URL(`${label.replace(/[^\w-]+/g, '-')}.json`, RESULTS);
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
const kept = cases.length < all.length ? readResults(file) : undefined;
const strange = kept && strangers(kept, { adapter: caps, machine });
if (strange) refuse(`${file.pathname} cannot take some rows: ${strange}. Name another file by --label`);
const rows: BenchRow[] = [];
for (const bench of cases) rows.push(await prepareRow(gpu, bench));
for (let i = 0; i < samples; i++) for (const row of rows) await row.sample();
const own = rows.map(summary);
const peer = asked.peer ? await runPeer(rows, own) : undefined;
for (const row of rows) row.dispose();

process.stdout.write(
  `${caps.description || caps.device}, ${cpus().length} cores, ${samples} samples a row\n\n${table(own)}\n`,
);
if (peer) process.stdout.write(`\n${peer.name}\n${peer.rows.map(peerLine).join('\n')}\n`);
const made = { adapter: caps, machine, samples, rows: own, peer };
await mkdir(RESULTS, { recursive: true });
await writeFile(file, `${JSON.stringify(kept ? withRows(kept, made) : made, null, 2)}\n`);
process.stdout.write(`\n${file.pathname}\n`);
gpu.dispose();
process.exit(0);

async function runPeer(
  all: readonly BenchRow[],
  own: readonly Summary[],
): Promise<{ name: string; rows: PeerRow[] } | undefined> {
  const loaded = loadPeer();
  if ('missing' in loaded) {
    process.stdout.write(`no peer: ${loaded.missing}\n`);
    return undefined;
  }
  const done = new Map<string, PeerRow>();
  for (const [i, row] of all.entries()) {
    const shape = row.bench.peer;
    const [mine] = own.slice(i);
    const name = JSON.stringify(shape);
    if (!shape || !mine || done.has(name)) continue; // storage forms differ for us only
    const { all: taken, firstMs } = await loaded.run(shape, samples, count => randoms(count));
    const times = { ...spread(taken.map(({ ms }) => ms)), cpuMs: 1000 * medianOf(taken).cpu };
    const flops = mine.gflops * mine.medianMs;
    done.set(name, { name: name.replace(/["{}]/g, ''), ...times, gflops: flops / times.medianMs, firstMs });
  }
  return { name: loaded.name, rows: [...done.values()] };
}

function table(rows: readonly Summary[]): string {
  const head = ['name', 'min ms', 'median', 'p90', 'processor', 'GFLOP/s', 'GB/s', 'compile ms', 'error'];
  const cells = rows.map(r => [
    r.name,
    ...[r.minMs, r.medianMs, r.p90Ms, r.cpuMs].map(ms => ms.toFixed(2)),
    ...[r.gflops, r.gbs].map(rate => rate.toFixed(1)),
    r.compileMs.toFixed(0),
    r.error.toExponential(1),
  ]);
  const widths = head.map((h, i) => Math.max(h.length, ...cells.map(c => c[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return [head, ...cells].map(line).join('\n');
}

function peerLine(r: PeerRow): string {
  return `${r.name}: min ${r.minMs.toFixed(2)} ms, median ${r.medianMs.toFixed(2)}, p90 ${r.p90Ms.toFixed(2)}, processor ${r.cpuMs.toFixed(2)}, ${r.gflops.toFixed(1)} GFLOP/s, first run ${r.firstMs.toFixed(0)} ms`;
}
