/**
 * A peer's process: `node dist/bench-peer.js NAME --folder DIR --version V [--adapter JSON] [--trusted]` answers the questions of
 * bench/peer-protocol.ts, a JSON object a line, until its stdin ends.
 */
import { Console } from 'node:console';
import { tmpdir } from 'node:os';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { AskedRow, PeerAnswer, PeerQuestion } from '../peer-protocol.ts';
import { type BenchAdapter, PEERS, type PeerName } from '../schema.ts';
import type { Engine } from './engine.ts';
import { type Loaded, loadEngine } from './load-engine.ts';
import { type OpenRow, openPrepared, openRow, sampleOf } from './open-row.ts';
import { problemOf } from './problem.ts';

// What engines print is none of the answers.
globalThis.console = new Console(process.stderr);
// Mesa complains on stderr without it.
process.env['XDG_RUNTIME_DIR'] ??= tmpdir();

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string' },
    version: { type: 'string' },
    adapter: { type: 'string' },
    trusted: { type: 'boolean', default: false },
  },
});
const name = positionals[0] as PeerName;
if (!PEERS.includes(name)) {
  process.stderr.write(`the name is one of ${PEERS.join(', ')}, got ${positionals[0]}\n`);
  process.exit(2);
}
const { folder = process.cwd(), version = '' } = values;
const adapter = values.adapter === undefined ? undefined : (JSON.parse(values.adapter) as BenchAdapter);

let loaded: Promise<Loaded | { readonly missing: string }> | undefined;
let open: OpenRow | undefined;

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answered(JSON.parse(line) as PeerQuestion))}\n`);
}
process.exit(0); // Dawn's threads would keep the process alive

async function answered(question: PeerQuestion): Promise<PeerAnswer> {
  try {
    return await answer(question);
  } catch (error) {
    return { failed: (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '' };
  }
}

async function answer(question: PeerQuestion): Promise<PeerAnswer> {
  if (question.ask === 'sample') {
    if (!open) return { failed: 'no row is open' };
    return open.wrong ? { failed: 'what is wrong has no speed' } : sampleOf(open);
  }
  loaded ??= loadEngine(name, { folder, version }, { adapter, trusted: values.trusted });
  const peer = await loaded;
  if (question.ask === 'hello') {
    if ('missing' in peer) return peer;
    const { engine, driverName } = peer;
    const { vendor, architecture, device, description } = peer.adapter;
    const { package: of, version: its } = engine;
    return {
      ...{ hello: name, package: of, version: its },
      ...{ adapter: { vendor, architecture, device, description }, driverName },
    };
  }
  if ('missing' in peer) return peer;
  await open?.prepared.dispose();
  open = undefined;
  const made = await opened(question.row, peer.engine);
  if ('missing' in made) return made;
  open = made;
  const { firstMs, error, wrong, form } = made;
  return { opened: true, firstMs, error: finite(error), form, ...(wrong && { wrong: true }) };
}

async function opened(row: AskedRow, engine: Engine): Promise<OpenRow | { readonly missing: string }> {
  if (row.op === 'network') {
    const { network } = engine;
    if (network) return openPrepared('ONNX', () => network(row.file ?? ''));
    return { missing: `${engine.package} runs no exported network` };
  }
  const problem = problemOf(row);
  if ('missing' in problem) return problem;
  const forms = engine.forms(problem);
  return 'missing' in forms ? forms : openRow(forms, problem);
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
