/**
 * The benchmark in Node: ceilings of the adapter first, then kernels, other engines beside them where they are asked for, then networks.
 * It measures and tells; who called it writes.
 */
import { cpus } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../src/core/errors.ts';
import type { Gpu } from '../src/gpu/device.ts';
import { loadTexts } from '../src/kernels/load-texts.ts';
import { KERNELS_HASH, LIBRARY_VERSION } from '../src/tuning/built-from.ts';
import { Meter } from '../src/tuning/meter.ts';
import { type CeilingOptions, measureCeilings } from './ceilings.ts';
import { isLarge, kernelRows } from './kernel-rows.ts';
import type { KernelCase } from './kernels/kernel-case.ts';
import { checkModels, NETWORKS, type NetworkCase, type NetworkOptions, runNetworks } from './networks.ts';
import { Race } from './race.ts';
import { ceilingLine, headLines, KernelTable, NetworkTable, raceLines } from './report.ts';
import { runKernels } from './run-kernels.ts';
import type { BenchFile, BenchHead, Feature, PeerName } from './schema.ts';

/** Kinds of rows. */
export type BenchPart = 'kernels' | 'networks';

/** What is measured, and how. */
export interface BenchmarkOptions {
  /** Default both; networks are left out then where their models are missing. */
  readonly part?: BenchPart | undefined;
  /** Part of the names of rows. */
  readonly filter: string;
  readonly samples: number;
  /** Rows that take software seconds too. */
  readonly large: boolean;
  /** Engines to race. */
  readonly against: readonly PeerName[];
  /** The program that runs one of them; default what lies beside this one. */
  readonly peerScript?: string | undefined;
  /** Folder of the embedded family. */
  readonly models: string;
  /** Key of the table by which the device chooses its kernels; null where it has none. */
  readonly tuning: string | null;
  readonly without: readonly Feature[];
  /** Dawn's toggles that were not its defaults. */
  readonly toggles: readonly string[];
  /** Sizes of the micro-kernels; tests make them small. */
  readonly ceilings?: Omit<CeilingOptions, 'signal'> | undefined;
  /** Told of what is about to be measured, before anything is; what it throws ends the run. */
  readonly onHead?: ((head: BenchHead) => void) | undefined;
  /** Takes a line of the table. */
  readonly say: (line: string) => void;
  /** Takes what is worth a note. */
  readonly note: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What is measured on a device. */
interface Chosen {
  readonly kernels: readonly KernelCase[];
  readonly networks: readonly NetworkCase[];
}

/**
 * Measures what is asked for.
 * @throws InputError for rows that there are not and models that are missing, before the device works; what `signal` was aborted with
 */
export async function benchmark(gpu: Gpu, options: BenchmarkOptions): Promise<BenchFile> {
  await loadTexts(gpu.caps);
  const chosen = chosenRows(gpu, options);
  const { against, samples, say, signal } = options;
  // Nobody else can tell timestamps: engines are compared by what all of them have.
  const clock = against.length > 0 && !gpu.caps.software ? { clock: 'clock' as const } : {};
  const meter = Meter.create(gpu, clock);
  let race: Race | undefined;
  try {
    const head = headOf(gpu, meter, options);
    options.onHead?.(head);
    if (against.length > 0) race = await startRace(head.adapter, meter, options);
    for (const line of headLines(head)) say(line);
    const ceilings = await measureCeilings(gpu, meter, { ...options.ceilings, signal });
    say(ceilingLine(ceilings));
    const kernelTable = new KernelTable(chosen.kernels.map(({ name }) => name));
    if (chosen.kernels.length > 0) say(`\n${kernelTable.head}`);
    const onRow = (row: BenchFile['rows'][number]): void => say(kernelTable.line(row));
    const rows = await runKernels(gpu, meter, chosen.kernels, { ceilings, samples, opponents: race, onRow, signal });
    const networks = await measureNetworks(gpu, meter, chosen.networks, { ...options, ceilings, opponents: race });
    const peers = race?.results ?? [];
    const lines = raceLines({ rows, networks, peers });
    if (lines.length > 0) say(['', ...lines].join('\n'));
    return { ...head, ceilings, rows, networks, peers };
  } finally {
    race?.dispose();
    meter.dispose();
  }
}

/** Dawn's toggle that takes its checks of indices away, for all engines alike. */
const UNCHECKED = 'disable_robustness';

/** The engines, started and named where they are missing. */
async function startRace(adapter: BenchFile['adapter'], meter: Meter, options: BenchmarkOptions): Promise<Race> {
  const { against, peerScript, toggles, note, signal } = options;
  const trusted = toggles.includes(UNCHECKED);
  const race = await Race.start(against, { adapter, trusted, peerScript, meter, onFetch: note, signal });
  for (const { name, missing } of race.results) if (missing !== undefined) note(`No ${name}: ${missing}.`);
  return race;
}

async function measureNetworks(
  gpu: Gpu,
  meter: Meter,
  cases: readonly NetworkCase[],
  options: Omit<BenchmarkOptions, 'ceilings'> & Pick<NetworkOptions, 'ceilings' | 'opponents'>,
): Promise<BenchFile['networks']> {
  const { models, say } = options;
  if (cases.length === 0) return [];
  const table = new NetworkTable(cases.map(({ name }) => name));
  say(`\n${table.head}`);
  const onRow = (row: BenchFile['networks'][number]): void => say(table.line(row));
  const exported = join(models, '..', '..', 'out', 'peers');
  return runNetworks(gpu, meter, cases, { ...options, exported, onRow });
}

/** @throws InputError where nothing is left, or models are missing */
function chosenRows({ caps, choices }: Gpu, options: BenchmarkOptions): Chosen {
  const { part, filter, large, models, note } = options;
  const named = ({ name }: { readonly name: string }): boolean => name.includes(filter);
  const all = part === 'networks' ? [] : kernelRows({ caps, tuning: choices }).filter(named);
  const kernels = all.filter(row => large || !caps.software || !isLarge(row));
  if (kernels.length < all.length) {
    note(
      `${all.length - kernels.length} rows that take software seconds each are left out; --large measures them too.`,
    );
  }
  let networks = part === 'kernels' ? [] : NETWORKS.filter(named);
  try {
    if (networks.length > 0) checkModels(models);
  } catch (error) {
    if (part === 'networks' || !(error instanceof InputError)) throw error;
    note(`Networks are left out: ${error.problem}.`);
    networks = [];
  }
  if (kernels.length + networks.length > 0) return { kernels, networks };
  throw new InputError({
    op: 'bench',
    problem: all.length > 0 ? 'every row with this name is left out in software' : 'no row has this in its name',
    value: filter,
    path: '--filter',
    fix: all.length > 0 ? 'Add --large.' : 'Leave it out to see all names.',
  });
}

function adapterOf({ caps }: Pick<Gpu, 'caps'>): BenchFile['adapter'] {
  const { vendor, architecture, device, description } = caps;
  return { vendor, architecture, device, description };
}

function headOf(
  { caps, device: granted }: Gpu,
  { clock }: Meter,
  { without, toggles, tuning, samples }: BenchmarkOptions,
): BenchHead {
  const adapter = adapterOf({ caps });
  return {
    ...{ version: 1, kind: 'pentimento-bench', made: new Date().toISOString() },
    ...{ library: LIBRARY_VERSION, kernels: KERNELS_HASH },
    ...{ adapter, caps, driver: adapter.description },
    ...{ toggles, features: [...granted.features].sort() },
    machine: { cpu: cpus()[0]?.model ?? '', cores: cpus().length, runtime: `Node ${process.versions.node}` },
    ...{ without, clock, tuning, samples },
  };
}
