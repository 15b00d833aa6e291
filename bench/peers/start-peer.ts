/** Peers as the runner sees them: each in a child process that is started anew where it fails. */
import { existsSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { DeviceError, InputError } from '../../src/core/errors.ts';
import type { Cost } from '../cost.ts';
import type { AskedRow, PeerAnswer, PeerQuestion } from '../peer-protocol.ts';
import type { BenchAdapter, PeerName } from '../schema.ts';
import { type InstallOptions, installPeer } from './install-peer.ts';
import { PEER_PACKAGES } from './packages.ts';
import { PeerProcess } from './peer-process.ts';

/** How a peer is started. */
export interface PeerOptions extends InstallOptions {
  /** The adapter of the race, on which it must run too; undefined for Dawn's own choice. */
  readonly adapter: BenchAdapter | undefined;
  /** Whether it runs without Dawn's checks of indices, as ours then does; default false. */
  readonly trusted?: boolean | undefined;
  /** Ends it, whatever it does. */
  readonly signal?: AbortSignal | undefined;
  /** An answer that does not come within so long is not waited for, ms; default 10 minutes. */
  readonly patienceMs?: number | undefined;
  /** Where its packages lie; default where they are fetched to. */
  readonly folder?: string | undefined;
  /** The script of its process; default dist/bench-peer.js. */
  readonly peerScript?: string | undefined;
  /** Program and arguments before the script and the peer's name; default this Node. */
  readonly program?: readonly string[] | undefined;
}

/** Why something of a peer did not run. */
export interface Missing {
  readonly missing: string;
}

/** A row that was made ready. */
export interface OpenedRow {
  /** Until the end of the first run, ms. */
  readonly firstMs: number;
  /** Relative L2 against f64; null where the result is not finite. */
  readonly error: number | null;
  /** In which of the engine's operations it is said. */
  readonly form: string;
  /** The error is beyond the bound: it gives no samples. */
  readonly wrong?: true;
}

/** An engine that runs rows. */
export interface Peer {
  readonly name: PeerName;
  readonly package: string;
  readonly version: string;
  /** The adapter that it has. */
  readonly adapter: BenchAdapter;
  /** Makes a row ready, and gives up the one before. What ends the process costs this row alone: the next starts it anew. */
  open(row: AskedRow): Promise<OpenedRow | Missing>;
  /** Runs the open row; a sample lasts 20 ms at least, what is told is one run's. */
  sample(): Promise<Cost | Missing>;
  /** Ends its process. */
  close(): void;
}

const PATIENCE_MS = 600_000;
type Answer<K extends string> = Extract<PeerAnswer, Readonly<Record<K, unknown>>>;

/**
 * Fetches a peer where it is not there yet, starts its process and waits until it has the adapter.
 * @returns why it cannot run here, where it cannot
 * @throws LoadError where it cannot be fetched; the signal's reason
 */
export async function startPeer(name: PeerName, options: PeerOptions): Promise<Peer | Missing> {
  const packages = PEER_PACKAGES[name];
  const folder = options.folder ?? (await installPeer(name, packages, options));
  const command = [
    ...(options.program ?? [process.env['PENTIMENTO_NODE'] ?? process.execPath]),
    ...[options.peerScript ?? peerScript(), name, '--folder', folder, '--version', packages.version],
    ...(options.adapter ? ['--adapter', JSON.stringify(plain(options.adapter))] : []),
    ...(options.trusted ? ['--trusted'] : []),
  ];
  const { signal, patienceMs = PATIENCE_MS } = options;
  const start = (): PeerProcess => new PeerProcess(command, { label: name, signal, patienceMs });
  const first = start();
  const said = await answered(first, { ask: 'hello' }, 'hello', signal);
  if ('missing' in said) {
    first.close();
    return said;
  }
  return new ChildPeer(said, start, first, signal);
}

class ChildPeer implements Peer {
  readonly name: PeerName;
  readonly package: string;
  readonly version: string;
  readonly adapter: BenchAdapter;
  readonly #driverName: string;
  readonly #start: () => PeerProcess;
  readonly #signal: AbortSignal | undefined;
  #process: PeerProcess;

  constructor(said: Answer<'hello'>, start: () => PeerProcess, first: PeerProcess, signal: AbortSignal | undefined) {
    this.name = said.hello;
    this.package = said.package;
    this.version = said.version;
    this.adapter = said.adapter;
    this.#driverName = said.driverName;
    this.#start = start;
    this.#process = first;
    this.#signal = signal;
  }

  async open(row: AskedRow): Promise<OpenedRow | Missing> {
    if (!this.#process.alive) this.#process = this.#start();
    const answer = await answered(this.#process, { ask: 'open', row }, 'opened', this.#signal);
    const others = [...this.#process.opened].filter(name => name !== this.#driverName);
    if (others.length === 0 || 'missing' in answer) return answer;
    this.#process.close();
    return { missing: `it opened ${others.join(' and ')}, and the race is on ${this.#driverName}` };
  }

  sample(): Promise<Cost | Missing> {
    return answered(this.#process, { ask: 'sample' }, 'cpu', this.#signal);
  }

  close(): void {
    this.#process.close();
  }
}

/** The answer with this field; anything else is why there is none. */
async function answered<K extends string>(
  to: PeerProcess,
  question: PeerQuestion,
  field: K,
  signal: AbortSignal | undefined,
): Promise<Answer<K> | Missing> {
  try {
    const answer = (await to.ask(question)) as PeerAnswer;
    if (field in answer) return answer as Answer<K>;
    if ('missing' in answer) return { missing: answer.missing };
    if ('failed' in answer) return { missing: answer.failed };
    to.close();
    return { missing: `it answered ${JSON.stringify(answer).slice(0, 80)}` };
  } catch (error) {
    if (signal?.aborted || !(error instanceof DeviceError)) throw error;
    const { problem, received } = error;
    return { missing: received === undefined ? problem : `${problem} (${received})` };
  }
}

/** Of a description what is compared; a device's own has more. */
function plain({ vendor, architecture, device, description }: BenchAdapter): BenchAdapter {
  return { vendor, architecture, device, description };
}

/** The peer's own script beside this one: built, this file lies in dist or in dist/chunks. */
function peerScript(): string {
  for (const path of ['./bench-peer.js', '../bench-peer.js']) {
    const file = fileURLToPath(new URL(path, import.meta.url));
    if (existsSync(file)) return file;
  }
  throw new InputError({
    op: 'bench',
    problem: 'the script of peers is missing',
    expected: 'bench-peer.js beside this one',
    fix: 'Build the project, or install the package anew.',
  });
}
